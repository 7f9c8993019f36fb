/** The figures of `bench neigh`, judged. Pure. */
import { type Result, resultOf } from './report.ts';
import { median, type Samples } from './statistics.ts';

export interface NeighFigures {
  /** `<filling>.<figure>.<entries>` */
  readonly samples: Samples;
  readonly sizes: readonly number[];
  readonly rounds: number;
  readonly processes: number;
  readonly millisecondsPerProcess: number;
}

const MOST_OF_FLOOR = 1.5;
const LEAST_OF_BATCH = 5;
const MOST_LOOP_MS = 20;

export function resultsOf(figures: NeighFigures): Result[] {
  const largest = Math.max(...figures.sizes);
  return [
    ...figures.sizes.flatMap((size) => sizeResults(figures, size, size === largest)),
    ...largestResults(figures, largest),
  ];
}

function sizeResults(figures: NeighFigures, size: number, judged: boolean): Result[] {
  const { samples, rounds, processes, millisecondsPerProcess } = figures;
  const id = `neigh.${size}`;
  const of = (name: string) => median(samples.of(`${name}.${size}`));
  const lanius = { what: 'Lanius', value: of('lanius.load') };
  const entries = `${size} PERMANENT entries in a fresh sandbox`;
  return [
    resultOf({
      id: `${id}.floor`,
      what: `${entries}: plan, parts, worker thread; median of ${rounds}`,
      value: lanius.value,
      unit: 'ms',
      reference: {
        what: 'C, 64 KiB a system call, the last message acknowledged',
        value: of('floor.load'),
      },
      ...(judged ? { atMost: MOST_OF_FLOOR } : {}),
    }),
    resultOf({
      id: `${id}.batch`,
      what: `${entries}: ip -batch, with the start of the process; median of ${rounds}`,
      value: of('batch.load'),
      unit: 'ms',
      reference: lanius,
      ...(judged ? { atLeast: LEAST_OF_BATCH } : {}),
    }),
    resultOf({
      id: `${id}.processes`,
      what: `${entries}: one process (ip) for each, extrapolated from ${processes}`,
      value: millisecondsPerProcess * size,
      unit: 'ms',
      reference: lanius,
    }),
  ];
}

function largestResults({ samples, rounds }: NeighFigures, size: number): Result[] {
  const of = (figure: string) => samples.of(`lanius.${figure}.${size}`);
  const standing = `${size} entries that all stand`;
  return [
    resultOf({
      id: 'neigh.loop',
      what: `longest delay of the daemon's event loop while it loads ${size} entries, of ${rounds} loads`,
      value: Math.max(...of('loop')),
      unit: 'ms',
      atMost: MOST_LOOP_MS,
    }),
    resultOf({
      id: 'neigh.sample',
      what: `${standing}: finding so by a sample, median`,
      value: median(of('sample')),
      unit: 'ms',
    }),
    resultOf({
      id: 'neigh.all',
      what: `${standing}: finding so by reading the table, median`,
      value: median(of('all')),
      unit: 'ms',
    }),
  ];
}
