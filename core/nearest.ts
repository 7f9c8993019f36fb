/** "Did you mean …?": the known name that a misspelt one is closest to. */

const LONGEST_TYPO = 64;

/**
 * @returns the nearest of `known` by letters to change, add, drop or swap, if it is near enough to be meant
 *   (at most a third of the known name's letters, at least two); ignoring case
 */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  if (word === '' || word.length > LONGEST_TYPO) return undefined;
  let best: { readonly name: string; readonly distance: number } | undefined;
  for (const name of known) {
    const limit = Math.max(2, Math.ceil(name.length / 3));
    const distance = editDistance(word.toLowerCase(), name.toLowerCase());
    if (distance <= limit && (best === undefined || distance < best.distance)) best = { name, distance };
  }
  return best?.name;
}

/** `, did you mean "x"?`, or nothing. */
export function suggestion(word: string, known: Iterable<string>, quote = '"'): string {
  const name = nearest(word, known);
  return name === undefined ? '' : `, did you mean ${quote}${name}${quote}?`;
}

/** Optimal string alignment: like Levenshtein, but two swapped neighbours count as one. */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const same = a[row - 1] === b[column - 1];
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      const best = Math.min(
        at(last, column) + 1,
        at(current, column - 1) + 1,
        at(last, column - 1) + (same ? 0 : 1),
        swapped ? at(beforeLast, column - 2) + 1 : Number.POSITIVE_INFINITY,
      );
      current.push(best);
    }
    [beforeLast, last] = [last, current];
  }
  return at(last, b.length);
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY;
}
