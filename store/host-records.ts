/**
 * What a host remembers on its own disk (store/records.ts), because the engine never tells it again: its
 * networks, endpoints, pool claims, and releases that etcd has not confirmed. It lives and dies with the
 * engine's own database beside it; docs/adr/0005 says why it is not in etcd.
 */
import { z } from 'zod';

/** One `docker network` of this host. Record id = network id. */
export const networkRecordSchema = z.object({
  v: z.literal(1),
  networkId: z.string(),
  parent: z.string(),
  mode: z.enum(['macvlan', 'bridge', 'ipvlan']),
  /** Said for every mode; in force for `macvlan` only. */
  macvlanMode: z.enum(['bridge', 'private', 'vepa', 'passthru']),
  /** `parent` is this VLAN of that link: made if it is not there. */
  vlan: z.object({ lower: z.string(), vlanId: z.number().int() }).optional(),
  /** The NIC at the bottom of several VLANs, or of one that is the operator's; absent: `vlan.lower`, or `parent`. */
  nic: z.string().optional(),
  /** Mode `bridge`: the bridge, whose uplink `parent` is; made if it is not there. */
  bridge: z.string().optional(),
  /** Mode `bridge`: the addresses of `parent` move to the bridge. */
  adoptAddress: z.boolean().optional(),
  /** Host and containers reach each other (mode `macvlan`). */
  hostAccess: z.boolean().optional(),
  /** Absent: auto. */
  arp: z.enum(['auto', 'preload', 'responder', 'off']).optional(),
  /** What the ARP responder answers for; absent: the whole planned range. */
  responder: z.enum(['range', 'leased']).optional(),
  /** An address is asked for on the wire before it is used. */
  probe: z.literal('arp').optional(),
  mtuBytes: z.number().int().optional(),
  /** Where limits are held; absent: in the sandbox. */
  enforce: z.enum(['sandbox', 'host']).optional(),
  /** `-o net_in`, `net_in_burst`, … as text; absent: none was given. */
  limits: z.record(z.string(), z.string()).optional(),
  internal: z.boolean(),
  /** As CreateNetwork brought them; gateway without prefix length. */
  subnets: z.array(z.object({ subnet: z.string(), gateway: z.string().optional() })),
  createdAt: z.number().int(),
});
export type NetworkRecord = z.infer<typeof networkRecordSchema>;

/** One endpoint of this host, from CreateEndpoint to DeleteEndpoint. Record id = endpoint id. */
export const endpointRecordSchema = z.object({
  v: z.literal(1),
  endpointId: z.string(),
  networkId: z.string(),
  /** With prefix length, as the engine sent them; absent if the family is not used. */
  address: z.string().optional(),
  addressIpv6: z.string().optional(),
  macAddress: z.string(),
  linkName: z.string(),
  /** From Join on. */
  sandboxKey: z.string().optional(),
  /** Endpoint options of ours (`--driver-opt`), as text. */
  options: z.record(z.string(), z.string()),
  /**
   * Once it has been found which container it is: so that limits are known after a restart of the daemon, too, when the engine
   * cannot be asked.
   */
  container: z
    .object({
      containerId: z.string(),
      name: z.string(),
      netAdmin: z.boolean(),
      /** Only what is about limits: `net_in`, `NET_OUT_BURST`, … */
      env: z.record(z.string(), z.string()),
      /** Only what is about limits: `lanius.net_in`, … */
      labels: z.record(z.string(), z.string()),
    })
    .optional(),
  createdAt: z.number().int(),
  /** Of the daemon that made it; tells what may still be under way. */
  instance: z.string(),
});
export type EndpointRecord = z.infer<typeof endpointRecordSchema>;

/** One RequestPool that was answered. Record id = PoolID. */
export const claimRecordSchema = z.object({
  v: z.literal(1),
  poolId: z.string(),
  subnet: z.string(),
  /** `--ip-range`: automatic addresses come from here. */
  range: z.string().optional(),
  /** `--ipam-opt range=`: automatic addresses come from that range of the pool. */
  rangeName: z.string().optional(),
  /** `--ipam-opt sticky=`; absent: as the pool says. */
  sticky: z.boolean().optional(),
  /** Gateway and aux addresses that this claim keeps reserved. */
  held: z.array(z.object({ address: z.string(), role: z.enum(['gateway', 'aux']) })),
  /** Known once CreateNetwork came. */
  networkId: z.string().optional(),
  createdAt: z.number().int(),
});
export type ClaimRecord = z.infer<typeof claimRecordSchema>;

/** A release that etcd has not confirmed yet. Record id = `<pool>_<address>_<create revision>`. */
export const releaseRecordSchema = z.object({
  v: z.literal(1),
  subnet: z.string(),
  address: z.string(),
  createRevision: z.number().int(),
  /** Which lease of the address; absent if it was not known. */
  request: z.string().optional(),
});
export type ReleaseRecord = z.infer<typeof releaseRecordSchema>;

const rawAttributeSchema = z.object({ type: z.number().int(), hex: z.string() });
const familySchema = z.union([z.literal(4), z.literal(6)]);
const addressEntrySchema = z.object({
  family: familySchema,
  linkIndex: z.number().int(),
  address: z.string(),
  prefixLength: z.number().int(),
  scope: z.number().int(),
  flags: z.number().int(),
  label: z.string().optional(),
  validSeconds: z.number().int().optional(),
  attributes: z.array(rawAttributeSchema),
});
const routeEntrySchema = z.object({
  family: familySchema,
  destination: z.string().optional(),
  prefixLength: z.number().int(),
  linkIndex: z.number().int().optional(),
  gateway: z.string().optional(),
  table: z.number().int(),
  protocol: z.number().int(),
  scope: z.number().int(),
  type: z.number().int(),
  tos: z.number().int(),
  flags: z.number().int(),
  sourcePrefixLength: z.number().int(),
  shared: z.boolean(),
  attributes: z.array(rawAttributeSchema),
});

/**
 * The addresses of a link that were moved to its bridge, or are about to be, to be put back exactly. Written before the
 * first of them moves. Record id = name of the bridge.
 */
export const adoptionRecordSchema = z.object({
  v: z.literal(1),
  bridge: z.string(),
  uplink: z.string(),
  /** The kernel forgets all of it with the boot; then the record says nothing any more. */
  bootId: z.string(),
  addresses: z.array(addressEntrySchema),
  routes: z.array(routeEntrySchema),
  /** False: some may not have moved yet. */
  done: z.boolean(),
});
export type AdoptionRecord = z.infer<typeof adoptionRecordSchema>;

/**
 * Folder, shape and lifetime of each kind, for RecordStore. An endpoint does not outlive the boot: a power cut ends
 * its container and its link, and the engine then asks for its removal only; so its record need not be synced, and
 * the way of a container costs no disk sync.
 */
export const RECORD_KINDS = {
  networks: { kind: 'networks', schema: networkRecordSchema, survives: 'power cut' },
  endpoints: { kind: 'endpoints', schema: endpointRecordSchema, survives: 'kill' },
  claims: { kind: 'claims', schema: claimRecordSchema, survives: 'power cut' },
  adoptions: { kind: 'adoptions', schema: adoptionRecordSchema, survives: 'power cut' },
  releases: { kind: 'releases', schema: releaseRecordSchema, survives: 'power cut' },
} as const;
