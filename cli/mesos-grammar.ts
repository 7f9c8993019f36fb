/**
 * What this host has, in the words of a Mesos agent: `--resources` and `--attributes`. Pure.
 *
 *   resources   key(role):scalar;key(role):scalar;…     or the JSON form, which `-o json` prints
 *   attributes  key:text;key:text;…
 *
 * Source: apache/mesos c1b42f7, docs/attributes-resources.md.
 */
import { InvalidRequest } from '../core/errors.ts';
import type { AddressFigures, BandwidthFigures, HostFiguresReply } from '../plugin/wire/admin-mesos.ts';

export interface MesosWords {
  /** Names of the resources. */
  readonly ips: string;
  readonly netIn: string;
  readonly netOut: string;
  /** `*`: everybody's. */
  readonly role: string;
  /** What the host can have at most, which stays the same; otherwise what it has left now. */
  readonly total: boolean;
  /** Pools were named, so those of IPv6 count, too: there are so many of these addresses that the sum says nothing of the rest. */
  readonly named: boolean;
}

/** As the agent reads it in JSON: `Resource` of include/mesos/mesos.proto. */
export interface MesosResource {
  readonly name: string;
  readonly type: 'SCALAR';
  readonly scalar: { readonly value: number };
  readonly role?: string;
}

export interface MesosAttribute {
  readonly name: string;
  readonly type: 'TEXT';
  readonly text: { readonly value: string };
}

const TEXT = /^[a-zA-Z0-9_/.-]+$/;
const BITS = 1e6;
/**
 * An agent reads a scalar as thousandths in 64 bits. So much is exact in its double, too, and a master can add up a thousand hosts.
 * @see mesos/src/common/values.cpp convertToFixed()
 */
const MOST = Math.floor(Number.MAX_SAFE_INTEGER / 1000);

/** Addresses of all IPv4 pools or of those named; bandwidth of all parents, in Mbit/s, of directions that are known. @throws InvalidRequest for names that Mesos cannot read */
export function resourcesOf(
  { addresses, bandwidth = [] }: HostFiguresReply,
  words: MesosWords,
): MesosResource[] {
  const { role, total } = words;
  const [ips, netIn, netOut] = [words.ips, words.netIn, words.netOut].map((name) =>
    textOf('resource name', name),
  );
  if (role !== '*') textOf('role', role);
  const scalar = (name: string | undefined, value: number): MesosResource => ({
    name: name ?? '',
    type: 'SCALAR',
    scalar: { value: Math.min(value, MOST) },
    ...(role === '*' ? {} : { role }),
  });
  const rate = (name: string | undefined, left: (of: BandwidthFigures) => number | undefined) => {
    const known = bandwidth.flatMap((of) => left(of) ?? []);
    return known.length === 0
      ? []
      : [scalar(name, megabits(known.reduce((all, one) => all + Math.max(0, one), 0)))];
  };
  const counted = addresses.filter(({ pool }) => words.named || !pool.includes(':'));
  return [
    ...rate(netIn, (of) =>
      total ? of.declaredInBitsPerSecond : less(of.capacityInBitsPerSecond, of.committedInBitsPerSecond),
    ),
    ...rate(netOut, (of) =>
      total ? of.declaredOutBitsPerSecond : less(of.capacityOutBitsPerSecond, of.committedOutBitsPerSecond),
    ),
    scalar(
      ips,
      counted.reduce((all, of) => all + (total ? of.total : of.free), 0),
    ),
  ];
}

/** `net_in(*):900;ips(*):37` */
export function formatResources(resources: readonly MesosResource[]): string {
  return resources.map(({ name, role = '*', scalar }) => `${name}(${role}):${scalar.value}`).join(';');
}

/** One for each pool: `free` or `full`, or with `total` only that the host has it. */
export function attributesOf({ addresses }: HostFiguresReply, total: boolean): MesosAttribute[] {
  return addresses.map((of) => ({
    name: `lanius_${poolWord(of)}`,
    type: 'TEXT',
    text: { value: total ? 'yes' : of.free > 0 ? 'free' : 'full' },
  }));
}

/** `lanius_flat:free;lanius_db:full` */
export function formatAttributes(attributes: readonly MesosAttribute[]): string {
  return attributes.map(({ name, text }) => `${name}:${text.value}`).join(';');
}

/** Of IPv6 subnets colons would end the name. */
function poolWord({ name, pool }: AddressFigures): string {
  return name ?? pool.replaceAll(':', '.').replace('/', '-');
}

function less(capacity: number | undefined, committed: number): number | undefined {
  return capacity === undefined ? undefined : capacity - committed;
}

/** Mesos knows three decimals. */
function megabits(bitsPerSecond: number): number {
  return Math.floor((bitsPerSecond / BITS) * 1000) / 1000;
}

function textOf(what: string, text: string): string {
  if (TEXT.test(text)) return text;
  const shown = text.replace(/[^\x20-\x7e]/g, '?').slice(0, 64);
  throw new InvalidRequest(
    `"${shown}" is no ${what} for Mesos: use letters, digits, dots, dashes, slashes and underscores`,
  );
}
