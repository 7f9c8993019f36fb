/**
 * Who waits for a free address of one choice, in the order in which they came: only the first looks, the others wait
 * for their turn, and a newcomer goes to the end. While nobody waits it costs nothing.
 *
 * A place keeps its number for life: who looked, found a guess, and lost it to another host goes on before all that
 * came later.
 */
import type { Deadline } from '../../core/deadline.ts';

export class WaitingLine {
  #waiting: Place[] = [];
  #places = 0;

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** A place of a request that has just come; it does not wait yet. */
  place(): Place {
    this.#places += 1;
    return new Place(this, this.#places);
  }

  /** Something became free: the first looks at once. */
  wake(): void {
    this.#waiting[0]?.wake();
  }

  /** Nobody who came before waits. */
  isFirst(place: Place): boolean {
    const [first] = this.#waiting;
    return first === undefined || first.number >= place.number;
  }

  join(place: Place): void {
    if (this.#waiting.includes(place)) return;
    const at = this.#waiting.findIndex(({ number }) => number > place.number);
    this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, place);
  }

  leave(place: Place): void {
    const at = this.#waiting.indexOf(place);
    if (at < 0) return;
    this.#waiting.splice(at, 1);
    if (at === 0) this.wake();
  }
}

export class Place {
  readonly number: number;
  readonly #line: WaitingLine;
  #wake = (): void => {};

  constructor(line: WaitingLine, number: number) {
    this.#line = line;
    this.number = number;
  }

  get isFirst(): boolean {
    return this.#line.isFirst(this);
  }

  /** Waits until this is the first, or the time is up. @returns whether it is the first */
  async turn(limit: Deadline): Promise<boolean> {
    while (!this.isFirst && limit.leftMs() > 0) {
      this.#line.join(this);
      await this.#sleep(limit.leftMs());
    }
    return this.isFirst;
  }

  /** The first waits before it looks again: so long, or until something became free. */
  async pause(ms: number): Promise<void> {
    this.#line.join(this);
    await this.#sleep(ms);
  }

  /** For good, or to try a guess. Idempotent. */
  leave(): void {
    this.#line.leave(this);
  }

  wake(): void {
    this.#wake();
  }

  async #sleep(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
      this.#wake = resolve;
    });
    clearTimeout(timer);
    this.#wake = () => {};
  }
}
