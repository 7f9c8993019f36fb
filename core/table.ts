/** Tables for people, in docker's style: upper-case headings, columns padded, no lines. */

/** The gap that docker's own tables have between two columns, at least. */
const GAP = '  ';

/**
 * @param headings e.g. `['NETWORK ID', 'PARENT']`
 * @param rows one text per heading; `-` stands for an empty one
 * @returns lines with a line feed at the end of each, no blanks at line ends
 */
export function formatTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [headings, ...rows.map((row) => row.map((cell) => (cell === '' ? '-' : cell)))];
  const widths = headings.map((_, column) =>
    // Not Math.max(...all): a list may have more lines than a call may have arguments.
    lines.reduce((width, line) => Math.max(width, (line[column] ?? '').length), 0),
  );
  return lines
    .map((line) => line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(GAP))
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}
