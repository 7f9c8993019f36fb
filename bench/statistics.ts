/** Figures from samples: pure, and the same for every benchmark. */

/** @param values at least one, in any order @throws RangeError if there is none */
export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

/**
 * The value below which `percent` of the samples lie, interpolated between its two neighbours.
 * @param values at least one, in any order
 * @param percent 0 to 100
 * @throws RangeError for no samples, or a percentage that is none
 */
export function percentile(values: readonly number[], percent: number): number {
  if (values.length === 0) throw new RangeError('there are no samples');
  if (!(percent >= 0 && percent <= 100)) throw new RangeError(`${percent} is no percentage`);
  const sorted = [...values].sort((a, b) => a - b);
  const position = ((sorted.length - 1) * percent) / 100;
  const below = sorted[Math.floor(position)] ?? Number.NaN;
  const above = sorted[Math.ceil(position)] ?? Number.NaN;
  return below + (above - below) * (position - Math.floor(position));
}

/** Rounded to so many significant digits, e.g. for people; 0 and what is not finite stay. */
export function significant(value: number, digits = 4): number {
  return Number.isFinite(value) ? Number(value.toPrecision(digits)) : value;
}

/** Each first divided by its second: the ratio of samples that were taken in pairs. */
export function pairRatios(pairs: readonly (readonly [number, number])[]): number[] {
  return pairs.map(([first, second]) => first / second);
}

/** Samples by name, in the order in which the names came up. */
export class Samples {
  readonly #byName = new Map<string, number[]>();

  add(name: string, value: number): void {
    const values = this.#byName.get(name);
    if (values === undefined) this.#byName.set(name, [value]);
    else values.push(value);
  }

  names(): string[] {
    return [...this.#byName.keys()];
  }

  /** @throws RangeError if there is no sample of that name */
  of(name: string): readonly number[] {
    const values = this.#byName.get(name);
    if (values === undefined) throw new RangeError(`there are no samples of ${name}`);
    return values;
  }
}
