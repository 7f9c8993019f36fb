/**
 * Protobuf's wire format, as much of it as etcd's Txn needs: a writer that fills a buffer from its end, so that the
 * length of a nested message is known when its head is written, and a reader that walks over fields. No schema here.
 *
 * Exists because the generic way (a tree of plain objects, converted, encoded; decoded, converted back) costs a third
 * of the processor time of a lease under load.
 *
 * @see protobuf.dev "Encoding"
 */
const VARINT = 0;
const BYTES = 2;
const FIRST_SIZE = 4096;

/**
 * Writes fields in REVERSE order; what is left out is protobuf's default. One writer serves many messages, one after
 * the other: its buffer stays as large as the largest was.
 */
export class WireWriter {
  #buffer = Buffer.allocUnsafe(FIRST_SIZE);
  /** What is written lies from here to the end. */
  #start = FIRST_SIZE;

  /** Begins a new message. */
  clear(): void {
    this.#start = this.#buffer.length;
  }

  /** @returns where the writer stands; a nested message begins with it and ends with {@link nest} */
  get mark(): number {
    return this.#buffer.length - this.#start;
  }

  /** Makes all that was written since `mark` the message in that field. */
  nest(field: number, mark: number): void {
    this.#varint(this.mark - mark);
    this.#varint(field * 8 + BYTES);
  }

  text(field: number, value: string): void {
    const length = Buffer.byteLength(value);
    this.#reserve(length);
    this.#start -= length;
    this.#buffer.write(value, this.#start, length, 'utf8');
    this.#varint(length);
    this.#varint(field * 8 + BYTES);
  }

  bytes(field: number, value: Uint8Array): void {
    this.#reserve(value.length);
    this.#start -= value.length;
    this.#buffer.set(value, this.#start);
    this.#varint(value.length);
    this.#varint(field * 8 + BYTES);
  }

  /** @param value whole, 0 to 2^53 */
  number(field: number, value: number): void {
    this.#varint(value);
    this.#varint(field * 8 + VARINT);
  }

  /** @param value 0 to 2^63 */
  bigint(field: number, value: bigint): void {
    const groups: number[] = [];
    for (let rest = value; groups.length === 0 || rest > 0n; rest >>= 7n) groups.push(Number(rest & 127n));
    this.#reserve(groups.length);
    groups.reverse().forEach((group, index) => {
      this.#start -= 1;
      this.#buffer[this.#start] = index === 0 ? group : group | 128;
    });
    this.#varint(field * 8 + VARINT);
  }

  /** The message; what is written later does not change it. */
  finish(): Buffer {
    return Buffer.from(this.#buffer.subarray(this.#start));
  }

  #varint(value: number): void {
    this.#reserve(10);
    let size = 1;
    for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) size += 1;
    this.#start -= size;
    let rest = value;
    for (let at = this.#start; ; at += 1) {
      const more = rest >= 128;
      this.#buffer[at] = more ? (rest % 128) | 128 : rest;
      if (!more) return;
      rest = Math.floor(rest / 128);
    }
  }

  #reserve(size: number): void {
    if (size <= this.#start) return;
    const old = this.#buffer;
    const grown = Buffer.allocUnsafe(Math.max(old.length * 2, old.length + size));
    old.copy(grown, grown.length - (old.length - this.#start), this.#start);
    this.#start += grown.length - old.length;
    this.#buffer = grown;
  }
}

/** Walks over the fields of one message. @throws RangeError if it ends within a field */
export class WireReader {
  readonly #buffer: Buffer;
  readonly #end: number;
  #at: number;
  #type = VARINT;

  constructor(buffer: Buffer, start = 0, end: number = buffer.length) {
    this.#buffer = buffer;
    this.#at = start;
    this.#end = end;
  }

  /** Number of the next field, 0 at the end; its value must be read or skipped before the next. */
  next(): number {
    if (this.#at >= this.#end) return 0;
    const tag = this.number();
    this.#type = tag % 8;
    return Math.floor(tag / 8);
  }

  /** A varint; beyond 2^53 it is inexact. */
  number(): number {
    let low = 0;
    let factor = 1;
    for (;;) {
      const byte = this.#byte();
      low += (byte & 127) * factor;
      if (byte < 128) return low;
      factor *= 128;
    }
  }

  text(): string {
    const [start, end] = this.#range();
    return this.#buffer.toString('utf8', start, end);
  }

  message(): WireReader {
    const [start, end] = this.#range();
    return new WireReader(this.#buffer, start, end);
  }

  skip(): void {
    if (this.#type === VARINT) this.number();
    else if (this.#type === BYTES) this.#range();
    else throw new RangeError(`etcd sent a field of wire type ${this.#type}, which its messages do not have`);
  }

  #range(): [number, number] {
    const length = this.number();
    const start = this.#at;
    this.#at += length;
    if (this.#at > this.#end) throw new RangeError('a message of etcd ends within a field');
    return [start, this.#at];
  }

  #byte(): number {
    const byte = this.#at < this.#end ? this.#buffer[this.#at] : undefined;
    if (byte === undefined) throw new RangeError('a message of etcd ends within a field');
    this.#at += 1;
    return byte;
  }
}
