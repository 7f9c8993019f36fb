/**
 * Where the kernel shows bridged frames to the firewall (net.bridge.bridge-nf-call-iptables=1), the engine's own rules drop
 * what its bridges do not forward. An operator lets a bridge of ours pass like this.
 */
import type { Machine } from './machine.ts';

/** After the engine has started, which makes the chain. */
export async function letBridgePass(machine: Machine, bridge: string): Promise<void> {
  await machine.sh(`iptables -I DOCKER-USER -i ${bridge} -o ${bridge} -j ACCEPT`);
}
