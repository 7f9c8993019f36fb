/** Doctor's checks of MACs and ARP: what was chosen for each network, what strangers use, who has whose MAC. */
import { shortId } from '../core/ids.ts';
import { type Cidr, formatIp, type IpAddress, parseCidr } from '../core/ip.ts';
import type { ArpChoice } from '../links/arp-choice.ts';
import type { DoctorCheck } from '../plugin/wire/admin.ts';
import type { NetworkRecord } from '../store/host-records.ts';

export interface ArpWorld {
  readonly networks: readonly NetworkRecord[];
  readonly setting: { chosen(network: NetworkRecord): Promise<ArpChoice | undefined> };
  readonly macs: { quarantined(subnet: Cidr): readonly IpAddress[] };
  readonly clashes: readonly {
    readonly parent: string;
    readonly mac: string;
    readonly addresses: readonly string[];
  }[];
}

export async function checkArp({ networks, setting, macs, clashes }: ArpWorld): Promise<DoctorCheck[]> {
  const chosen = await Promise.all(
    networks.map(async (network) => ({ network, choice: await setting.chosen(network) })),
  );
  const subnets = [...new Set(networks.flatMap((network) => network.subnets.map(({ subnet }) => subnet)))];
  const quarantined = subnets.flatMap((subnet) => macs.quarantined(parseCidr(subnet)).map(formatIp));
  return [
    ...chosen.map(({ network, choice }) => checkChoice(network, choice)),
    ...clashes.map(
      ({ parent, mac, addresses }): DoctorCheck => ({
        check: 'MAC addresses',
        status: 'fail',
        finding: `${addresses.join(' and ')} on ${parent} have the same MAC ${mac}`,
        remedy:
          'start one of these containers again without --mac-address, or with another (lanius ip ls says whose they are)',
      }),
    ),
    ...quarantined.map(
      (address): DoctorCheck => ({
        check: 'strangers',
        status: 'warn',
        finding: `a machine outside of Lanius uses ${address}; the address is set aside for a time`,
        remedy: `find that machine (lanius ip ls shows its MAC), or exclude its addresses from the pool; lanius ip unreserve ${address} gives it free`,
      }),
    ),
  ];
}

function checkChoice({ networkId }: NetworkRecord, choice: ArpChoice | undefined): DoctorCheck {
  const check = `arp ${shortId(networkId)}`;
  if (choice === undefined) {
    return {
      check,
      status: 'warn',
      finding: 'ARP is as usual, because etcd has not answered since the daemon started',
      remedy: 'check that etcd runs and is reachable',
    };
  }
  const { how, wish, entries, reason, problem } = choice;
  const finding =
    how === 'off' ? `off: ${reason}` : `${how} of ${entries} addresses (arp=${wish}: ${reason})`;
  if (problem === undefined) return { check, status: 'ok', finding };
  return { check, status: 'warn', finding: `${finding}; ${problem}`, remedy: 'see docs/arp.md' };
}
