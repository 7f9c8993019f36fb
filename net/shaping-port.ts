/**
 * Token buckets on links, for everybody above: what a container receives and sends is held to a rate by the kernel. Must not
 * decide rates, nor who gets them.
 *
 * INVARIANTS
 * - `apply` is idempotent: it looks first and writes only what is missing or different, so it is set-up, change and repair.
 * - A rate that differs is a fresh TBF under another handle, put in the place of the old one at once: no moment without a
 *   limit, no connection lost (an in-place change to a smaller burst wedges the link).
 * - The limit of one direction does not touch the other one.
 * - Filters and a clsact of others (the ARP responder's) stay.
 *
 * @see tc-tbf(8), net/sched/sch_tbf.c; docs/limits.md
 */
import type { Direction } from '../core/limit.ts';

/** One token bucket; throttle/token-bucket.ts computes it. */
export interface Shape {
  readonly rateBitsPerSecond: number;
  readonly burstBytes: number;
  /** Of the queue, burst included: what is more is dropped. */
  readonly limitBytes: number;
  /** Above the rate: how fast the burst itself may pass. */
  readonly peakBitsPerSecond?: number;
  /** What may pass at the link's own speed where there is a peak; at most `burstBytes`, which it is if absent. */
  readonly peakBurstBytes?: number;
}

/** A direction that is absent has no limit; what of ours stands there is removed. Seen from the container. */
export interface ShapePlan {
  readonly in?: Shape;
  readonly out?: Shape;
}

/** Where a container's link can be shaped. */
export type ShapePlace =
  /** The link itself, in its sandbox. */
  | { readonly at: 'sandbox'; readonly namespacePath: string; readonly linkIndex: number }
  /** The host's end of its veth pair, out of the container's reach. */
  | { readonly at: 'host-end'; readonly linkName: string };

/** What enforces a direction; all but `tbf` are fallbacks of kernels that lack something. */
export type ShapeHow = 'tbf' | 'htb' | 'police';

export interface ShapeOutcome {
  readonly in?: ShapeHow;
  readonly out?: ShapeHow;
  /** Why a direction is not enforced as it should be, one line: `the kernel has no ifb (CONFIG_IFB)`. */
  readonly fallback?: string;
  /** What was missing or different and is right now, for people: `out: the qdisc was gone`; empty if nothing was written. */
  readonly mended: readonly string[];
}

/** What passed since the shaper was made (or the link, where there is none). */
export interface PassedTraffic {
  readonly bytes: number;
  readonly packets: number;
  /** By the limit. */
  readonly drops: number;
  /** Whose counter it is: a link's own goes on while a shaper is there, which begins at 0. Absent: not told. */
  readonly counter?: 'shaper' | 'link';
}

export interface EndpointTraffic {
  readonly in: PassedTraffic;
  readonly out: PassedTraffic;
}

export interface ShapingPort {
  /** What this kernel can do, found by trying in a namespace of its own; remembered. @returns true, or what is lacking */
  supported(): Promise<true | string>;
  /**
   * Puts the plan in force, exactly. An empty plan removes what of ours stands there.
   * @returns undefined if the sandbox or the link is gone
   * @throws KernelError; Unsupported if the kernel can enforce a direction in no way
   */
  apply(place: ShapePlace, plan: ShapePlan): Promise<ShapeOutcome | undefined>;
  /**
   * Removes links in the sandbox that step around the limit: other links of the parent (`ip link add link eth0 type macvlan`),
   * but for those that bear the mark of an endpoint. Also those of another network driver on the same parent.
   * @param endpointIds whose marks count; absent: every endpoint's mark does, also one that the container has made up
   * @returns the names of those removed; empty if there are none or the sandbox is gone
   */
  removeBypasses(
    place: Extract<ShapePlace, { at: 'sandbox' }>,
    endpointIds?: readonly string[],
  ): Promise<readonly string[]>;
  /**
   * Counters of many links in one go, cheaply, keeping no descriptor of any sandbox.
   * @returns in the order of `places`; undefined for those that are gone
   */
  traffic(places: readonly ShapePlace[]): Promise<readonly (EndpointTraffic | undefined)[]>;
}

/** An endpoint behind a parent that the host itself shapes (`-o enforce=host`). */
export interface HostShapedEndpoint {
  readonly endpointId: string;
  readonly macAddress: string;
  readonly plan: ShapePlan;
  /** What it has for sure; 0 or absent: a small share. */
  readonly minInBitsPerSecond?: number;
  readonly minOutBitsPerSecond?: number;
}

export interface HostShapingPort {
  /**
   * Makes HTB on the parent (both directions) classify by the MACs of exactly these endpoints; the host's own MAC has a class
   * of its own, unknown MACs share a small one, priorities that sandboxes set are cleared. Idempotent; changes only what
   * differs. With no endpoints at all it is taken away.
   *
   * The MACs of all containers on the parent must be among them, those without a limit, too. What one container sends to
   * another of the same parent is held by the receiver's limit only, unless macvlan_mode is `private` or `vepa`
   * (net/shaping/kernel-host-shaping.ts tells all of it).
   * @param linkBitsPerSecond what the parent can do, by direction as its containers see it
   * @returns what was missing or different, for people
   * @throws NotFound (parent), Conflict (a root qdisc that somebody made), KernelError, Unsupported
   */
  settle(
    parent: string,
    endpoints: readonly HostShapedEndpoint[],
    linkBitsPerSecond: Readonly<Record<Direction, number>>,
  ): Promise<readonly string[]>;
  /** Parents that bear our HTB, or whose ifb has outlived them. */
  parents(): Promise<readonly string[]>;
  traffic(parent: string, endpointIds: readonly string[]): Promise<ReadonlyMap<string, EndpointTraffic>>;
}
