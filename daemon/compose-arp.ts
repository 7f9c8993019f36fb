/** The part of the composition that is about MACs and ARP: who has a MAC of his own, what is planned, what is in force. */
import { networkInterfaces } from 'node:os';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../core/log.ts';
import type { MacPrefix } from '../core/mac.ts';
import type { Committer } from '../ipam/commit/committer.ts';
import { Stations } from '../ipam/host/stations.ts';
import type { Leases } from '../ipam/lease/leases.ts';
import { LeasedAddresses } from '../ipam/mac/leased-addresses.ts';
import { MacBook } from '../ipam/mac/mac-book.ts';
import { PlannedPools } from '../ipam/pool/planned-pools.ts';
import type { PoolBook } from '../ipam/pool/pool-book.ts';
import { OwnMacs } from '../ipam/reconcile/own-macs.ts';
import { AddressProbes } from '../links/address-probes.ts';
import type { ArpChoice } from '../links/arp-choice.ts';
import { ArpSetting } from '../links/arp-setting.ts';
import { LeasedResponders } from '../links/leased-responders.ts';
import { AddressProbe } from '../net/address-probe.ts';
import type { KernelWorker } from '../net/kernel-worker.ts';
import { KernelNeighbours } from '../net/neighbours.ts';
import { KernelResponder } from '../net/responder.ts';
import type { NetworkInfo } from '../plugin/wire/admin.ts';
import type { ClaimRecord, EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import type { KvPort } from '../store/kv.ts';
import type { Layout } from '../store/layout.ts';
import { checkArp } from './doctor-arp.ts';
import { checkResponder } from './doctor-responder.ts';

export interface ArpParts {
  readonly host: string;
  /** Of pools that have none. */
  readonly macPrefix: MacPrefix;
  readonly kv: KvPort;
  readonly layout: Layout;
  readonly kernel: KernelWorker;
  readonly committer: Committer;
  readonly book: PoolBook;
  readonly leases: Leases;
  readonly networks: { list(): readonly NetworkRecord[]; get(id: string): NetworkRecord | undefined };
  readonly endpoints: { list(): readonly EndpointRecord[] };
  readonly claims: { list(): readonly ClaimRecord[] };
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Changes come in swarms: this long they are gathered. */
const GATHER_MS = 50;

export type ArpComposition = ReturnType<typeof composeArp>;

export function composeArp(parts: ArpParts) {
  const { host, macPrefix, kv, layout, kernel, book, leases, networks, endpoints, clock, logger } = parts;
  const macs = new MacBook({ kv, layout, logger });
  const planned = new PlannedPools({ macPrefix }, { book, macs, claims: parts.claims });
  const responder = new KernelResponder(kernel);
  const leased = new LeasedResponders({
    leases: new LeasedAddresses({ kv, layout, logger }),
    responder,
    logger,
  });
  const setting = new ArpSetting({
    pools: planned,
    neighbours: new KernelNeighbours(kernel),
    responder,
    networks,
    leased,
    clock,
    logger,
  });
  const strangers = new AddressProbes({ networks, probe: new AddressProbe({}, kernel), logger });
  const stations = new Stations(
    { host },
    { layout, committer: parts.committer, macs, networks, addresses: addressesHere, clock, logger },
  );
  const ownMacs = new OwnMacs({ endpoints, networks, planned, leases, kv, layout, clock, logger });
  return {
    macs,
    planned,
    setting,
    strangers,
    ownMacs,
    /** Nothing is made for a network; but others are told of this host's addresses there. */
    uplinkPart: {
      prepare: async (network: NetworkRecord): Promise<void> => stations.expect(network),
      settle: (users: readonly NetworkRecord[]) => {
        stations.look();
        return setting.settle(users, endpoints.list());
      },
    },
    /** Calls `told` some time after anything has changed that the settings of sandboxes rest on. */
    onChange: (told: () => void): void => {
      let waiting = false;
      const changed = (): void => {
        if (waiting) return;
        waiting = true;
        setTimeout(() => {
          waiting = false;
          setting
            .changed()
            .catch((err: unknown) => logger.warn('the ARP responder could not be told', { err }));
          told();
        }, GATHER_MS).unref();
      };
      macs.onChange(changed);
      book.onChange(changed);
    },
    /** When pools and leases are known. */
    start: async (): Promise<void> => {
      stations.start();
      await ownMacs.sweep();
    },
    close: async (): Promise<void> => {
      stations.close();
      await Promise.all([macs.close(), leased.close()]);
    },
    /** The same with how ARP is done. */
    hows: async (infos: readonly NetworkInfo[]) => {
      const choices = await choicesOf({ setting }, networks.list());
      return infos.map(({ networkId, subnets, endpoints }) => {
        const how = choices.get(networkId)?.how;
        return { subnets, endpoints, ...(how === undefined ? {} : { arp: how }) };
      });
    },
    doctor: async () => [
      ...(await checkArp({ networks: networks.list(), setting, macs, clashes: ownMacs.clashes })),
      ...(await checkResponder(responder)),
    ],
  };
}

/** By network: what was chosen, where it is known. */
export async function choicesOf(
  { setting }: { readonly setting: Pick<ArpSetting, 'chosen'> },
  networks: readonly NetworkRecord[],
): Promise<ReadonlyMap<string, ArpChoice>> {
  const choices = new Map<string, ArpChoice>();
  for (const network of networks) {
    const choice = await setting.chosen(network);
    if (choice !== undefined) choices.set(network.networkId, choice);
  }
  return choices;
}

/** Of all links that are up. */
function addressesHere(): string[] {
  return Object.values(networkInterfaces())
    .flat()
    .flatMap((one) => (one?.family === 'IPv4' && !one.internal ? [one.address] : []));
}
