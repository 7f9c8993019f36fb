/** Doctor's check of bridges: does the host's firewall see, and so perhaps drop, what they forward between their ports? */
import type { DoctorCheck } from '../plugin/wire/admin.ts';

/** @param filtered names of bridges that forward through the host's firewall, as last seen */
export function checkBridges(filtered: ReadonlySet<string>): DoctorCheck[] {
  return [...filtered].map((bridge) => ({
    check: `bridge ${bridge}`,
    status: 'warn',
    finding:
      "the host's firewall sees what this bridge forwards (net.bridge.bridge-nf-call-iptables is 1), and the rules of the engine drop what they do not know: containers may reach their host and nobody else",
    remedy: `let it pass (iptables -I DOCKER-USER -i ${bridge} -o ${bridge} -j ACCEPT, and ip6tables), or set net.bridge.bridge-nf-call-iptables=0; if it passes already, ignore this`,
  }));
}
