/**
 * struct tc_ratespec and the kernel's unit of time in it, which qdiscs and policers share. No socket, no policy.
 *
 * | tc_ratespec | offset | size | field                                                  |
 * |-------------|-------:|-----:|--------------------------------------------------------|
 * |             |      0 |    1 | cell_log, for tables                                   |
 * |             |      1 |    1 | linklayer; ETHERNET: the kernel needs no table         |
 * |             |      2 |    2 | overhead                                               |
 * |             |      4 |    2 | cell_align                                             |
 * |             |      6 |    2 | mpu                                                    |
 * |             |      8 |    4 | bytes a second; what is more stands in an attribute *64 |
 *
 * @see linux/pkt_sched.h struct tc_ratespec; include/net/sch_generic.h psched_ratecfg_precompute
 */
import { TC_LINKLAYER_ETHERNET } from './uapi.ts';
import { attribute } from './wire.ts';

export const RATE_SPEC_BYTES = 12;
/** include/net/pkt_sched.h PSCHED_SHIFT 6; the second number of /proc/net/psched. */
const NANOSECONDS_A_TICK = 64;
const MOST_32 = 0xffff_ffff;

/** Whole bytes, downwards: a limit is never above what was said. */
export function bytesPerSecond(bitsPerSecond: number): number {
  return Math.floor(bitsPerSecond / 8);
}

export function rateSpec(rateBytesPerSecond: number, cellLog = 0): Buffer {
  const bytes = Buffer.alloc(RATE_SPEC_BYTES);
  bytes.writeUInt8(cellLog, 0);
  bytes.writeUInt8(TC_LINKLAYER_ETHERNET, 1);
  bytes.writeUInt32LE(Math.min(rateBytesPerSecond, MOST_32), 8);
  return bytes;
}

/** The attribute that has the whole rate, if the struct has no room for it. */
export function rate64(type: number, rateBytesPerSecond: number): Buffer {
  if (rateBytesPerSecond < MOST_32) return Buffer.alloc(0);
  const value = Buffer.alloc(8);
  value.writeBigUInt64LE(BigInt(rateBytesPerSecond));
  return attribute(type, value);
}

/** @param wide the attribute *64, if there is one */
export function readRate(bytes: Buffer, offset: number, wide: Buffer | undefined): number {
  if (wide !== undefined && wide.length >= 8) return Number(wide.readBigUInt64LE(0));
  return bytes.readUInt32LE(offset + 8);
}

/** How long so many bytes take at a rate, at most what a field has room for. */
export function ticksOf(bytes: number, rateBytesPerSecond: number): number {
  return Math.min(MOST_32, Math.floor(nanoseconds(bytes, rateBytesPerSecond) / NANOSECONDS_A_TICK));
}

/**
 * Does a time that the kernel tells belong to these bytes? The kernel computes with whole numbers, and tells the lower 32
 * bits of times that are longer.
 */
export function isTimeOf(ticks: number, bytes: number, rateBytesPerSecond: number): boolean {
  const exact = nanoseconds(bytes, rateBytesPerSecond) / NANOSECONDS_A_TICK;
  const tolerance = 2 + exact / 1e8;
  const away = Math.abs((exact % (MOST_32 + 1)) - ticks);
  return away <= tolerance || MOST_32 + 1 - away <= tolerance || (exact > MOST_32 && ticks === MOST_32);
}

function nanoseconds(bytes: number, rateBytesPerSecond: number): number {
  return (bytes * 1e9) / rateBytesPerSecond;
}
