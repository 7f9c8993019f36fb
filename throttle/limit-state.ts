/**
 * How the limits of one endpoint stand: what is wished, by whom, and what the kernel enforces. Made by
 * throttle/limit-setting.ts; read by the lease's note, doctor, CLI and console. Shapes only.
 */
import type { LimitSource, RateLimit } from '../core/limit.ts';
import type { ShapeHow } from '../net/shaping-port.ts';

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
