/**
 * Where the traffic of each endpoint is counted, learned from the sandbox keeper: a setting that sets nothing, but hears of every
 * link that has arrived in its sandbox (links/sandbox-setting.ts).
 */
import { hostEndNameOf } from '../core/ids.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import type { MeasuredEndpoint } from './usage.ts';

/** An endpoint's link in its sandbox, as links/sandbox-setting.ts has it. */
export interface ArrivedLink {
  readonly endpoint: EndpointRecord;
  readonly network: NetworkRecord;
  readonly namespacePath: string;
  readonly linkIndex: number;
}

export interface UsagePlacesDependencies {
  readonly endpoints: { get(id: string): EndpointRecord | undefined };
}

export class UsagePlaces {
  readonly name = 'usage';
  readonly required = false;
  readonly #deps: UsagePlacesDependencies;
  readonly #places = new Map<string, MeasuredEndpoint & { readonly namespacePath: string }>();

  constructor(deps: UsagePlacesDependencies) {
    this.#deps = deps;
  }

  /** Nothing is in force by it. */
  async apply({ endpoint, network, namespacePath, linkIndex }: ArrivedLink): Promise<undefined> {
    const { endpointId } = endpoint;
    const place = placeOf(endpointId, network, namespacePath, linkIndex);
    this.#places.set(endpointId, { endpointId, place, namespacePath });
  }

  /** Those that are on record still, in the sandbox in which they were seen. */
  list(): MeasuredEndpoint[] {
    const { endpoints } = this.#deps;
    for (const [endpointId, { namespacePath }] of this.#places)
      if (endpoints.get(endpointId)?.sandboxKey !== namespacePath) this.#places.delete(endpointId);
    return [...this.#places.values()].map(({ endpointId, place }) => ({ endpointId, place }));
  }
}

function placeOf(
  endpointId: string,
  { mode, enforce, parent }: NetworkRecord,
  namespacePath: string,
  linkIndex: number,
): MeasuredEndpoint['place'] {
  if (enforce === 'host') return { at: 'parent', parent };
  if (mode === 'bridge') return { at: 'host-end', linkName: hostEndNameOf(endpointId) };
  return { at: 'sandbox', namespacePath, linkIndex };
}
