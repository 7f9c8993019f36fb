/**
 * Reads what a Mesos agent reads, by its documented grammar, rule by rule:
 *
 *   resources : resource ( ";" resource )*            attributes : attribute ( ";" attribute )*
 *   resource : key ":" ( scalar | range | set )       attribute : text ":" ( scalar | range | text )
 *   key : text ( "(" resourceRole ")" )?              resourceRole : text | "*"
 *   scalar : intValue ( "." intValue )?               range : "[" rangeValue ( "," rangeValue )* "]"
 *   rangeValue : scalar "-" scalar                    set : "{" text ( "," text )* "}"
 *   text : [a-zA-Z0-9_/.-]
 *
 * Source: apache/mesos c1b42f79d157 (1.12 in the making), docs/attributes-resources.md.
 */

export type MesosValue =
  | { readonly scalar: number }
  | { readonly ranges: readonly (readonly [number, number])[] }
  | { readonly set: readonly string[] }
  | { readonly text: string };

export interface ReadResource {
  readonly name: string;
  /** `*` if the key says none, which is the agent's default role. */
  readonly role: string;
  readonly value: MesosValue;
}

/** @throws Error with the place where the grammar does not fit */
export function readResources(text: string): ReadResource[] {
  const reader = new Reader(text);
  const resources = reader.separated(';', () => reader.resource());
  reader.end();
  return resources;
}

/** @throws Error with the place where the grammar does not fit */
export function readAttributes(text: string): { readonly name: string; readonly value: MesosValue }[] {
  const reader = new Reader(text);
  const attributes = reader.separated(';', () => reader.attribute());
  reader.end();
  return attributes;
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  separated<T>(separator: string, read: () => T): T[] {
    const all = [read()];
    while (this.#takes(separator)) all.push(read());
    return all;
  }

  resource(): ReadResource {
    const name = this.#word();
    let role = '*';
    if (this.#takes('(')) {
      role = this.#takes('*') ? '*' : this.#word();
      this.#need(')');
    }
    this.#need(':');
    const value = this.#range() ?? this.#set() ?? this.#scalar();
    if (value === undefined) throw this.#fault('a scalar, a range or a set');
    return { name, role, value };
  }

  attribute(): { name: string; value: MesosValue } {
    const name = this.#word();
    this.#need(':');
    const range = this.#range();
    if (range !== undefined) return { name, value: range };
    const start = this.#at;
    const scalar = this.#scalar();
    // `1.5-b` begins like a scalar and is a text.
    if (scalar !== undefined && (this.#at === this.#text.length || this.#text[this.#at] === ';'))
      return { name, value: scalar };
    this.#at = start;
    return { name, value: { text: this.#word() } };
  }

  end(): void {
    if (this.#at < this.#text.length) throw this.#fault('the end');
  }

  #range(): MesosValue | undefined {
    if (!this.#takes('[')) return undefined;
    const ranges = this.separated(',', (): [number, number] => {
      const first = this.#number();
      this.#need('-');
      return [first, this.#number()];
    });
    this.#need(']');
    return { ranges };
  }

  #set(): MesosValue | undefined {
    if (!this.#takes('{')) return undefined;
    const set = this.separated(',', () => this.#word());
    this.#need('}');
    return { set };
  }

  #scalar(): MesosValue | undefined {
    return /\d/.test(this.#text[this.#at] ?? '') ? { scalar: this.#number() } : undefined;
  }

  #number(): number {
    return Number(this.#match(/\d+(\.\d+)?/y, 'a number'));
  }

  #word(): string {
    return this.#match(/[a-zA-Z0-9_/.-]+/y, 'a text');
  }

  #match(pattern: RegExp, what: string): string {
    pattern.lastIndex = this.#at;
    const [found] = pattern.exec(this.#text) ?? [];
    if (found === undefined) throw this.#fault(what);
    this.#at += found.length;
    return found;
  }

  #takes(token: string): boolean {
    if (!this.#text.startsWith(token, this.#at)) return false;
    this.#at += token.length;
    return true;
  }

  #need(token: string): void {
    if (!this.#takes(token)) throw this.#fault(`"${token}"`);
  }

  #fault(wanted: string): Error {
    return new Error(`${wanted} is wanted at character ${this.#at} of "${this.#text}"`);
  }
}
