/** Others who limit a container: the CNI bandwidth plugin on a veth pair, and wondershaper. Used if they are installed. */
import { existsSync } from 'node:fs';
import { hostEndNameOf } from '../core/ids.ts';
import type { Shape } from '../net/shaping-port.ts';
import type { Sandbox, ShapedHost } from '../test/netns/shaped-host.ts';
import { run } from '../test/support/run.ts';
import { inside } from './throttle-flow.ts';

const CNI_PLUGIN = '/usr/lib/cni/bandwidth';
const WONDERSHAPER = '/usr/sbin/wondershaper';

export function hasCniPlugin(): boolean {
  return existsSync(CNI_PLUGIN);
}

export function hasWondershaper(): boolean {
  return existsSync(WONDERSHAPER);
}

/** @param seen as the container sees it. @returns milliseconds that it took. @throws with what the plugin said */
export async function cniAdd(
  host: ShapedHost,
  box: Sandbox,
  { in: into, out }: { in: Shape; out: Shape },
): Promise<number> {
  return await cni(host, box, 'ADD', {
    ingressRate: into.rateBitsPerSecond,
    ingressBurst: into.burstBytes * 8,
    egressRate: out.rateBitsPerSecond,
    egressBurst: out.burstBytes * 8,
  });
}

/** Takes its limits away; what it leaves at the host end goes too. */
export async function cniRemove(host: ShapedHost, box: Sandbox): Promise<void> {
  await cni(host, box, 'DEL', {});
  await run(inside(host.home, 'tc', 'qdisc', 'del', 'dev', hostEndNameOf(box.endpointId), 'root'));
  await run(inside(host.home, 'tc', 'qdisc', 'del', 'dev', hostEndNameOf(box.endpointId), 'ingress'));
}

async function cni(host: ShapedHost, box: Sandbox, command: 'ADD' | 'DEL', limits: object): Promise<number> {
  const cniVersion = '0.4.0';
  const prevResult = {
    cniVersion,
    interfaces: [
      { name: hostEndNameOf(box.endpointId), mac: '02:00:00:00:00:01' },
      { name: 'eth0', mac: box.macAddress, sandbox: box.namespace.path },
    ],
    ips: [{ version: '4', address: `${box.address}/24`, interface: 1 }],
  };
  const variables = [
    `CNI_COMMAND=${command}`,
    `CNI_CONTAINERID=${box.endpointId}`,
    `CNI_NETNS=${box.namespace.path}`,
    'CNI_IFNAME=eth0',
    'CNI_PATH=/usr/lib/cni',
  ];
  const input = JSON.stringify({ cniVersion, name: 'bench', type: 'bandwidth', ...limits, prevResult });
  const start = performance.now();
  const { status, stdout, stderr } = await run(inside(host.home, 'env', ...variables, CNI_PLUGIN), { input });
  if (status !== 0)
    throw new Error(`the CNI plugin bandwidth failed with status ${status}: ${stdout}${stderr}`);
  return performance.now() - start;
}

/** @returns its exit status */
export async function wondershaper(box: Sandbox, megabits: number): Promise<number> {
  const kilobits = `${megabits * 1000}`;
  return (await run(inside(box.namespace, WONDERSHAPER, 'eth0', kilobits, kilobits))).status ?? -1;
}
