/**
 * Options of filters of kind `u32`: what they match, and what they do. Writes and reads them. No socket, no policy.
 *
 * | tc_u32_sel  | offset | size | field                                                       |
 * |-------------|-------:|-----:|-------------------------------------------------------------|
 * |             |      0 |    1 | flags                                                       |
 * |             |      2 |    1 | number of keys                                              |
 * |             |     10 |    2 | where the hash key is                                       |
 * |             |     12 |    4 | mask of the hash key, big-endian                            |
 * |             |     16 |    … | keys: mask, value (big-endian), where it is, offset mask; 4 each |
 *
 * Places count from the network header; frames' MACs stand before it.
 *
 * @see linux/pkt_cls.h struct tc_u32_sel, tc_u32_key; net/sched/cls_u32.c u32_classify, u32_change
 */
import { attributesOf } from './traffic-control.ts';
import * as uapi from './uapi.ts';
import { asText, asU32, attribute, attributeMap, nested, readAttributes, text, u32 } from './wire.ts';

/** The root table of the first u32 of a parent, and of the next ones from 0x801 on; an item of it is |n. */
export const U32_ROOT_TABLE = 0x8000_0000;
/** First item of the root table that a filter gets: `800::800`. */
export const U32_FIRST_ITEM = 0x8000_0800;
const SEL_BYTES = 16;
const KEY_BYTES = 16;

/** Four bytes of the frame. */
export interface U32Key {
  readonly at: number;
  readonly mask: number;
  readonly value: number;
}

/** All frames. */
export const EVERYTHING: readonly U32Key[] = [{ at: 0, mask: 0, value: 0 }];

export interface U32Info {
  readonly keys: readonly U32Key[];
  readonly classId?: number;
  readonly linkTable?: number;
  readonly hashMask: number;
  readonly hashAt: number;
  readonly divisor?: number;
  /** Index of the link that a mirred action hands frames to; 0 if that link is gone. */
  readonly redirectIndex?: number;
  /** Kinds of all its actions. */
  readonly actions: readonly string[];
  readonly police?: Buffer;
}

/** TCA_OPTIONS of a filter that hands all frames to another link, as if that link sent them. */
export function redirectOptions(toLinkIndex: number): Buffer {
  return actionOptions('mirred', attribute(uapi.TCA_MIRRED_PARMS, mirred(toLinkIndex)));
}

/** TCA_OPTIONS of a filter for all frames with one action. @param options inside TCA_ACT_OPTIONS */
export function actionOptions(kind: string, ...options: readonly Buffer[]): Buffer {
  return nested(
    uapi.TCA_OPTIONS,
    attribute(uapi.TCA_U32_SEL, selector(EVERYTHING, uapi.TC_U32_TERMINAL)),
    nested(
      uapi.TCA_U32_ACT,
      nested(1, attribute(uapi.TCA_ACT_KIND, text(kind)), nested(uapi.TCA_ACT_OPTIONS, ...options)),
    ),
  );
}

/** TCA_OPTIONS of a filter that puts frames into a class. @param table the hash table that it stands in, absent: the root */
export function classOptions(keys: readonly U32Key[], classId: number, table?: number): Buffer {
  return nested(
    uapi.TCA_OPTIONS,
    attribute(uapi.TCA_U32_CLASSID, u32(classId)),
    ...(table === undefined ? [] : [attribute(uapi.TCA_U32_HASH, u32(table))]),
    attribute(uapi.TCA_U32_SEL, selector(keys, uapi.TC_U32_TERMINAL)),
  );
}

/** TCA_OPTIONS of a hash table. @param divisor buckets: a power of two, at most 256 */
export function tableOptions(divisor: number): Buffer {
  return nested(uapi.TCA_OPTIONS, attribute(uapi.TCA_U32_DIVISOR, u32(divisor)));
}

/** TCA_OPTIONS of a filter that looks every frame up in a hash table, by four masked bytes. */
export function hashOptions(table: number, mask: number, at: number): Buffer {
  const bytes = selector(EVERYTHING, 0);
  bytes.writeInt16LE(at, 10);
  bytes.writeUInt32BE(mask, 12);
  return nested(
    uapi.TCA_OPTIONS,
    attribute(uapi.TCA_U32_LINK, u32(table)),
    attribute(uapi.TCA_U32_SEL, bytes),
  );
}

