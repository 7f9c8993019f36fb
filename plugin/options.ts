/**
 * The options that people may give: `-o` of a network, `--ipam-opt` of a pool, `--driver-opt` of an endpoint, each
 * with its parser and its explanation. docs/options.md is generated from these tables.
 *
 * Must not: let a misspelt option pass. Keys of the engine (`com.docker.network.*`) and of others (any key with a
 * dot that does not begin with `lanius.`) are none of our business and are accepted. A key with `lanius.` in front of it, as
 * labels have, is the same key.
 * Source: linux/if_link.h (enum macvlan_mode), IEEE 802.1Q-2022 §9.6 (VLAN ids), net/core/dev.c dev_valid_name().
 */
import { InvalidRequest, Unsupported } from '../core/errors.ts';
import { nearest } from '../core/nearest.ts';
import type { MacvlanMode } from '../net/port.ts';
import { LIMIT_OPTIONS } from './limit-options.ts';

interface OptionSpec<T> {
  /** What may stand there, for people: `1 to 4094`. */
  readonly values: string;
  readonly default: string;
  readonly explanation: string;
  /** @throws InvalidRequest, Unsupported */
  readonly parse: (text: string) => T;
}
type Table = Readonly<Record<string, OptionSpec<unknown>>>;
type Parsed<T extends Table> = { readonly [K in keyof T]?: ReturnType<T[K]['parse']> };

const OUR_PREFIX = 'lanius.';
/** 0 and 4095 are reserved. */
export const LAST_VLAN = 4094;
const MACVLAN_MODES: readonly MacvlanMode[] = ['bridge', 'private', 'vepa', 'passthru'];

/** `docker network create -o key=value` */
export const NETWORK_OPTIONS = {
  adopt_address: {
    values: 'true, false',
    default: 'false',
    explanation:
      'Mode bridge: the addresses and routes of the parent move to the bridge, and back when the network goes.',
    parse: (text) => flag('adopt_address', text),
  },
  arp: {
    values: 'auto, preload, responder, off',
    default: 'auto',
    explanation:
      'How ARP requests for containers are kept off the wire: auto = preload for up to 4096 addresses, else responder; preload = a static table in each container; responder = a program in the kernel answers them; off = ordinary ARP. All but off take every address of the range for a container’s: exclude other machines from the pool (docs/arp.md).',
    parse: (text) => oneOf('arp', text, ['auto', 'preload', 'responder', 'off'] as const, InvalidRequest),
  },
  bridge: {
    values: 'name of a bridge',
    default: 'br- and the name of the parent',
    explanation: 'Mode bridge: the bridge that containers are ports of; made if it does not exist.',
    parse: (text) => linkName('bridge', text),
  },
  enforce: {
    values: 'sandbox, host',
    default: 'sandbox',
    explanation:
      'Where limits are held: sandbox = on each container’s link, which a container with NET_ADMIN can undo for a moment; host = on the parent, out of its reach; needs macvlan_mode=private or vepa (docs/limits.md).',
    parse: (text) => oneOf('enforce', text, ['sandbox', 'host'] as const, InvalidRequest),
  },
  host_access: {
    values: 'true, false',
    default: 'false',
    explanation: 'Mode macvlan: this host and its own containers reach each other.',
    parse: (text) => flag('host_access', text),
  },
  macvlan_mode: {
    values: MACVLAN_MODES.join(', '),
    default: 'bridge',
    explanation:
      'How containers of one host reach each other: bridge = directly; private = not at all; vepa = through the switch; passthru = one container has the parent alone.',
    parse: (text) => oneOf('macvlan_mode', text, MACVLAN_MODES, InvalidRequest),
  },
  mode: {
    values: 'macvlan, bridge, ipvlan',
    default: 'macvlan',
    explanation:
      'Kind of link that a container gets: macvlan = a macvlan on the parent; bridge = a veth pair to a bridge whose uplink the parent is; ipvlan = an ipvlan (l2), which shares the MAC of the parent.',
    parse: (text) => oneOf('mode', text, ['macvlan', 'bridge', 'ipvlan'] as const, Unsupported),
  },
  mtu: {
    values: '68 to 65535 bytes, at most that of the parent; at least 1280 with IPv6',
    default: 'that of the parent',
    explanation: 'Largest packet of the containers’ links.',
    parse: (text) => integer('mtu', text, 68, 65_535),
  },
  ...LIMIT_OPTIONS,
  parent: {
    values: 'name of a link of this host, or LINK.VLAN',
    default: 'the configured parent',
    explanation:
      'The link through which the containers reach the segment, for example eth0; or eth0.100 for VLAN 100 of eth0, made if it does not exist.',
    parse: parentName,
  },
  probe: {
    values: 'arp',
    default: 'none',
    explanation:
      'Ask on the wire, before a container gets an address, whether a stranger uses it; such an address is set aside.',
    parse: (text) => oneOf('probe', text, ['arp'] as const, InvalidRequest),
  },
  responder: {
    values: 'range, leased',
    default: 'range',
    explanation:
      'With arp=responder (also where auto has chosen it), what is answered for: range = every planned address; leased = those that are in use, so that others fail after some seconds.',
    parse: (text) => oneOf('responder', text, ['range', 'leased'] as const, InvalidRequest),
  },
  vlan: {
    values: '1 to 4094',
    default: 'that of the pool, else none',
    explanation:
      'Use this VLAN of the parent instead of the parent itself: its sub-interface PARENT.VLAN, made if it does not exist.',
    parse: (text) => integer('vlan', text, 1, LAST_VLAN),
  },
} as const satisfies Table;
export type NetworkOptions = Parsed<typeof NETWORK_OPTIONS>;

