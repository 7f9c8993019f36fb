/**
 * The kernel's limits of learned neighbours: doctor's check of them, and raising them at the start if the settings say
 * so. What is preloaded does not count; what the ARP responder or ordinary ARP brings does.
 */
import { toDriverError } from '../core/errors.ts';
import { cidrSize, parseCidr } from '../core/ip.ts';
import type { Logger } from '../core/log.ts';
import type { KernelNeighbourLimits } from '../net/neighbour-limits.ts';
import type { NeighbourLimits } from '../net/rtnetlink/neighbour-limits.ts';
import type { DoctorCheck, NetworkInfo } from '../plugin/wire/admin.ts';

/** What `net.tuneNeighbourTable` raises to. The limits take no memory, only entries do (half a kilobyte each). */
export const TUNED: NeighbourLimits = { least: 8192, soft: 32_768, most: 65_536 };
/** Peers that a container is thought to talk with at the same time. */
const PEERS_EACH = 256;
/** What the host and others on it need besides. */
const OTHERS = 256;

const check = 'neighbour table';

/** @param networks with how each does ARP, as far as that is known */
export async function checkNeighbourLimits(
  networks: readonly (Pick<NetworkInfo, 'subnets' | 'endpoints'> & { readonly arp?: string })[],
  limits: Pick<KernelNeighbourLimits, 'read'>,
): Promise<DoctorCheck[]> {
  const found = await limits.read();
  const learning = networks.filter(({ arp }) => arp !== 'preload');
  const containers = learning.reduce((sum, { endpoints }) => sum + endpoints, 0);
  const needed = OTHERS + learning.reduce((sum, network) => sum + network.endpoints * peersOf(network), 0);
  const finding = `the kernel takes ${found.most} learned neighbours (gc_thresh3), for ${containers} containers that learn some`;
  if (found.most >= needed) return [{ check, status: 'ok', finding }];
  const remedy =
    needed <= TUNED.most
      ? 'set net.tuneNeighbourTable to true and restart the daemon, or '
      : `too many for net.tuneNeighbourTable (${TUNED.most}): `;
  return [
    {
      check,
      status: 'warn',
      finding: `${finding}; with ${PEERS_EACH} peers for each it would be ${needed}, and packets to more peers than that are lost`,
      remedy: `${remedy}sysctl -w net.ipv4.neigh.default.gc_thresh3=${powerOfTwo(needed)} (gc_thresh2 half of it)`,
    },
  ];
}

/** At the start. Never throws: the daemon does without. */
export async function tuneNeighbourTable(
  limits: Pick<KernelNeighbourLimits, 'raise'>,
  logger: Logger,
): Promise<void> {
  try {
    const before = await limits.raise(TUNED);
    if (before === undefined) return;
    logger.info('the limits of the neighbour table were raised', { before, to: TUNED });
  } catch (error) {
    logger.warn('the limits of the neighbour table could not be raised', { err: toDriverError(error) });
  }
}

function peersOf({ subnets }: Pick<NetworkInfo, 'subnets'>): number {
  const addresses = subnets.reduce((sum, subnet) => sum + cidrSize(parseCidr(subnet)), 0n);
  return addresses < BigInt(PEERS_EACH) ? Number(addresses) : PEERS_EACH;
}

function powerOfTwo(atLeast: number): number {
  return 2 ** Math.ceil(Math.log2(atLeast));
}
