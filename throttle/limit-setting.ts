/**
 * The limits of an endpoint, in force: what is wished becomes token buckets on its link (net/shaping-port.ts), or classes on
 * its parent (`-o enforce=host`, throttle/host-limits.ts). When that happens is decided by links/sandbox-keeper.ts.
 *
 * INVARIANTS
 * - As long as it is not known what the container itself says, what others say (or the configured cap) is in force first.
 * - A limit that is wished and not in force is an error, told in the endpoint's state: never silently no limit.
 * - What cannot be read is never "no limit": a weaker source counts, and where the engine waits for us the start fails.
 * - A container for which nobody wishes anything costs its start nothing.
 * - As long as it is not known what people have set in etcd, what stands from before a restart stays.
 */
import { InvalidRequest, toDriverError } from '../core/errors.ts';
import { failpoint } from '../core/failpoint.ts';
import { hostEndNameOf } from '../core/ids.ts';
import { DIRECTIONS } from '../core/limit.ts';
import { formatRate } from '../core/rate.ts';
import type { ShapePlace, ShapePlan, ShapingPort } from '../net/shaping-port.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import { type EndpointWish, type EndpointWishes, refusalOf } from './endpoint-wish.ts';
import { type LimitState, type LimitStates, type Outcome, stateOf } from './limit-state.ts';
import { planOf } from './token-bucket.ts';

/** An endpoint's link in its sandbox, as links/sandbox-setting.ts has it. */
export interface LimitedLink {
  readonly endpoint: EndpointRecord;
  readonly network: NetworkRecord;
  readonly namespacePath: string;
  readonly linkIndex: number;
  readonly mtuBytes: number;
}

export interface LimitSettingOptions {
  /** How long a start waits for what its container says. */
  readonly wishTimeoutMs: number;
}

export interface LimitSettingDependencies {
  readonly wishes: EndpointWishes;
  readonly shaping: Pick<ShapingPort, 'apply' | 'removeBypasses'>;
  /** What the host enforces, on the parents that the endpoint's frames pass (throttle/host-limits.ts). */
  readonly host: { settleFor(endpoint: EndpointRecord, network: NetworkRecord): Promise<readonly string[]> };
  readonly endpoints: { get(id: string): EndpointRecord | undefined; list(): readonly EndpointRecord[] };
}

/** What this process has put in force on a link. */
interface InForce {
  readonly place: string;
  /** As text, to be compared. */
  readonly plan: string;
  readonly mended: number;
}

const NOTHING = '{}';

export class LimitSetting implements LimitStates {
  readonly name = 'limits';
  readonly required = true;
  readonly #options: LimitSettingOptions;
  readonly #deps: LimitSettingDependencies;
  /** By endpoint. */
  readonly #inForce = new Map<string, InForce>();
  readonly #states = new Map<string, LimitState>();
  readonly #listeners = new Set<(state: LimitState) => void>();

  constructor(options: LimitSettingOptions, deps: LimitSettingDependencies) {
    this.#options = options;
    this.#deps = deps;
  }

