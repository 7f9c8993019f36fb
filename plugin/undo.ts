/**
 * What a handler has done so far and must take back if it does not come to its end: a stack, run in reverse.
 * The engine sends no DeleteEndpoint after a CreateEndpoint that failed, so each handler cleans up after itself.
 *
 * Must not: decide by looking at an error variable. It runs unless `commit()` was reached.
 */
import type { Logger } from '../core/log.ts';

type Step = { readonly what: string; readonly undo: () => Promise<unknown> };

export class Undo {
  readonly #steps: Step[] = [];
  readonly #logger: Logger;
  #committed = false;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** @param what for the log: "the link", "the endpoint record" */
  push(what: string, undo: () => Promise<unknown>): void {
    this.#steps.push({ what, undo });
  }

  /** The work stands; nothing will be taken back. */
  commit(): void {
    this.#committed = true;
  }

  /** Takes everything back, newest first. Never throws: what it cannot undo is left to reconciliation. */
  async run(): Promise<void> {
    if (this.#committed) return;
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.undo();
      } catch (err) {
        this.#logger.warn('a step could not be undone, reconciliation will find it', {
          step: step.what,
          err,
        });
      }
    }
  }
}

/** Runs `work`; whatever it pushed is undone unless it reached `undo.commit()`. */
export async function undoing<T>(logger: Logger, work: (undo: Undo) => Promise<T>): Promise<T> {
  const undo = new Undo(logger);
  try {
    return await work(undo);
  } finally {
    await undo.run();
  }
}
