/**
 * The action `police`: writes and reads it. What exceeds the rate is dropped. No socket, no policy.
 *
 * | tc_police | offset | size | field                                          |
 * |-----------|-------:|-----:|------------------------------------------------|
 * |           |      4 |    4 | action for what exceeds                        |
 * |           |     12 |    4 | burst, as the time that it takes at the rate   |
 * |           |     16 |    4 | mtu: larger packets exceed                     |
 * |           |     20 |   12 | rate                                           |
 * |           |     44 |   12 | reference counts                               |
 *
 * The kernel asks for a table of times though it does not use it with this link layer.
 *
 * @see linux/pkt_cls.h struct tc_police; net/sched/act_police.c tcf_police_init; sch_api.c qdisc_get_rtab
 */
import type { Shape } from '../shaping-port.ts';
import { bytesPerSecond, isTimeOf, rate64, rateSpec, readRate, ticksOf } from './rate-spec.ts';
import { actionOptions } from './u32-filter.ts';
import * as uapi from './uapi.ts';
import { attribute, u32 } from './wire.ts';

const POLICE_BYTES = 56;
const TABLE_ENTRIES = 256;
/** 256 entries for packets of up to 128 KiB: more than the largest one of segmentation offload. */
const CELL_LOG = 9;
const MTU_BYTES = (TABLE_ENTRIES - 1) << CELL_LOG;

/** TCA_OPTIONS of a u32 filter for all frames. */
export function policeOptions({ rateBitsPerSecond, burstBytes }: Shape): Buffer {
  const rate = bytesPerSecond(rateBitsPerSecond);
  const parameters = Buffer.alloc(POLICE_BYTES);
  parameters.writeInt32LE(uapi.TC_ACT_SHOT, 4);
  parameters.writeUInt32LE(ticksOf(burstBytes, rate), 12);
  parameters.writeUInt32LE(MTU_BYTES, 16);
  rateSpec(rate, CELL_LOG).copy(parameters, 20);
  const table = Buffer.alloc(4 * TABLE_ENTRIES);
  for (let entry = 0; entry < TABLE_ENTRIES; entry++) {
    table.writeUInt32LE(ticksOf((entry + 1) << CELL_LOG, rate), 4 * entry);
  }
  return actionOptions(
    'police',
    attribute(uapi.TCA_POLICE_TBF, parameters),
    attribute(uapi.TCA_POLICE_RATE, table),
    // What is within goes on to the filters behind.
    attribute(uapi.TCA_POLICE_RESULT, u32(uapi.TC_ACT_UNSPEC >>> 0)),
    rate64(uapi.TCA_POLICE_RATE64, rate),
  );
}

/** @param found struct tc_police, as the kernel tells it */
export function isPoliceOf(found: Buffer, { rateBitsPerSecond, burstBytes }: Shape): boolean {
  const rate = bytesPerSecond(rateBitsPerSecond);
  if (found.length < POLICE_BYTES) return false;
  return (
    found.readInt32LE(4) === uapi.TC_ACT_SHOT &&
    readRate(found, 20, undefined) === Math.min(rate, 0xffff_ffff) &&
    isTimeOf(found.readUInt32LE(12), burstBytes, rate)
  );
}
