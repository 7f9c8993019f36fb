/** The figures of `bench throttle`, judged. Pure. */
import { type Result, resultOf } from './report.ts';
import { median, percentile, type Samples } from './statistics.ts';
import type { EditFigures } from './throttle-costs.ts';
import type { Load, LoadFigures } from './throttle-flow.ts';
import type { ThrottleOptions } from './throttle-options.ts';

export interface CellFigures {
  readonly load: Load;
  readonly runs: readonly LoadFigures[];
  /** What the sender makes without a limit, in Mbit/s; absent: more than enough. */
  readonly freeMegabits?: number;
}

export interface PairFigures {
  readonly load: Load;
  readonly ours: readonly LoadFigures[];
  readonly theirs: readonly LoadFigures[];
}

export interface ThrottleFigures {
  readonly cells: readonly CellFigures[];
  /** None: the plugin is not installed. */
  readonly pairs: readonly PairFigures[];
  readonly wondershaper?: {
    readonly megabits: number;
    readonly status: number;
    readonly in: number;
    readonly out: number;
  };
  readonly samples: Samples;
  readonly edits: EditFigures;
  readonly options: ThrottleOptions;
}

const MOST_AWAY_PERCENT = 2;
/** At 5 Gbit/s a machine of two processors is busy with sending alone. */
const MOST_AWAY_PERCENT_FAST = 4;
const FAST_MEGABITS = 5000;
/** A sender that makes less than this times the limit says nothing about it. */
const ENOUGH = 1.15;
const MOST_PING = 1.1;
const MOST_SETUP_MS = 4;

export function throttleResults(figures: ThrottleFigures): Result[] {
  return [
    ...figures.cells.flatMap(cellResults),
    ...figures.pairs.flatMap(pairResults),
    ...wondershaperResults(figures),
    ...costResults(figures),
    ...packetResults(figures),
  ];
}

function cellResults({ load, runs, freeMegabits }: CellFigures): Result[] {
  const { megabits } = load;
  const id = `throttle.${idOf(load)}`;
  const what = textOf(load);
  const achieved = median(runs.map((run) => run.achieved));
  const reference = { what: 'the limit', value: megabits };
  return [
    resultOf({
      id: `${id}.away`,
      what: `${what}: how far what passed, by the kernel's counters, is from the limit; median of ${runs.length}${
        freeMegabits === undefined ? '' : ` (without it the sender makes ${Math.round(freeMegabits)} Mbit/s)`
      }`,
      value: Math.abs(achieved / megabits - 1) * 100,
      unit: '%',
      ...(freeMegabits !== undefined && freeMegabits < ENOUGH * megabits
        ? {}
        : { atMost: megabits >= FAST_MEGABITS ? MOST_AWAY_PERCENT_FAST : MOST_AWAY_PERCENT }),
    }),
    resultOf({
      id: `${id}.passed`,
      what: `${what}: what passed`,
      value: achieved,
      unit: 'Mbit/s',
      reference,
    }),
    resultOf({
      id: `${id}.goodput`,
      what: `${what}: payload by iperf3`,
      value: median(runs.map((run) => run.goodput)),
      unit: 'Mbit/s',
      reference,
    }),
    resultOf({
      id: `${id}.ping`,
      what: `${what}: round trip meanwhile, median`,
      value: median(runs.map(({ pingMs }) => pingMs.median)),
      unit: 'ms',
    }),
  ];
}

function pairResults({ load, ours, theirs }: PairFigures): Result[] {
  const what = `${textOf(load)}, at the host end of a veth pair`;
  const ping = (runs: readonly LoadFigures[]): number => median(runs.map(({ pingMs }) => pingMs.median));
  return [
    resultOf({
      id: `throttle.cni.${idOf(load)}.ping`,
      what: `${what}: round trip under load, median of ${ours.length}`,
      value: ping(ours),
      unit: 'ms',
      reference: { what: 'CNI bandwidth plugin', value: ping(theirs) },
      atMost: MOST_PING,
    }),
    resultOf({
      id: `throttle.cni.${idOf(load)}.goodput`,
      what: `${what}: payload by iperf3`,
      value: median(ours.map(({ goodput }) => goodput)),
      unit: 'Mbit/s',
      reference: { what: 'CNI bandwidth plugin', value: median(theirs.map(({ goodput }) => goodput)) },
    }),
  ];
}

function wondershaperResults({ wondershaper }: ThrottleFigures): Result[] {
  if (wondershaper === undefined) return [];
  const { megabits, status } = wondershaper;
  return (['out', 'in'] as const).map((direction) =>
    resultOf({
      id: `throttle.wondershaper.${direction}`,
      what: `${direction}, one TCP stream through wondershaper, which ended with status ${status}: what passed`,
      value: wondershaper[direction],
      unit: 'Mbit/s',
      reference: { what: 'its limit', value: megabits },
    }),
  );
}

function costResults({ samples, edits, options }: ThrottleFigures): Result[] {
  const { setups, containers } = options;
  const cost = (name: string, what: string, limit = {}): Result =>
    resultOf({
      id: `throttle.cost.${name}`,
      what: `${what}; median of ${samples.of(name).length}`,
      value: median(samples.of(name)),
      unit: 'ms',
      ...limit,
    });
  return [
    cost('setup', `both limits of a container, of ${setups} one after the other`, { atMost: MOST_SETUP_MS }),
    cost('same', 'finding that they stand'),
    cost('change', 'changing both'),
    cost('removal', 'taking both away'),
    ...(samples.names().includes('cni.add') ? [cost('cni.add', 'the CNI bandwidth plugin, once')] : []),
    ...containers.map((count) => cost(`sample.${count}`, `counters of ${count} containers`)),
    cost('wait', `a request for a start that comes while all ${Math.max(...containers, setups)} are read`),
    resultOf({
      id: 'throttle.edits.cost',
      what: `${edits.costs.length} changes, 5 a second, under one TCP stream: one, 95th percentile`,
      value: percentile(edits.costs, 95),
      unit: 'ms',
    }),
    resultOf({
      id: 'throttle.edits.lost',
      what: 'the same: connections lost',
      value: edits.lost,
      unit: '',
      atMost: 0,
    }),
    resultOf({
      id: 'throttle.edits.recovery',
      what: 'the same: until 90 % of the last rate pass',
      value: edits.recoverySeconds,
      unit: 's',
    }),
  ];
}

function packetResults({ samples, options }: ThrottleFigures): Result[] {
  const none = { what: 'no limit', value: median(samples.of('none')) };
  return options.containers.flatMap((count) =>
    (['sandbox', 'host'] as const).map((place) =>
      resultOf({
        id: `throttle.packet.${place}.${count}`,
        what: `processor time of the sender for a packet of 64 bytes, enforced ${place === 'host' ? 'by the host' : 'in the sandbox'}, ${count} containers`,
        value: median(samples.of(`${place}.${count}`)),
        unit: 'ns',
        reference: none,
      }),
    ),
  );
}

function idOf({ direction, protocol, streams, family, megabits }: Load): string {
  const flow = protocol === 'udp' ? 'udp' : `tcp${streams}`;
  return `${direction}.${flow}${family === 6 ? '.ipv6' : ''}.${megabits}`;
}

function textOf({ direction, protocol, streams, family, megabits }: Load): string {
  const flow = protocol === 'udp' ? 'UDP' : `${streams} TCP ${streams === 1 ? 'stream' : 'streams'}`;
  return `${direction}, ${flow}, IPv${family}, limit ${megabits} Mbit/s`;
}
