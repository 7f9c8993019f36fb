/** The figures of `bench scale` with their limits. Pure. */
import { type Result, resultOf } from './report.ts';
import { SHARING } from './scale-sessions.ts';

/** Of one daemon. */
export interface DaemonFigures {
  /** From the start of its process to its answer with an address. */
  readonly startMs: number;
  readonly memoryMb: number;
  readonly leaseMs: number;
  readonly leaseP99Ms: number;
}

export interface Figures {
  /** On an etcd with many leases of others. */
  readonly full: DaemonFigures;
  /** On an empty one. */
  readonly empty: DaemonFigures;
  readonly starts: number;
  readonly samples: number;
}

const MOST_START_MS = 1000;
const MOST_MEMORY_MB = 150;
const MOST_OF_EMPTY = 2;
/** Of one core, in percent. */
const MOST_LOAD = 10;

/** @param limits held where the store is fullest */
export function leaseResults(
  leases: number,
  { full, empty, starts, samples }: Figures,
  { limits }: { readonly limits: boolean },
): Result[] {
  const id = `scale.${leases}`;
  const at = `${leases} leases in etcd`;
  const within = (atMost: number) => (limits ? { atMost } : {});
  const against = (value: number) => ({ reference: { what: 'empty etcd', value } });
  return [
    resultOf({
      id: `${id}.start`,
      what: `${at}: from the start of the daemon to its first address (${empty.startMs.toFixed(0)} ms on an empty etcd), median of ${starts}`,
      value: full.startMs,
      unit: 'ms',
      ...within(MOST_START_MS),
    }),
    resultOf({
      id: `${id}.memory`,
      what: `${at}: resident memory of the daemon after that (${empty.memoryMb.toFixed(0)} MB on an empty etcd), median of ${starts}`,
      value: full.memoryMb,
      unit: 'MB',
      ...within(MOST_MEMORY_MB),
    }),
    resultOf({
      id: `${id}.lease.p50`,
      what: `${at}: a lease over the plugin's socket, median of ${samples}`,
      value: full.leaseMs,
      unit: 'ms',
      ...against(empty.leaseMs),
      ...within(MOST_OF_EMPTY),
    }),
    resultOf({
      id: `${id}.lease.p99`,
      what: `${at}: the same, 99th percentile`,
      value: full.leaseP99Ms,
      unit: 'ms',
      ...against(empty.leaseP99Ms),
    }),
  ];
}

export interface SessionFigures {
  readonly count: number;
  readonly leases: number;
  /** Of etcd, in percent of one core: with the daemons, without. */
  readonly load: number;
  readonly nobody: number;
  readonly idleMs: number;
  readonly limits: boolean;
}

export function sessionResult({ count, leases, load, nobody, idleMs, limits }: SessionFigures): Result {
  return resultOf({
    id: `scale.sessions.${count}`,
    what:
      `etcd with ${leases} leases and ${count} idle daemons (simulated, ${SHARING} on a connection): processor time ` +
      `over ${idleMs / 1000} s, of one core (${nobody.toFixed(1)} % without them)`,
    value: load,
    unit: '%',
    ...(limits ? { atMost: MOST_LOAD } : {}),
  });
}
