/** The figures of `bench alloc` with their limits. Pure. */
import { type Cell, isAgainstShrike, isHeadline, type Load } from './alloc-cells.ts';
import type { Figures, Measured } from './alloc-measure.ts';
import { type Measurement, type Result, resultOf } from './report.ts';

/** p50 at one caller: of a raw fenced transaction, of a raw put, from the warm stock of a raw put. */
const MOST_OF_FENCED = 1.15;
const MOST_OF_PUT = 1.5;
const MOST_WARM = 0.2;
/** Leases a second with many callers, of raw puts a second: in one process, in several. */
const LEAST_TOGETHER = 3;
const LEAST_APART = 2.5;
const MOST_TRANSACTIONS = { alone: 1.05, together: 0.2 };
const LEAST_OF_SHRIKE = 100;
/** p50 of a full pool, of an empty one. */
const MOST_FULL = 2;
const MOST_RETRIES = 0.3;

const PUT = 'raw put';
const FENCED = 'raw fenced transaction';

export function cellResults(cell: Cell, measured: Measured): Result[] {
  const lease = measured.get('lease');
  const put = measured.get('put');
  if (lease === undefined || put === undefined) throw new RangeError('a cell was not measured');
  const id = `alloc.${cell.pool.prefixLength}.${cell.full}.${cell.processes}x${cell.callers}`;
  const at = whereText(cell);
  const headline = isHeadline(cell);
  const alone = cell.callers === 1;
  const results: Measurement[] = [
    {
      id: `${id}.p50`,
      what: `${at}: a lease, median of ${lease.samples}`,
      ...compared(lease, put, 'p50', PUT),
      ...(headline && alone ? { atMost: MOST_OF_PUT } : {}),
    },
    { id: `${id}.p99`, what: `${at}: the same, 99th percentile`, ...compared(lease, put, 'p99', PUT) },
    {
      id: `${id}.rate`,
      what: `${at}: leases a second, each released again; the puts are each deleted again`,
      ...compared(lease, put, 'rate', PUT),
      ...(headline ? rateLimit(cell) : {}),
    },
    {
      id: `${id}.transactions`,
      what: `${at}: transactions a lease (of one that does more, its share)`,
      value: lease.transactions,
      unit: '',
      ...(alone ? { atMost: MOST_TRANSACTIONS.alone } : {}),
      ...(cell.callers === 64 ? { atMost: MOST_TRANSACTIONS.together } : {}),
    },
  ];
  return [...results, ...fencedResults(cell, id, at, measured), ...otherResults(cell, id, at, measured)].map(
    resultOf,
  );
}

function fencedResults(cell: Cell, id: string, at: string, measured: Measured): Measurement[] {
  const lease = measured.get('lease');
  const fenced = measured.get('fenced');
  if (lease === undefined || fenced === undefined) return [];
  const one = cell.callers === 1;
  return [
    {
      id: `${id}.${one ? 'p50' : 'rate'}.fenced`,
      what: one
        ? `${at}: the median against one fenced transaction of the same shape, address known`
        : `${at}: leases a second against one fenced transaction each, address known`,
      ...compared(lease, fenced, one ? 'p50' : 'rate', FENCED),
      ...(one && isHeadline(cell) ? { atMost: MOST_OF_FENCED } : {}),
    },
  ];
}

function otherResults(cell: Cell, id: string, at: string, measured: Measured): Measurement[] {
  const results: Measurement[] = [];
  const [lease, put, warm, shrike, empty] = (['lease', 'put', 'warm', 'shrike', 'empty'] as const).map(
    (name) => measured.get(name),
  );
  if (warm !== undefined && put !== undefined) {
    results.push({
      id: `${id}.p50.warm`,
      what: `${at}: a lease from the warm stock, median of ${warm.samples}`,
      ...compared(warm, put, 'p50', PUT),
      atMost: MOST_WARM,
    });
  }
  if (lease !== undefined && shrike !== undefined) {
    results.push({
      id: `${id}.rate.shrike`,
      what: `${at}: leases a second against Shrike's algorithm (${shrike.samples} samples)`,
      ...compared(lease, shrike, 'rate', "Shrike's algorithm"),
      ...(isAgainstShrike(cell) ? { atLeast: LEAST_OF_SHRIKE } : {}),
    });
  }
  if (lease !== undefined && empty !== undefined && cell.callers === 1) {
    results.push({
      id: `${id}.p50.empty`,
      what: `${at}: the median against an empty pool of the same size`,
      ...compared(lease, empty, 'p50', 'empty pool'),
      ...(cell.full > 99 ? { atMost: MOST_FULL } : {}),
    });
  }
  if (lease !== undefined && cell.processes > 1) {
    results.push({
      id: `${id}.retries`,
      what: `${at}: tries that found the address taken by another process, a lease`,
      value: lease.retries,
      unit: '',
      atMost: MOST_RETRIES,
    });
  }
  return results;
}

/** @param retries a lease @param duplicates addresses that two callers had at once */
export function contentionResults(
  at: string,
  { leases, retries, duplicates }: { leases: number; retries: number; duplicates: number },
): Result[] {
  return [
    resultOf({
      id: 'alloc.contention.duplicates',
      what: `${at}: addresses that two had at once, in ${leases} leases`,
      value: duplicates,
      unit: '',
      atMost: 0,
    }),
    resultOf({
      id: 'alloc.contention.retries',
      what: `${at}: tries that found the address taken by another process, a lease`,
      value: retries,
      unit: '',
      atMost: MOST_RETRIES,
    }),
  ];
}

function rateLimit({ processes, callers }: Load): Partial<Measurement> {
  if (callers !== 64) return {};
  return { atLeast: processes === 1 ? LEAST_TOGETHER : LEAST_APART };
}

function compared(
  subject: Figures,
  reference: Figures,
  figure: 'p50' | 'p99' | 'rate',
  what: string,
): Pick<Measurement, 'value' | 'unit' | 'reference'> {
  const unit = figure === 'rate' ? '1/s' : 'ms';
  return { value: subject[figure], unit, reference: { what, value: reference[figure] } };
}

function whereText({ pool, full, processes, callers }: Cell): string {
  const of = callers === 1 ? '1 caller' : `${callers} callers`;
  const over = processes === 1 ? '' : ` over ${processes} processes`;
  return `/${pool.prefixLength}, ${full} % full, ${of}${over}`;
}
