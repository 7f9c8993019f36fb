/** What a command prints: a table for people (wide: with more columns) or JSON for programs; never both, never anything else on stdout. */
import { formatTable } from '../core/table.ts';

export type OutputFormat = 'table' | 'wide' | 'json';
export const OUTPUT_FORMATS: readonly OutputFormat[] = ['table', 'wide', 'json'];

export interface Streams {
  out(text: string): void;
  err(text: string): void;
  /** Of the terminal that `out` goes to, now; absent or undefined: it is none. */
  screen?(): { readonly rows: number; readonly columns: number } | undefined;
}

/** Home, and behind the text the rest of each line and of the screen is wiped: no flicker. */
const HOME = '\x1b[H';
const CLEAR = '\x1b[2J';
const REST_OF_LINE = '\x1b[K';
const REST_OF_SCREEN = '\x1b[J';

export class Output {
  readonly format: OutputFormat;
  readonly #streams: Streams;
  #isLive = false;

  constructor(format: OutputFormat, streams: Streams) {
    this.format = format;
    this.#streams = streams;
  }

  /**
   * @param value what `-o json` prints
   * @param headings one per column
   * @param rows one text per column
   */
  table(value: unknown, headings: readonly string[], rows: readonly (readonly string[])[]): void {
    this.value(value, () => formatTable(headings, rows));
  }

  /** @param text what people get; without a line feed at its end one is added */
  value(value: unknown, text: () => string): void {
    const printed = this.format === 'json' ? JSON.stringify(value, null, 2) : text();
    this.#streams.out(printed.endsWith('\n') ? printed : `${printed}\n`);
  }

  /**
   * One of many answers, one after the other: at a terminal in the place of the one before, as JSON one line.
   * @param text what people get, with a line feed at its end
   */
  live(value: unknown, text: () => string): void {
    const out = (printed: string): void => this.#streams.out(printed);
    const size = this.#streams.screen?.();
    if (this.format === 'json') {
      out(`${JSON.stringify(value)}\n`);
      return;
    }
    if (size === undefined) {
      out(this.#isLive ? `\n${text()}` : text());
      this.#isLive = true;
      return;
    }
    // What does not fit would move the screen on, and the next one would not lie over it.
    const lines = text()
      .trimEnd()
      .split('\n')
      .slice(0, size.rows - 1);
    const screen = lines.map((line) => `${line.slice(0, size.columns)}${REST_OF_LINE}\n`).join('');
    out(`${this.#isLive ? '' : CLEAR}${HOME}${screen}${REST_OF_SCREEN}`);
    this.#isLive = true;
  }

  /** Beside the answer, on stderr: that it is old, or how far the work is. */
  note(text: string): void {
    this.#streams.err(`${text}\n`);
  }

  complain(text: string): void {
    this.#streams.err(`lanius: ${text}\n`);
  }
}