/** @param payload of an RTM_NEWTFILTER message of kind `u32` */
export function readU32(payload: Buffer): U32Info {
  const options = attributeMap(attributesOf(payload).get(uapi.TCA_OPTIONS));
  const sel = options.get(uapi.TCA_U32_SEL);
  const classId = asU32(options.get(uapi.TCA_U32_CLASSID));
  const linkTable = asU32(options.get(uapi.TCA_U32_LINK));
  const divisor = asU32(options.get(uapi.TCA_U32_DIVISOR));
  const actions = readActions(options.get(uapi.TCA_U32_ACT));
  const redirectIndex = actions.map(({ kind, options: inside }) => redirectOf(kind, inside)).find(isSome);
  const police = actions.find(({ kind }) => kind === 'police')?.options.get(uapi.TCA_POLICE_TBF);
  return {
    keys: readKeys(sel),
    hashMask: sel !== undefined && sel.length >= SEL_BYTES ? sel.readUInt32BE(12) : 0,
    hashAt: sel !== undefined && sel.length >= SEL_BYTES ? sel.readInt16LE(10) : 0,
    actions: actions.map(({ kind }) => kind),
    ...(classId === undefined ? {} : { classId }),
    ...(linkTable === undefined ? {} : { linkTable }),
    ...(divisor === undefined ? {} : { divisor }),
    ...(redirectIndex === undefined ? {} : { redirectIndex }),
    ...(police === undefined ? {} : { police }),
  };
}

/** Does it match all frames? */
export function matchesEverything({ keys }: U32Info): boolean {
  return keys.length === 1 && keys[0]?.mask === 0;
}

export function sameKeys(one: readonly U32Key[], other: readonly U32Key[]): boolean {
  return (
    one.length === other.length &&
    one.every(({ at, mask, value }, index) => {
      const key = other[index];
      return key?.at === at && key.mask === mask && key.value === value;
    })
  );
}

function selector(keys: readonly U32Key[], flags: number): Buffer {
  const bytes = Buffer.alloc(SEL_BYTES + KEY_BYTES * keys.length);
  bytes.writeUInt8(flags, 0);
  bytes.writeUInt8(keys.length, 2);
  for (const [index, { at, mask, value }] of keys.entries()) {
    const start = SEL_BYTES + KEY_BYTES * index;
    bytes.writeUInt32BE(mask, start);
    bytes.writeUInt32BE(value, start + 4);
    bytes.writeInt32LE(at, start + 8);
  }
  return bytes;
}

function readKeys(sel: Buffer | undefined): U32Key[] {
  if (sel === undefined || sel.length < SEL_BYTES) return [];
  const count = Math.min(sel.readUInt8(2), Math.floor((sel.length - SEL_BYTES) / KEY_BYTES));
  return Array.from({ length: count }, (_, index) => {
    const start = SEL_BYTES + KEY_BYTES * index;
    return {
      mask: sel.readUInt32BE(start),
      value: sel.readUInt32BE(start + 4),
      at: sel.readInt32LE(start + 8),
    };
  });
}

/** struct tc_mirred: index, capab, action, refcnt, bindcnt, eaction, ifindex; 4 bytes each. */
function mirred(toLinkIndex: number): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.writeInt32LE(uapi.TC_ACT_STOLEN, 8);
  bytes.writeInt32LE(uapi.TCA_EGRESS_REDIR, 20);
  bytes.writeUInt32LE(toLinkIndex, 24);
  return bytes;
}

interface ActionInfo {
  readonly kind: string;
  readonly options: ReadonlyMap<number, Buffer>;
}

function readActions(value: Buffer | undefined): ActionInfo[] {
  return readAttributes(value ?? Buffer.alloc(0)).flatMap(({ value: bytes }) => {
    const action = attributeMap(bytes);
    const kind = asText(action.get(uapi.TCA_ACT_KIND));
    return kind === undefined ? [] : [{ kind, options: attributeMap(action.get(uapi.TCA_ACT_OPTIONS)) }];
  });
}

function redirectOf(kind: string, options: ReadonlyMap<number, Buffer>): number | undefined {
  const parameters = kind === 'mirred' ? options.get(uapi.TCA_MIRRED_PARMS) : undefined;
  if (parameters === undefined || parameters.length < 28) return undefined;
  const redirects =
    parameters.readInt32LE(8) === uapi.TC_ACT_STOLEN && parameters.readInt32LE(20) === uapi.TCA_EGRESS_REDIR;
  return redirects ? parameters.readUInt32LE(24) : undefined;
}

function isSome<T>(value: T | undefined): value is T {
  return value !== undefined;
}
