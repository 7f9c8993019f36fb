/**
 * What must be written so that the tree of one side of a parent is as it should be, and what was wrong. Pure.
 *
 * An endpoint keeps its class as long as it is there. Its queue is put in the place of the old one at once; the class itself
 * is changed in place, which htb takes well.
 */
import {
  bfifoOptions,
  classDelete,
  type HtbClass,
  htbClassSet,
  htbOptions,
  isHtbClassOf,
  readBfifo,
} from '../rtnetlink/htb.ts';
import type { NetlinkRequest } from '../rtnetlink/socket.ts';
import { isTokenBucketOf, readTokenBucket, tokenBucketOptions } from '../rtnetlink/token-bucket.ts';
import { filterDelete, filterReplace, qdiscDelete, qdiscReplace } from '../rtnetlink/traffic-control.ts';
import { classOptions, hashOptions, sameKeys, tableOptions, type U32Key } from '../rtnetlink/u32-filter.ts';
import { ETH_P_ALL, TC_H_ROOT } from '../rtnetlink/uapi.ts';
import { leafHandle, majorsOf } from './handles.ts';
import { isHostTree, itemsByMac, keyOf, type TreeLook } from './host-look.ts';
import {
  bucketOf,
  type EndpointClass,
  FIRST_ENDPOINT_MINOR,
  fixedClasses,
  GROUP_KEYS,
  HOST_HANDLE,
  hashKeyOf,
  LAST_ENDPOINT_MINOR,
  type Leaf,
  MAC_TABLE,
  macKeys,
  OWN_CLASS,
  type Side,
  specOf,
  UNKNOWN_MINOR,
} from './host-tree.ts';
import type { FilterLook, QdiscLook } from './link-look.ts';

const PREFERENCE = 1;
const BUCKETS = 256;

export interface TreePlan {
  readonly side: Side;
  readonly endpoints: readonly EndpointClass[];
  /** Of the host itself. */
  readonly ownMacs: readonly string[];
}

export interface TreeSteps {
  readonly requests: readonly NetlinkRequest[];
  readonly mended: readonly string[];
}

export function treeSteps(plan: TreePlan, look: TreeLook): TreeSteps {
  const { side } = plan;
  const stands = look.root !== undefined && isHostTree(look.root);
  if (stands && isSound(side, look)) return changes(plan, look);
  const removal = stands ? treeRemoval(side.linkIndex, look) : [];
  const fresh = changes(plan, { classes: new Map(), leaves: new Map(), filters: [] });
  return {
    requests: [...removal, ...frame(side), ...fresh.requests],
    mended: [stands ? 'the htb was broken, and is made anew' : 'the htb was missing'],
  };
}

/** Everything at once: what waits is lost, and the kernel's default takes its place. */
export function treeRemoval(linkIndex: number, { root }: TreeLook): NetlinkRequest[] {
  if (root === undefined || !isHostTree(root)) return [];
  return [
    qdiscDelete({ linkIndex, handle: HOST_HANDLE, parent: TC_H_ROOT }, `remove the htb of link ${linkIndex}`),
  ];
}

/** The way into the table of MACs is as we make it. */
function isSound({ mac }: Side, { filters }: TreeLook): boolean {
  const { mask, at } = hashKeyOf(mac);
  const ours = filters.filter(({ priority, kind }) => priority === PREFERENCE && kind === 'u32');
  return (
    ours.length === filters.length &&
    ours.some(({ handle, u32 }) => handle === MAC_TABLE && u32?.divisor === BUCKETS) &&
    ours.some(({ u32 }) => u32?.linkTable === MAC_TABLE && u32.hashMask === mask && u32.hashAt === at) &&
    (mac === 'source' || ours.some(({ u32 }) => u32?.classId === OWN_CLASS && sameKeys(u32.keys, GROUP_KEYS)))
  );
}

function frame({ linkIndex, mac }: Side): NetlinkRequest[] {
  const operation = `make the htb of link ${linkIndex}`;
  const { mask, at } = hashKeyOf(mac);
  const root = { linkIndex, handle: HOST_HANDLE, parent: TC_H_ROOT, kind: 'htb' };
  const requests = [
    qdiscReplace(root, htbOptions(UNKNOWN_MINOR), operation),
    filter(linkIndex, MAC_TABLE, tableOptions(BUCKETS), operation),
    filter(linkIndex, 0, hashOptions(MAC_TABLE, mask, at), operation),
  ];
  if (mac === 'destination')
    requests.push(filter(linkIndex, 0, classOptions(GROUP_KEYS, OWN_CLASS), operation));
  return requests;
}

