/** Cables at the lab's switch by the name of their port; `ext` is that of the machine outside, where etcd runs. */
import { labScript } from './checkout.ts';
import { runOk } from './run.ts';

/** Pulls or plugs a cable. Idempotent. */
export function switchCable(name: string, state: 'down' | 'up'): Promise<string> {
  return runOk([labScript('cable'), name, state]);
}
