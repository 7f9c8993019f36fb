/**
 * How the kernel ended a request: reads NLMSG_ERROR and NLMSG_DONE with what comes with them. No socket, no policy.
 *
 * @see linux/netlink.h struct nlmsgerr, NETLINK_EXT_ACK, NETLINK_CAP_ACK
 */
import { NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_DONE, NLMSG_ERROR, NLMSGERR_ATTR_MSG } from './uapi.ts';
import { align, asText, attributeMap, MESSAGE_HEADER_BYTES, type NetlinkMessage } from './wire.ts';

/** How the kernel ended one request. */
export interface Verdict {
  /** 0 = done. */
  readonly errno: number;
  readonly kernelText?: string;
}

/**
 * | NLMSG_ERROR | offset | size | field                                                        |
 * |-------------|-------:|-----:|--------------------------------------------------------------|
 * | nlmsgerr    |      0 |    4 | negative errno, 0 = acknowledged                             |
 * |             |      4 |   16 | header of the request, its payload behind unless NLM_F_CAPPED |
 * |             |      … |    … | NLMSGERR_ATTR_* if NLM_F_ACK_TLVS                            |
 *
 * NLMSG_DONE carries the negative errno in its first 4 bytes, too (kernels since 4.20 may fail a dump that way).
 * @returns undefined for a message that ends nothing
 */
export function verdictOf({ type, flags, payload }: NetlinkMessage): Verdict | undefined {
  if (type !== NLMSG_ERROR && type !== NLMSG_DONE) return undefined;
  const errno = payload.length >= 4 ? -payload.readInt32LE(0) : 0;
  if ((flags & NLM_F_ACK_TLVS) === 0) return { errno };
  const kernelText = asText(
    attributeMap(acknowledgementAttributes(type, flags, payload)).get(NLMSGERR_ATTR_MSG),
  );
  return kernelText === undefined ? { errno } : { errno, kernelText };
}

function acknowledgementAttributes(type: number, flags: number, payload: Buffer): Buffer {
  if (type === NLMSG_DONE) return payload.subarray(4);
  const capped = (flags & NLM_F_CAPPED) !== 0 || payload.length < 8;
  const requestBytes = capped ? MESSAGE_HEADER_BYTES : payload.readUInt32LE(4);
  return payload.subarray(4 + align(requestBytes));
}
