/**
 * How the limits of one endpoint stand: what is wished, by whom, and what the kernel enforces. Made by
 * throttle/limit-setting.ts; read by the lease's note, doctor, CLI and console. Pure.
 */
import type { Direction, LimitSource, RateLimit } from '../core/limit.ts';
import type { ShapeHow, ShapeOutcome } from '../net/shaping-port.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import type { EndpointWish } from './endpoint-wish.ts';

export interface DirectionState {
  /** Absent: no limit is wished. */
  readonly wished?: RateLimit;
  /** Who said it, also where no limit was said (`net_in=none`). */
  readonly source?: LimitSource;
  /** It is in force, by this. */
  readonly how?: ShapeHow | 'host';
  /** Why it is not in force, or not as it was wished, one line. */
  readonly problem?: string;
}

export interface LimitState {
  readonly endpointId: string;
  readonly networkId: string;
  readonly containerId?: string;
  readonly containerName?: string;
  /** The container has NET_ADMIN or is privileged: it can undo what stands in its sandbox. */
  readonly netAdmin: boolean;
  readonly enforce: 'sandbox' | 'host';
  readonly in: DirectionState;
  readonly out: DirectionState;
  /** How often something had undone it since the daemon's start. */
  readonly mended: number;
}

export interface LimitStates {
  states(): readonly LimitState[];
  /** Called with the new state after each change of an endpoint's. @returns ends it */
  onChange(listener: (state: LimitState) => void): () => void;
}

/** What came of putting limits in force. */
export interface Outcome extends ShapeOutcome {
  /** The host enforces. */
  readonly host?: true;
}

/** @param mended how often something had undone it */
export function stateOf(
  { endpoint, network }: { readonly endpoint: EndpointRecord; readonly network: NetworkRecord },
  wish: EndpointWish,
  outcome: Outcome | { readonly problem: string },
  mended: number,
): LimitState {
  const of = (direction: Direction): DirectionState => {
    const { limit, source, problems } = wish[direction];
    const failed = 'problem' in outcome ? outcome.problem : undefined;
    const how = 'problem' in outcome ? undefined : outcome.host ? 'host' : outcome[direction];
    const fallback = 'problem' in outcome ? undefined : outcome.fallback;
    const said = problems.length === 0 ? undefined : problems.join('; ');
    const trouble = limit === undefined ? said : (failed ?? said ?? fallback);
    return {
      ...(limit === undefined ? {} : { wished: limit }),
      ...(source === undefined ? {} : { source }),
      ...(limit === undefined || how === undefined ? {} : { how }),
      ...(trouble === undefined ? {} : { problem: trouble }),
    };
  };
  const { container } = wish;
  return {
    endpointId: endpoint.endpointId,
    networkId: network.networkId,
    ...(container === undefined ? {} : { containerId: container.containerId, containerName: container.name }),
    netAdmin: container?.netAdmin ?? false,
    enforce: network.enforce ?? 'sandbox',
    in: of('in'),
    out: of('out'),
    mended,
  };
}
