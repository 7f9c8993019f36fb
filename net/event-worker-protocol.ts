/** What goes between `LinkEvents` and its thread. */
import type { KernelEvent } from './event-types.ts';
import type { PackedError } from './worker-protocol.ts';

/** What the thread is started with. */
export interface EventWorkerOptions {
  /** The namespace that it listens in. */
  readonly namespacePath?: string;
  /** Shared: [0] counts the batches that were taken, [1] is 1 when the thread is to end. */
  readonly taken: Int32Array;
}

export type EventWorkerMessage =
  /** It listens. `wakeFd`: an eventfd that ends its waiting when written; the receiver closes it after the thread. */
  | { readonly kind: 'ready'; readonly wakeFd: number }
  | { readonly kind: 'events'; readonly events: readonly KernelEvent[] }
  /** Something works less well than it should. */
  | { readonly kind: 'note'; readonly message: string; readonly error: PackedError }
  /** The last message: the thread cannot work. */
  | { readonly kind: 'failed'; readonly error: PackedError };
