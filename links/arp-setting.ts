/**
 * The ARP of an endpoint's link: planned addresses are known in the container (preload), or answered by the kernel before
 * the request leaves (responder). Which of them is decided here, with links/arp-choice.ts; when they are put in force is
 * decided by links/sandbox-keeper.ts.
 *
 * INVARIANTS
 * - As long as it is not known who has a MAC of his own (etcd has not answered since the start), nothing is written: what
 *   stands stays, and a new container asks by ordinary ARP, which is never wrong.
 * - What is no more chosen is taken away, because nobody would keep it true.
 */
import { shortId } from '../core/ids.ts';
import type { Logger } from '../core/log.ts';
import { entriesOf, type NeighbourPlan } from '../net/neighbour-plan.ts';
import type { NeighbourOutcome, NeighbourPort } from '../net/neighbours.ts';
import type { ResponderPort, ResponderTarget } from '../net/responder.ts';
import type { NetworkRecord } from '../store/host-records.ts';
import { type ArpChoice, type ArpHow, type ArpWish, chooseArp, needsResponder } from './arp-choice.ts';
import { type PreloadPool, planOf, planOfAll } from './arp-preload.ts';
import { planDifference } from './plan-difference.ts';
import type { Occasion, SandboxLink, SandboxSetting } from './sandbox-setting.ts';

/** What is known of the pools of a network. */
export interface ArpPools {
  /** undefined: it has not been read yet. */
  of(network: NetworkRecord): { readonly pools: readonly PreloadPool[]; readonly wish?: ArpWish } | undefined;
}

/** `responder=leased`: keeps the kernel's list of leased addresses. */
export interface LeasedFeed {
  /** From now on. Idempotent; never throws. */
  want(network: NetworkRecord): void;
  /** Only these want it. */
  keep(networkIds: readonly string[]): void;
}

export interface ArpSettingDependencies {
  readonly pools: ArpPools;
  readonly neighbours: Pick<NeighbourPort, 'load' | 'clear'>;
  readonly responder: Pick<ResponderPort, 'supported' | 'attach' | 'detach' | 'plan' | 'settle'>;
  readonly networks: { list(): readonly NetworkRecord[] };
  readonly leased: LeasedFeed;
  readonly clock: { now(): number };
  readonly logger: Logger;
}

/** What this process has put in force on a link. */
interface InForce {
  readonly place: string;
  readonly how: ArpHow;
  readonly plan: NeighbourPlan;
}

interface Decided {
  readonly choice: ArpChoice;
  readonly pools: readonly PreloadPool[];
  /** Of all containers of the network. */
  readonly plan: NeighbourPlan;
}

/** How long a "no" of the kernel is believed: an operator may load a module or give a right. */
const UNSUPPORTED_MS = 60_000;

export class ArpSetting implements SandboxSetting {
  readonly name = 'arp';
  readonly required = false;
  readonly #deps: ArpSettingDependencies;
  /** By endpoint. */
  readonly #inForce = new Map<string, InForce>();
  /** Of what `ArpPools.of` has answered, which is the same object until something changes. */
  readonly #plans = new WeakMap<object, NeighbourPlan>();
  /** By network: as last told. */
  readonly #told = new Map<string, string>();
  #unsupported: { readonly reason: string; readonly untilMs: number } | undefined;

  constructor(deps: ArpSettingDependencies) {
    this.#deps = deps;
  }

  async apply(
    link: SandboxLink,
    occasion: Occasion,
    mended: (what: string) => void,
  ): Promise<string | undefined> {
    const found = await this.#decide(link.network);
    if (found === undefined) return 'as usual, until etcd answers';
    const { choice, pools } = found;
    const { endpoint, network, namespacePath, linkIndex } = link;
    const target = { namespacePath, linkIndex };
    const place = `${namespacePath} ${linkIndex}`;
    const known = this.#inForce.get(endpoint.endpointId);
    const before = known?.place === place ? known : undefined;
    const plan = choice.how === 'preload' ? planOf(network, endpoint, pools) : found.plan;
    if (choice.how === 'preload') await this.#preload(target, plan, before, occasion, mended);
    if (choice.how === 'responder') await this.#respond(target, network, plan, before, mended);
    await this.#takeAway(target, choice.how, before, occasion);
    this.#inForce.set(endpoint.endpointId, { place, how: choice.how, plan });
    return choice.how === 'off' ? undefined : `${choice.how}, ${entriesOf(plan.runs)} addresses`;
  }

