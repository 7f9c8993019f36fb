/** What a command prints: a table for people (wide: with more columns) or JSON for programs; never both, never anything else on stdout. */
import { formatTable } from '../core/table.ts';

export type OutputFormat = 'table' | 'wide' | 'json';
export const OUTPUT_FORMATS: readonly OutputFormat[] = ['table', 'wide', 'json'];

export interface Streams {
  out(text: string): void;
  err(text: string): void;
}

export class Output {
  readonly format: OutputFormat;
  readonly #streams: Streams;

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

  /** Beside the answer, on stderr: that it is old, or how far the work is. */
  note(text: string): void {
    this.#streams.err(`${text}\n`);
  }

  complain(text: string): void {
    this.#streams.err(`lanius: ${text}\n`);
  }
}