/** `docker network create --ipam-opt key=value` */
export const IPAM_OPTIONS = {
  pool: {
    values: 'name of a pool: one of `lanius pool add`, or a configured one',
    default: 'the pool for this host, if no --subnet is given',
    explanation: 'Take the subnet and all that is set for the pool, instead of writing it.',
    parse: (text) => poolName('pool', 'a pool', text),
  },
  range: {
    values: 'name of a range of the pool',
    default: 'all ranges that are for the host and the container',
    explanation: 'Take addresses from this range only; the way to a range with `select=none`.',
    parse: (text) => poolName('range', 'a range', text),
  },
  sticky: {
    values: 'true, false',
    default: 'as the pool says, else false',
    explanation:
      'Addresses follow container names: a container of the same name gets the same address again, on any host. Needs engine 29 or later.',
    parse: (text) => flag('sticky', text),
  },
} as const satisfies Table;
export type IpamOptions = Parsed<typeof IPAM_OPTIONS>;

/** `--driver-opt key=value` of an endpoint (`docker run --network name=N,driver-opt=k=v`). */
export const ENDPOINT_OPTIONS = { ...LIMIT_OPTIONS } as const satisfies Table;
export type EndpointOptions = Parsed<typeof ENDPOINT_OPTIONS>;

/** @param given `com.docker.network.generic` of CreateNetwork @throws InvalidRequest, Unsupported */
export function parseNetworkOptions(given: Readonly<Record<string, unknown>>): NetworkOptions {
  return parseWith('network', NETWORK_OPTIONS, given);
}

/** @param given `Options` of RequestPool @throws InvalidRequest */
export function parseIpamOptions(given: Readonly<Record<string, unknown>>): IpamOptions {
  return parseWith('IPAM', IPAM_OPTIONS, given);
}

/**
 * @param given `Options` of CreateEndpoint, in which the engine's own keys stand too
 * @returns those that are ours
 * @throws InvalidRequest
 */
export function parseEndpointOptions(given: Readonly<Record<string, unknown>>): EndpointOptions {
  return parseWith('endpoint', ENDPOINT_OPTIONS, given);
}

/** One line of docs/options.md. */
export interface OptionRow {
  readonly given: '-o' | '--ipam-opt' | '--driver-opt';
  readonly key: string;
  readonly values: string;
  readonly default: string;
  readonly explanation: string;
}

