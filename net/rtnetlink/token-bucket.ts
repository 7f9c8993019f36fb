/**
 * Options of qdiscs of kind `tbf`: writes and reads them, and tells whether two are the same. No socket, no policy.
 *
 * | tc_tbf_qopt | offset | size | field                                   |
 * |-------------|-------:|-----:|-----------------------------------------|
 * |             |      0 |   12 | rate                                    |
 * |             |     12 |   12 | peakrate; 0: none                       |
 * |             |     24 |    4 | limit of the queue in bytes             |
 * |             |     28 |    4 | burst, as the time that it takes at the rate |
 * |             |     32 |    4 | burst of the peak, as time              |
 *
 * Bursts are given in bytes, too (TCA_TBF_BURST, from Linux 3.14 on); the kernel tells them as times only.
 *
 * @see linux/pkt_sched.h struct tc_tbf_qopt, net/sched/sch_tbf.c tbf_change, tbf_dump
 */
import type { Shape } from '../shaping-port.ts';
import {
  bytesPerSecond,
  isTimeOf,
  RATE_SPEC_BYTES,
  rate64,
  rateSpec,
  readRate,
  ticksOf,
} from './rate-spec.ts';
import * as uapi from './uapi.ts';
import { attribute, attributeMap, nested, u32 } from './wire.ts';

const QOPT_BYTES = 36;

/** What the kernel tells of a token bucket. */
export interface TokenBucketInfo {
  readonly rateBytesPerSecond: number;
  /** 0: none. */
  readonly peakBytesPerSecond: number;
  readonly limitBytes: number;
  readonly burstTicks: number;
  readonly peakBurstTicks: number;
}

/** TCA_OPTIONS. */
export function tokenBucketOptions(shape: Shape): Buffer {
  const { burstBytes, limitBytes } = shape;
  const rate = bytesPerSecond(shape.rateBitsPerSecond);
  const peak = peakOf(shape);
  const parameters = Buffer.concat([
    rateSpec(rate),
    peak === undefined ? Buffer.alloc(RATE_SPEC_BYTES) : rateSpec(peak.rate),
    u32(limitBytes),
    u32(ticksOf(burstBytes, rate)),
    u32(peak === undefined ? 0 : ticksOf(peak.burstBytes, peak.rate)),
  ]);
  const attributes = [
    attribute(uapi.TCA_TBF_PARMS, parameters),
    attribute(uapi.TCA_TBF_BURST, u32(burstBytes)),
    rate64(uapi.TCA_TBF_RATE64, rate),
  ];
  if (peak !== undefined) {
    attributes.push(rate64(uapi.TCA_TBF_PRATE64, peak.rate));
    attributes.push(attribute(uapi.TCA_TBF_PBURST, u32(peak.burstBytes)));
  }
  return nested(uapi.TCA_OPTIONS, ...attributes);
}

/** @param options what stands in TCA_OPTIONS. @returns undefined if it is no token bucket */
export function readTokenBucket(options: Buffer | undefined): TokenBucketInfo | undefined {
  const attributes = attributeMap(options);
  const parameters = attributes.get(uapi.TCA_TBF_PARMS);
  if (parameters === undefined || parameters.length < QOPT_BYTES) return undefined;
  return {
    rateBytesPerSecond: readRate(parameters, 0, attributes.get(uapi.TCA_TBF_RATE64)),
    peakBytesPerSecond: readRate(parameters, RATE_SPEC_BYTES, attributes.get(uapi.TCA_TBF_PRATE64)),
    limitBytes: parameters.readUInt32LE(24),
    burstTicks: parameters.readUInt32LE(28),
    peakBurstTicks: parameters.readUInt32LE(32),
  };
}

/** Is it as `tokenBucketOptions` would make it? */
export function isTokenBucketOf(found: TokenBucketInfo, shape: Shape): boolean {
  const rate = bytesPerSecond(shape.rateBitsPerSecond);
  const peak = peakOf(shape);
  return (
    found.rateBytesPerSecond === rate &&
    found.limitBytes === shape.limitBytes &&
    isTimeOf(found.burstTicks, shape.burstBytes, rate) &&
    found.peakBytesPerSecond === (peak?.rate ?? 0) &&
    (peak === undefined || isTimeOf(found.peakBurstTicks, peak.burstBytes, peak.rate))
  );
}

function peakOf(shape: Shape): { readonly rate: number; readonly burstBytes: number } | undefined {
  const { peakBitsPerSecond, peakBurstBytes = shape.burstBytes } = shape;
  if (peakBitsPerSecond === undefined) return undefined;
  return { rate: bytesPerSecond(peakBitsPerSecond), burstBytes: peakBurstBytes };
}
