/**
 * The maps of the ARP responder in bytes: a second writing of the structs in responder.bpf.c. Pure.
 *
 * | map      | key                                               | value                                              |
 * |----------|---------------------------------------------------|----------------------------------------------------|
 * | networks | u32 slot                                          | u8 id[32], u8 digest[16], u64 leased until (ns)    |
 * | answers  | u32 prefix length (32 + bits), u32 slot, u8 ip[4] | u8 head[2], u8 xor[4], u16 0                       |
 * | leased   | u32 slot, u8 ip[3], u8 0                          | u8 bits[32]; bit n of byte k: address 8 k + n      |
 *
 * Numbers are the host's (little-endian), addresses and MACs in the order of the wire. `answers` is a trie: the longest
 * prefix wins.
 */
import { createHash } from 'node:crypto';
import { InvalidRequest } from '../../core/errors.ts';
import type { NeighbourRun } from '../neighbour-plan.ts';
import { BPF_F_NO_PREALLOC, BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LPM_TRIE } from '../rtnetlink/uapi.ts';
import type { MapSpec } from './objects.ts';
import { RESPONDER_PROGRAM } from './responder-program.ts';

export const PROGRAM_NAME = 'lanius_arp';

export type MapName = 'networks' | 'answers' | 'leased';

/** In the order of the marks in the program. Only what is used takes memory, but for 100 KiB of tables. */
export const MAPS: readonly (MapSpec & { readonly map: MapName; readonly mark: number })[] = [
  {
    map: 'networks',
    mark: 0x4c41_0001,
    name: 'lanius_networks',
    type: BPF_MAP_TYPE_HASH,
    keyBytes: 4,
    valueBytes: 56,
    maxEntries: 1024,
    flags: BPF_F_NO_PREALLOC,
  },
  {
    map: 'answers',
    mark: 0x4c41_0002,
    name: 'lanius_answers',
    type: BPF_MAP_TYPE_LPM_TRIE,
    keyBytes: 12,
    valueBytes: 8,
    maxEntries: 262_144,
    flags: BPF_F_NO_PREALLOC,
  },
  {
    map: 'leased',
    mark: 0x4c41_0003,
    name: 'lanius_leased',
    type: BPF_MAP_TYPE_HASH,
    keyBytes: 8,
    valueBytes: 32,
    maxEntries: 4096,
    flags: BPF_F_NO_PREALLOC,
  },
];

/** Eight hex digits that change with the program or its maps. */
export const RESPONDER_VERSION = createHash('sha256')
  .update(RESPONDER_PROGRAM)
  .update(JSON.stringify(MAPS))
  .digest('hex')
  .slice(0, 8);

/** The program sees 16 bits of the filter's class id. */
export const SLOTS = 0xffff;

export interface NetworkEntry {
  /** 64 hex digits. */
  readonly networkId: string;
  /** Of the plan that stands in `answers`, 32 hex digits. */
  readonly digest: string;
  /** CLOCK_MONOTONIC; until then only leased addresses are answered. 0: all that are planned. */
  readonly leasedUntilNs: bigint;
}

/** Entries of one map, key and value in hex. */
export type Entries = ReadonlyMap<string, string>;

export function slotKey(slot: number): Buffer {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(slot, 0);
  return key;
}

/** Whose entry it is, of a key of `answers` or `leased`. */
export function slotOf(map: 'answers' | 'leased', key: Buffer): number {
  return key.readUInt32LE(map === 'answers' ? 4 : 0);
}

/** @throws InvalidRequest if the id is not 64 hex digits */
export function networkEntry({ networkId, digest, leasedUntilNs }: NetworkEntry): Buffer {
  if (!/^[0-9a-f]{64}$/.test(networkId)) {
    throw new InvalidRequest(`network id "${networkId.slice(0, 80)}" is not 64 hex digits`);
  }
  const value = Buffer.alloc(56);
  value.write(networkId, 0, 'hex');
  value.write(digest, 32, 'hex');
  value.writeBigUInt64LE(leasedUntilNs, 48);
  return value;
}

export function readNetworkEntry(value: Buffer): NetworkEntry {
  return {
    networkId: value.toString('hex', 0, 32),
    digest: value.toString('hex', 32, 48),
    leasedUntilNs: value.readBigUInt64LE(48),
  };
}

/** The fewest entries for the IPv4 runs of a plan; IPv6 has no ARP. */
export function answersOf(slot: number, runs: readonly NeighbourRun[]): Entries {
  const answers = new Map<string, string>();
  for (const run of runs) {
    if (run.family !== 4) continue;
    const value = Buffer.alloc(8);
    value.writeUInt16BE(run.macHead, 0);
    value.writeUInt32BE(run.macXor, 2);
    for (const { first, bits } of prefixesOf(run.first, run.last)) {
      const key = Buffer.alloc(12);
      key.writeUInt32LE(32 + bits, 0);
      key.writeUInt32LE(slot, 4);
      key.writeUInt32BE(first, 8);
      answers.set(key.toString('hex'), value.toString('hex'));
    }
  }
  return answers;
}

/** 32 hex digits that stand for the IPv4 runs. */
export function digestOf(runs: readonly NeighbourRun[]): string {
  const hash = createHash('sha256');
  for (const { family, first, last, macHead, macXor } of runs) {
    if (family === 4) hash.update(`${first} ${last} ${macHead} ${macXor}\n`);
  }
  return hash.digest('hex').slice(0, 32);
}

/** The largest blocks of addresses that make up a range of IPv4 addresses. */
export function* prefixesOf(first: number, last: number): Generator<{ first: number; bits: number }> {
  for (let at = first; at <= last; ) {
    let size = 1;
    let bits = 32;
    while (bits > 0 && at % (size * 2) === 0 && at + size * 2 - 1 <= last) {
      size *= 2;
      bits--;
    }
    yield { first: at, bits };
    at += size;
  }
}

/**
 * The entries for these addresses, on the ground of those that stand.
 * @param added IPv4 addresses as numbers, 0–0xffffffff
 */
export function leasedOf(
  slot: number,
  standing: Entries,
  added: Iterable<number>,
  removed: Iterable<number>,
): Entries {
  const blocks = new Map<string, Buffer>();
  const mark = (address: number, leased: boolean): void => {
    const key = leasedKey(slot, address);
    const bits = blocks.get(key) ?? Buffer.from(standing.get(key) ?? NONE_LEASED, 'hex');
    blocks.set(key, bits);
    const [at, bit] = [(address & 0xff) >> 3, 1 << (address & 7)];
    bits[at] = leased ? (bits[at] ?? 0) | bit : (bits[at] ?? 0) & ~bit;
  };
  for (const address of removed) mark(address, false);
  for (const address of added) mark(address, true);
  const entries = new Map(standing);
  for (const [key, bits] of blocks) {
    const value = bits.toString('hex');
    if (value === NONE_LEASED) entries.delete(key);
    else entries.set(key, value);
  }
  return entries;
}

const NONE_LEASED = '00'.repeat(32);

/** Key of the 256 addresses among which this one is. */
function leasedKey(slot: number, address: number): string {
  const key = Buffer.alloc(8);
  key.writeUInt32LE(slot, 0);
  key.writeUInt32BE((address & 0xffff_ff00) >>> 0, 4);
  return key.toString('hex');
}