export function optionRows(): OptionRow[] {
  const tables: readonly (readonly [OptionRow['given'], Table])[] = [
    ['-o', NETWORK_OPTIONS],
    ['--ipam-opt', IPAM_OPTIONS],
    ['--driver-opt', ENDPOINT_OPTIONS],
  ];
  return tables.flatMap(([given, table]) =>
    Object.entries(table).map(([key, spec]) => ({
      given,
      key,
      values: spec.values,
      default: spec.default,
      explanation: spec.explanation,
    })),
  );
}

function parseWith<T extends Table>(
  kind: string,
  table: T,
  given: Readonly<Record<string, unknown>>,
): Parsed<T> {
  const parsed = new Map<string, unknown>();
  for (const [key, value] of Object.entries(given)) {
    if (isForeign(key)) continue;
    const name = key.startsWith(OUR_PREFIX) ? key.slice(OUR_PREFIX.length) : key;
    const spec = Object.hasOwn(table, name) ? table[name] : undefined;
    if (spec === undefined) throw unknownOption(kind, key, name, Object.keys(table));
    if (typeof value !== 'string') throw new InvalidRequest(`${kind} option ${name}: its value must be text`);
    if (parsed.has(name)) {
      throw new InvalidRequest(
        `${kind} option ${name} is given twice, as ${name} and ${OUR_PREFIX}${name}: leave one out`,
      );
    }
    parsed.set(name, spec.parse(value));
  }
  return Object.fromEntries(parsed) as Parsed<T>;
}

/** Somebody else's key. */
function isForeign(key: string): boolean {
  return key.includes('.') && !key.startsWith(OUR_PREFIX);
}

function unknownOption(kind: string, key: string, name: string, known: readonly string[]): InvalidRequest {
  const guess = nearest(name, known);
  const question = guess === undefined ? '' : `did you mean "${guess}"? `;
  return new InvalidRequest(`unknown ${kind} option ${quoted(key)}: ${question}known: ${known.join(', ')}`);
}

function oneOf<T extends string>(
  key: string,
  text: string,
  known: readonly T[],
  Refusal: typeof InvalidRequest | typeof Unsupported,
): T {
  const found = known.find((value) => value === text);
  if (found !== undefined) return found;
  throw new Refusal(`option ${key}: ${quoted(text)} is not offered, only ${known.join(', ')}`);
}

function flag(key: string, text: string): boolean {
  return oneOf(key, text, ['true', 'false'] as const, InvalidRequest) === 'true';
}

function integer(key: string, text: string, least: number, most: number): number {
  const value = /^[1-9]\d{0,5}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new InvalidRequest(`option ${key}: ${quoted(text)} is not a whole number from ${least} to ${most}`);
}

/** Part of a PoolID and of keys in etcd. */
function poolName(key: string, what: string, text: string): string {
  if (/^[0-9a-zA-Z][0-9a-zA-Z._-]{0,62}$/.test(text)) return text;
  throw new InvalidRequest(`option ${key}: ${quoted(text)} is not the name of ${what}`);
}

/** A link, or LINK.VLAN, which may be longer than a name (core/ids.ts vlanLinkNameOf shortens it). */
function parentName(text: string): string {
  if (/^[^\s/:\0]{1,15}\.\d{1,4}$/u.test(text)) return text;
  return linkName('parent', text);
}

/** As the kernel's dev_valid_name(): at most 15 characters (IFNAMSIZ − 1), no slash, colon or white space. */
function linkName(key: string, text: string): string {
  if (/^[^\s/:\0]{1,15}$/u.test(text) && text !== '.' && text !== '..') return text;
  throw new InvalidRequest(`option ${key}: ${quoted(text)} cannot be the name of a link`);
}

function quoted(text: string): string {
  const printable = text.replace(/[^\x20-\x7e]/g, '?');
  return `"${printable.length > 40 ? `${printable.slice(0, 37)}...` : printable}"`;
}
