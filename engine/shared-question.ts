/**
 * One question for all who come with the same wish meanwhile: what is asked while an answer is under way is asked together,
 * next. An answer that was under way before somebody came is not for him: it may be older than what he asks about.
 */
import type { Deadline } from '../core/deadline.ts';

interface Round<K, A> {
  readonly keys: Set<K>;
  /** As long as the most patient of its askers. */
  readonly deadlines: Deadline[];
  readonly answer: Promise<A>;
  readonly resolve: (answer: A) => void;
  readonly reject: (error: unknown) => void;
}

export class SharedQuestion<K, A> {
  readonly #put: (keys: readonly K[], timeoutMs: number) => Promise<A>;
  #next: Round<K, A> | undefined;
  #running = false;

  /** @param put asks once; ends after `timeoutMs` at the latest */
  constructor(put: (keys: readonly K[], timeoutMs: number) => Promise<A>) {
    this.#put = put;
  }

  /** Nothing is under way and nobody waits. */
  get idle(): boolean {
    return !this.#running && this.#next === undefined;
  }

  /** @returns the answer of a question that was put after this call; it may come after the deadline */
  ask(key: K, deadline: Deadline): Promise<A> {
    this.#next ??= newRound();
    const { keys, deadlines, answer } = this.#next;
    keys.add(key);
    deadlines.push(deadline);
    if (!this.#running) {
      this.#running = true;
      // What is to be said first goes first, such as the answer to the call of the engine that made somebody ask.
      setImmediate(() => void this.#run());
    }
    return answer;
  }

  async #run(): Promise<void> {
    for (let round = this.#take(); round !== undefined; round = this.#take()) {
      const timeoutMs = Math.max(0, ...round.deadlines.map((one) => one.leftMs()));
      try {
        if (timeoutMs <= 0) throw new Error('its time was over before it could be asked');
        round.resolve(await this.#put([...round.keys], timeoutMs));
      } catch (error) {
        round.reject(error);
      }
    }
    this.#running = false;
  }

  #take(): Round<K, A> | undefined {
    const round = this.#next;
    this.#next = undefined;
    return round;
  }
}

function newRound<K, A>(): Round<K, A> {
  let resolve: (answer: A) => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const answer = new Promise<A>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  answer.catch(() => {}); // whoever asked may have gone
  return { keys: new Set(), deadlines: [], answer, resolve, reject };
}
