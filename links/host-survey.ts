/**
 * Looks at what of ours stands on this host, for `lanius doctor --leaks`. Changes nothing.
 *
 * What is being removed at this moment has no owner any more, and still stands: so a leak is only what two looks
 * find, some time apart.
 */
import { SHIM_MARK } from '../core/ids.ts';
import type { NetPort } from '../net/port.ts';
import type { ResponderPort } from '../net/responder.ts';
import type { ShimPort } from '../net/shim-port.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import { type Belonging, belongingsOf, leaksOf } from './belongings.ts';

/** Deleting a link takes some 20 ms, and a removal deletes several. */
const GAP_MS = 1000;

export interface HostSurveyOptions {
  /** Between the two looks. Default 1000. */
  readonly gapMs?: number;
}

export interface HostSurveyDependencies {
  readonly net: Pick<NetPort, 'linkList'>;
  readonly shims: Pick<ShimPort, 'hostRoutesFind'>;
  /** Absent: there is none. */
  readonly responder?: Pick<ResponderPort, 'standing'>;
  readonly networks: { list(): readonly NetworkRecord[] };
  readonly endpoints: { list(): readonly EndpointRecord[] };
  /** By bridge. */
  readonly adoptions?: { list(): readonly { readonly bridge: string }[] };
  /** Ids of the endpoints of our networks that the engine knows. @throws EngineUnavailable */
  readonly engineEndpoints: () => Promise<ReadonlySet<string>>;
}

export class HostSurvey {
  readonly #gapMs: number;
  readonly #deps: HostSurveyDependencies;

  constructor({ gapMs = GAP_MS }: HostSurveyOptions, deps: HostSurveyDependencies) {
    this.#gapMs = gapMs;
    this.#deps = deps;
  }

  /** Takes `gapMs` longer if the first look finds a leak. @throws EngineUnavailable, KernelError */
  async examine(): Promise<Belonging[]> {
    const first = await this.#look();
    const suspects = new Set(leaksOf(first).map(nameOf));
    if (suspects.size === 0) return first;
    await new Promise((resolve) => setTimeout(resolve, this.#gapMs));
    const second = await this.#look();
    return second.filter((one) => one.owner !== undefined || suspects.has(nameOf(one)));
  }

  async #look(): Promise<Belonging[]> {
    const { net, responder, networks, endpoints, adoptions, engineEndpoints } = this.#deps;
    // The kernel first: what comes into being meanwhile has its record by then.
    const links = await net.linkList();
    const [hostRoutes, standing, engine] = await Promise.all([
      this.#hostRoutes(links.filter(({ alias }) => alias === SHIM_MARK).map(({ name }) => name)),
      responder?.standing(),
      engineEndpoints(),
    ]);
    return belongingsOf({
      links,
      hostRoutes,
      responder: standing ?? { networkIds: [], pins: [] },
      networks: networks.list(),
      endpoints: endpoints.list(),
      adoptingBridges: adoptions?.list().map(({ bridge }) => bridge) ?? [],
      engineEndpoints: engine,
    });
  }

  async #hostRoutes(shims: readonly string[]): Promise<string[]> {
    const found = await Promise.all(shims.map((shim) => this.#deps.shims.hostRoutesFind(shim, [])));
    return found.flatMap((one) => one?.routes.map(({ address }) => address) ?? []);
  }
}

function nameOf({ kind, object }: Belonging): string {
  return `${kind} ${object}`;
}
