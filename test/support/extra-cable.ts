/**
 * One more cable from a machine of the lab to the switch: a parent for networks that cannot share eth0, because a link is
 * either port of a bridge, or parent of macvlans, or parent of ipvlans. It goes with the machine's namespace.
 */
import { labPrefix } from './checkout.ts';
import type { Machine } from './machine.ts';
import { runOk } from './run.ts';

/** @param link its name on the machine, `eth1` to `eth9`; it gets no address */
export async function plugCable(machine: Machine, link: string): Promise<void> {
  const [own, far] = [`${labPrefix()}${machine.name}`, `${labPrefix()}switch`];
  const port = `p${link.slice(-1)}-${machine.name}`;
  const make = ['link', 'add', link, 'type', 'veth', 'peer', 'name', port, 'netns', far];
  await runOk(['ip', '-n', own, ...make]);
  await runOk(['ip', '-n', far, 'link', 'set', port, 'master', 'sw0', 'up']);
  await runOk(['ip', '-n', own, 'link', 'set', link, 'up']);
}