function changes(plan: TreePlan, look: Omit<TreeLook, 'root'>): TreeSteps {
  const { side, endpoints, ownMacs } = plan;
  const mended: string[] = [];
  const requests: NetlinkRequest[] = [];
  const note = (name: string, steps: readonly NetlinkRequest[], what: string): void => {
    requests.push(...steps);
    if (steps.length > 0) mended.push(`${name}: ${what}`);
  };
  const items = itemsByMac(look.filters);
  const taken = new Set(look.classes.keys());
  const majors = majorsOf(look.leaves.values());
  for (const { spec, leaf } of fixedClasses(side)) {
    note('host', classSteps(spec, leaf, look, majors), 'a class was missing or different');
  }
  const wanted = new Set<string>();
  for (const macAddress of ownMacs) {
    const keys = macKeys(macAddress, side.mac);
    wanted.add(keyOf(keys));
    note('host', itemSteps(side, macAddress, keys, OWN_CLASS, items), 'a filter was missing or different');
  }
  for (const endpoint of endpoints) {
    const keys = macKeys(endpoint.macAddress, side.mac);
    if (wanted.has(keyOf(keys))) continue;
    wanted.add(keyOf(keys));
    const classId = ownClassOf(items.get(keyOf(keys)), look) ?? freeClass(taken);
    taken.add(classId);
    const spec = specOf(side, classId & 0xffff, endpoint);
    note(endpoint.name, classSteps(spec, endpoint.leaf, look, majors), 'its class was missing or different');
    note(
      endpoint.name,
      itemSteps(side, endpoint.macAddress, keys, classId, items),
      'its filter was missing or different',
    );
  }
  const left = [...items].filter(([key]) => !wanted.has(key)).map(([, item]) => item);
  note('others', removals(side, left, plan, look), 'classes and filters are removed');
  return { requests, mended };
}

/** @param majors in use on the link; those of new queues are added */
function classSteps(
  spec: HtbClass,
  leaf: Leaf | undefined,
  look: Omit<TreeLook, 'root'>,
  majors: Set<number>,
): NetlinkRequest[] {
  const { linkIndex, classId } = spec;
  const operation = `shape class ${classId.toString(16)} of link ${linkIndex}`;
  const found = look.classes.get(classId);
  // The kernel calls the parent of the uppermost class root.
  const same =
    found !== undefined &&
    isHtbClassOf(spec.parent === HOST_HANDLE ? { ...found, parent: spec.parent } : found, spec);
  const requests = same ? [] : [htbClassSet(spec, operation)];
  if (leaf === undefined || isLeafOf(look.leaves.get(classId), leaf)) return requests;
  const options = leaf.kind === 'tbf' ? tokenBucketOptions(leaf.shape) : bfifoOptions(leaf.limitBytes);
  const qdisc = { linkIndex, handle: leafHandle(majors), parent: classId, kind: leaf.kind };
  return [...requests, qdiscReplace(qdisc, options, operation)];
}

function isLeafOf(found: QdiscLook | undefined, leaf: Leaf): boolean {
  if (found?.kind !== leaf.kind) return false;
  if (leaf.kind === 'bfifo') return readBfifo(found.options) === leaf.limitBytes;
  const bucket = readTokenBucket(found.options);
  return bucket !== undefined && isTokenBucketOf(bucket, leaf.shape);
}

function itemSteps(
  { linkIndex }: Side,
  macAddress: string,
  keys: readonly U32Key[],
  classId: number,
  items: ReadonlyMap<string, FilterLook>,
): NetlinkRequest[] {
  const found = items.get(keyOf(keys));
  if (found?.u32?.classId === classId && found.u32.actions.length === 0) return [];
  const operation = `put ${macAddress} into a class of link ${linkIndex}`;
  const add = filter(linkIndex, 0, classOptions(keys, classId, bucketOf(macAddress)), operation);
  return found === undefined ? [add] : [itemDelete(linkIndex, found), add];
}

/** Filters first: a class that a filter names stays. */
function removals(
  { linkIndex }: Side,
  left: readonly FilterLook[],
  plan: TreePlan,
  look: Omit<TreeLook, 'root'>,
): NetlinkRequest[] {
  const items = itemsByMac(look.filters);
  const kept = new Set(
    plan.endpoints.map(
      ({ macAddress }) => items.get(keyOf(macKeys(macAddress, plan.side.mac)))?.u32?.classId,
    ),
  );
  const idle = [...look.classes.keys()].filter((classId) => isEndpointClass(classId) && !kept.has(classId));
  return [
    ...left.map((item) => itemDelete(linkIndex, item)),
    ...idle.map((classId) => classDelete(linkIndex, classId, `remove a class of link ${linkIndex}`)),
  ];
}

/** The class that the endpoint has already. */
function ownClassOf(
  item: FilterLook | undefined,
  { classes }: Pick<TreeLook, 'classes'>,
): number | undefined {
  const classId = item?.u32?.classId;
  return classId !== undefined && isEndpointClass(classId) && classes.has(classId) ? classId : undefined;
}

function freeClass(taken: ReadonlySet<number>): number {
  for (let minor = FIRST_ENDPOINT_MINOR; minor < LAST_ENDPOINT_MINOR; minor++) {
    const classId = (HOST_HANDLE | minor) >>> 0;
    if (!taken.has(classId)) return classId;
  }
  return (HOST_HANDLE | UNKNOWN_MINOR) >>> 0;
}

function isEndpointClass(classId: number): boolean {
  const minor = classId & 0xffff;
  return minor >= FIRST_ENDPOINT_MINOR && minor < LAST_ENDPOINT_MINOR;
}

function filter(linkIndex: number, handle: number, options: Buffer, operation: string): NetlinkRequest {
  const place = { linkIndex, parent: HOST_HANDLE, priority: PREFERENCE, protocol: ETH_P_ALL, handle };
  return filterReplace(place, 'u32', options, operation);
}

function itemDelete(linkIndex: number, { handle }: FilterLook): NetlinkRequest {
  const place = { linkIndex, parent: HOST_HANDLE, priority: PREFERENCE, protocol: ETH_P_ALL, handle };
  return filterDelete(place, 'u32', `remove a filter of link ${linkIndex}`);
}