  /** What is chosen for a network, and why; undefined as long as its pools are not known. */
  async chosen(network: NetworkRecord): Promise<ArpChoice | undefined> {
    return (await this.#decide(network))?.choice;
  }

  /**
   * What is known of MACs or pools has changed: the responder learns it at once, for all containers of a network.
   * Sandboxes with tables are to be checked (SandboxKeeper.checkAll).
   * @throws KernelError
   */
  async changed(): Promise<void> {
    for (const network of this.#deps.networks.list()) {
      const found = await this.#decide(network);
      if (found?.choice.how !== 'responder' || !this.#responds(network)) continue;
      await this.#deps.responder.plan({ networkId: network.networkId, plan: found.plan });
    }
  }

  /** Forgets endpoints and networks that are gone, also in the kernel. @throws KernelError */
  async settle(
    networks: readonly NetworkRecord[],
    endpoints: readonly { readonly endpointId: string }[],
  ): Promise<void> {
    const alive = new Set(endpoints.map(({ endpointId }) => endpointId));
    for (const endpointId of this.#inForce.keys())
      if (!alive.has(endpointId)) this.#inForce.delete(endpointId);
    const wanted: string[] = [];
    for (const network of networks) {
      const choice = await this.chosen(network);
      if (choice === undefined || choice.how === 'responder') wanted.push(network.networkId);
    }
    this.#deps.leased.keep(wanted);
    await this.#deps.responder.settle(wanted);
  }

  async #decide(network: NetworkRecord): Promise<Decided | undefined> {
    const known = this.#deps.pools.of(network);
    if (known === undefined) return undefined;
    const { pools, wish } = known;
    const plan = this.#plans.get(known) ?? planOfAll(network, {}, pools);
    this.#plans.set(known, plan);
    const entries = entriesOf(plan.runs.filter(({ family }) => family === 4));
    const { arp, mode } = network;
    const wished = arp ?? wish ?? 'auto';
    const choice = chooseArp({
      ...(arp === undefined ? {} : { ofNetwork: arp }),
      ...(wish === undefined ? {} : { ofPool: wish }),
      mode,
      entries,
      responder: needsResponder(wished, entries) ? await this.#supported() : 'not asked for',
    });
    this.#tell(network, choice);
    return { choice, pools, plan };
  }

  async #supported(): Promise<true | string> {
    const { responder, clock } = this.#deps;
    const no = this.#unsupported;
    if (no !== undefined && clock.now() < no.untilMs) return no.reason;
    const answer = await responder.supported();
    this.#unsupported =
      answer === true ? undefined : { reason: answer, untilMs: clock.now() + UNSUPPORTED_MS };
    return answer;
  }

  async #preload(
    target: ResponderTarget,
    plan: NeighbourPlan,
    before: InForce | undefined,
    occasion: Occasion,
    mended: (what: string) => void,
  ): Promise<void> {
    const { neighbours } = this.#deps;
    const first = occasion === 'arrived';
    const known = before?.how === 'preload' ? before : undefined;
    // An earlier process may have written another plan.
    if (known === undefined && !first) {
      tell(await neighbours.load(target, plan, { look: 'all' }), mended);
      return;
    }
    if (known !== undefined && known.plan !== plan) {
      const { changed, removed } = planDifference(known.plan, plan);
      if (removed) await neighbours.load(target, plan, { look: 'all' });
      else if (changed.runs.length > 0) await neighbours.load(target, changed, { look: 'none' });
    }
    tell(
      await neighbours.load(target, plan, { first, look: first ? 'none' : 'sample' }),
      first ? undefined : mended,
    );
  }

  async #respond(
    target: ResponderTarget,
    network: NetworkRecord,
    plan: NeighbourPlan,
    before: InForce | undefined,
    mended: (what: string) => void,
  ): Promise<void> {
    const { responder, leased } = this.#deps;
    const written = await responder.attach(target, { networkId: network.networkId, plan });
    if (network.responder === 'leased') leased.want(network);
    if (written && before?.how === 'responder') mended('the filter was gone');
  }

  /** What stands from before, maybe of an earlier process, and is not chosen any more. A new link has nothing. */
  async #takeAway(
    target: ResponderTarget,
    how: ArpHow,
    before: InForce | undefined,
    occasion: Occasion,
  ): Promise<void> {
    if (occasion === 'arrived' || before?.how === how) return;
    const { neighbours, responder } = this.#deps;
    const unsure = before === undefined;
    if (how !== 'preload' && (unsure || before.how === 'preload')) await neighbours.clear(target);
    if (how !== 'responder' && (unsure || before.how === 'responder')) await responder.detach(target);
  }

  #responds({ networkId }: NetworkRecord): boolean {
    return this.#told.get(networkId)?.startsWith('responder ') === true;
  }

  #tell(network: NetworkRecord, { wish, how, entries, reason, problem }: ArpChoice): void {
    const text = `${how} ${reason} ${problem ?? ''}`;
    if (this.#told.get(network.networkId) === text) return;
    this.#told.set(network.networkId, text);
    const fields = { network: shortId(network.networkId), wish, how, entries, reason };
    if (problem === undefined) this.#deps.logger.info('ARP of a network', fields);
    else this.#deps.logger.warn('ARP of a network is not as wished', { ...fields, problem });
  }
}

function tell({ wrote, removed }: NeighbourOutcome, mended: ((what: string) => void) | undefined): void {
  if (wrote + removed > 0) mended?.(`${wrote + removed} entries`);
}