  /** @throws InvalidRequest for what the container says and cannot be read; KernelError, Unsupported, Conflict, NotFound */
  async apply(
    link: LimitedLink,
    occasion: 'arrived' | 'up' | 'neighbours-lost' | 'check',
    mended: (what: string) => void,
  ): Promise<string | undefined> {
    const { wishes } = this.#deps;
    const { endpoint, network } = link;
    const { endpointId } = endpoint;
    // What stands on a link that was there before us may be somebody's word in etcd.
    if (!wishes.ready && occasion !== 'arrived' && !this.#inForce.has(endpointId))
      return 'as they stand, until etcd answers';
    let wish = wishes.of(endpoint, network);
    let fresh = occasion === 'arrived';
    if (!wish.known && !this.#inForce.has(endpointId)) {
      await this.#enforce(link, wish, fresh, mended);
      await wishes.wait(endpointId, this.#options.wishTimeoutMs);
      wish = wishes.of(endpoint, network);
      // What others say stands there now, and goes if the container wants nothing.
      fresh = false;
    }
    await this.#enforce(link, wish, fresh, mended);
    const refusal = refusalOf(wish);
    if (refusal !== undefined) throw new InvalidRequest(refusal);
    return textOf(wish);
  }

  states(): readonly LimitState[] {
    for (const endpointId of this.#states.keys()) if (!this.#isThere(endpointId)) this.left(endpointId);
    return [...this.#states.values()];
  }

  onChange(listener: (state: LimitState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The endpoint has gone, and with it all that was in force. Idempotent. */
  left(endpointId: string): void {
    this.#inForce.delete(endpointId);
    this.#states.delete(endpointId);
  }

  /** @param fresh the link is new in its sandbox, and nothing stands on it */
  async #enforce(
    link: LimitedLink,
    wish: EndpointWish,
    fresh: boolean,
    mended: (what: string) => void,
  ): Promise<void> {
    const { endpointId } = link.endpoint;
    const place = placeOf(link);
    const placeText = JSON.stringify(place);
    const known = this.#inForce.get(endpointId);
    const before = known?.place === placeText && !fresh ? known : undefined;
    const plan = planOf(wish, link.mtuBytes);
    const planText = JSON.stringify(plan);
    try {
      const mayMakeLinks = wish.container?.netAdmin === true;
      const outcome = await this.#put(link, place, plan, { fresh, before, mayMakeLinks });
      // It ended meanwhile.
      if (!this.#isThere(endpointId)) return;
      const repaired = before?.plan === planText ? outcome.mended : [];
      if (repaired.length > 0) mended(repaired.join('; '));
      const count = (known?.mended ?? 0) + (repaired.length > 0 ? 1 : 0);
      this.#inForce.set(endpointId, { place: placeText, plan: planText, mended: count });
      this.#tell(stateOf(link, wish, outcome, count));
    } catch (error) {
      if (!this.#isThere(endpointId)) return;
      const problem = toDriverError(error).message;
      this.#tell(stateOf(link, wish, { problem }, known?.mended ?? 0));
      throw error;
    }
  }

  async #put(
    { network, endpoint }: LimitedLink,
    place: ShapePlace,
    plan: ShapePlan,
    { fresh, before, mayMakeLinks }: Circumstances,
  ): Promise<Outcome> {
    const { shaping, host } = this.#deps;
    if (network.enforce === 'host') return { host: true, mended: await host.settleFor(endpoint, network) };
    // Others may enforce on a link that its frames pass, which must know its MAC.
    if (fresh) await host.settleFor(endpoint, network);
    const parts: string[] = [];
    const isNothing = JSON.stringify(plan) === NOTHING;
    // Nothing stands on a new link, nor where nothing stood at the last look and nothing was wished since.
    if (isNothing && (fresh || before?.plan === NOTHING)) return { mended: [] };
    if (!isNothing) failpoint('limits.before-apply');
    const outcome = await shaping.apply(place, plan);
    if (!isNothing) failpoint('limits.after-apply');
    if (outcome === undefined) return { mended: [] };
    parts.push(...outcome.mended);
    // Who has no NET_ADMIN makes no links: another one on that parent is the engine's.
    if (!isNothing && !fresh && place.at === 'sandbox' && mayMakeLinks) {
      const others = this.#deps.endpoints.list().filter((one) => one.sandboxKey === endpoint.sandboxKey);
      const marks = others.map(({ endpointId }) => endpointId).filter((id) => id !== endpoint.endpointId);
      const removed = await shaping.removeBypasses(place, marks);
      parts.push(...removed.map((name) => `link ${name} stepped around the limit and was removed`));
    }
    return { ...outcome, mended: parts };
  }

  #isThere(endpointId: string): boolean {
    return this.#deps.endpoints.get(endpointId) !== undefined;
  }

  #tell(state: LimitState): void {
    const before = this.#states.get(state.endpointId);
    this.#states.set(state.endpointId, state);
    if (JSON.stringify(before) === JSON.stringify(state)) return;
    for (const listener of this.#listeners) listener(state);
  }
}

interface Circumstances {
  /** The link is new in its sandbox, and nothing stands on it. */
  readonly fresh: boolean;
  readonly before: InForce | undefined;
  /** The container has NET_ADMIN. */
  readonly mayMakeLinks: boolean;
}

function placeOf({ endpoint, network, namespacePath, linkIndex }: LimitedLink): ShapePlace {
  if (network.mode === 'bridge') return { at: 'host-end', linkName: hostEndNameOf(endpoint.endpointId) };
  return { at: 'sandbox', namespacePath, linkIndex };
}

/** For doctor: `in 100mbit (env), out none`; undefined if nobody wishes anything. */
function textOf(wish: EndpointWish): string | undefined {
  const said = DIRECTIONS.filter((direction) => wish[direction].limit !== undefined);
  if (said.length === 0) return undefined;
  return DIRECTIONS.map((direction) => {
    const { limit, source } = wish[direction];
    return `${direction} ${formatRate(limit?.rateBitsPerSecond)}${source === undefined ? '' : ` (${source})`}`;
  }).join(', ');
}
