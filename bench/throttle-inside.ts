/** The program of `bench throttle` inside of its namespaces. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import type { ShapePlace } from '../net/shaping-port.ts';
import { type Sandbox, ShapedHost, shape } from '../test/netns/shaped-host.ts';
import { programInside } from './namespaces.ts';
import type { Result } from './report.ts';
import { Samples } from './statistics.ts';
import { editsUnderLoad, fleetCosts, packetCosts } from './throttle-costs.ts';
import { type Load, type LoadFigures, runLoad, startServer } from './throttle-flow.ts';
import type { ThrottleOptions } from './throttle-options.ts';
import { cniAdd, cniRemove, hasCniPlugin, hasWondershaper, wondershaper } from './throttle-references.ts';
import {
  type CellFigures,
  type PairFigures,
  type ThrottleFigures,
  throttleResults,
} from './throttle-results.ts';

const DIRECTIONS = ['out', 'in'] as const;
/** What a sender of UDP makes here is not more. */
const MOST_UDP_MEGABITS = 1000;
/** What waits in the queue holds each one's socket back; together they keep it full. */
const UDP_STREAMS = 8;
const WONDERSHAPER_MEGABITS = 100;

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

async function measure(options: ThrottleOptions): Promise<Result[]> {
  // Names of namespaces are files; these are nobody else's.
  mkdirSync('/run/netns', { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', 'none', '/run/netns']);
  const samples = new Samples();
  say('what limits cost');
  await fleetCosts(options, samples);
  await packetCosts(options, samples);
  const edits = await editsUnderLoad(options);
  const cells = await accuracy(options);
  const figures: ThrottleFigures = {
    cells,
    pairs: hasCniPlugin() ? await againstCni(options, samples) : [],
    samples,
    edits,
    options,
    ...(await withWondershaper(options)),
  };
  if (!hasCniPlugin()) say('containernetworking-plugins is not installed: nothing to compare with');
  return throttleResults(figures);
}

async function accuracy(options: ThrottleOptions): Promise<CellFigures[]> {
  const host = new ShapedHost();
  try {
    await startServer(host);
    const box = host.macvlan();
    const cells: CellFigures[] = [];
    for (const load of loads(options)) {
      const runs: LoadFigures[] = [];
      for (let repeat = 0; repeat < options.repeats; repeat++)
        runs.push(await loaded(host, box, box.place, load));
      cells.push({ load, runs, ...(await freePace(host, box, load)) });
      say(`${nameOf(load)}: ${runs.map(({ achieved }) => achieved.toFixed(2)).join(', ')}`);
    }
    return cells;
  } finally {
    await host.remove();
  }
}

function loads({ megabits, streams, families, warmUpMs, windowMs }: ThrottleOptions): Load[] {
  return megabits.flatMap((rate) =>
    DIRECTIONS.flatMap((direction): Load[] => {
      const load = { direction, megabits: rate, warmUpMs, windowMs };
      return [
        ...streams.map((count): Load => ({ ...load, protocol: 'tcp', streams: count, family: 4 })),
        ...(families.includes(6) ? [{ ...load, protocol: 'tcp', streams: 1, family: 6 } as const] : []),
        ...(rate > MOST_UDP_MEGABITS
          ? []
          : families.map((family): Load => ({ ...load, protocol: 'udp', streams: UDP_STREAMS, family }))),
      ];
    }),
  );
}

/** What the sender makes without a limit, where that may be less than the limit: UDP at high rates. */
async function freePace(host: ShapedHost, box: Sandbox, load: Load): Promise<{ freeMegabits?: number }> {
  if (load.protocol !== 'udp' || load.megabits < MOST_UDP_MEGABITS) return {};
  await host.shaping().apply(box.place, {});
  const { achieved } = await runLoad(box.namespace, load, () => counted(box, load.direction));
  return { freeMegabits: achieved };
}

async function loaded(host: ShapedHost, box: Sandbox, place: ShapePlace, load: Load): Promise<LoadFigures> {
  const shaping = host.shaping();
  const one = shape(load.megabits);
  await shaping.apply(place, { in: one, out: one });
  return await runLoad(box.namespace, load, async () => {
    const [found] = await shaping.traffic([place]);
    return found?.[load.direction].bytes ?? Number.NaN;
  });
}

/** Both on one veth pair, turn by turn, the plugin with our bursts. */
async function againstCni(options: ThrottleOptions, samples: Samples): Promise<PairFigures[]> {
  const { referenceMegabits, referenceRounds, streams, warmUpMs, windowMs } = options;
  const host = new ShapedHost();
  const pairs: PairFigures[] = [];
  try {
    await startServer(host);
    const box = host.veth();
    for (const megabits of referenceMegabits) {
      for (const direction of DIRECTIONS) {
        for (const count of streams) {
          const load: Load = {
            ...{ direction, megabits, warmUpMs, windowMs },
            ...{ protocol: 'tcp', streams: count, family: 4 },
          };
          const ours: LoadFigures[] = [];
          const theirs: LoadFigures[] = [];
          for (let round = 0; round < referenceRounds; round++) {
            ours.push(await loaded(host, box, box.hostEnd, load));
            await host.shaping().apply(box.hostEnd, {});
            host.tc(host.home, 'qdisc', 'del', 'dev', box.hostEnd.linkName, 'clsact');
            samples.add('cni.add', await cniAdd(host, box, { in: shape(megabits), out: shape(megabits) }));
            theirs.push(await runLoad(box.namespace, load, () => counted(box, direction)));
            await cniRemove(host, box);
          }
          pairs.push({ load, ours, theirs });
          say(`${nameOf(load)}, CNI plugin: ${theirs.map(({ achieved }) => achieved.toFixed(2)).join(', ')}`);
        }
      }
    }
    return pairs;
  } finally {
    await host.remove();
  }
}

async function withWondershaper({
  warmUpMs,
  windowMs,
}: ThrottleOptions): Promise<Pick<ThrottleFigures, 'wondershaper'>> {
  if (!hasWondershaper()) {
    say('wondershaper is not installed: nothing to compare with');
    return {};
  }
  const host = new ShapedHost();
  try {
    await startServer(host);
    const box = host.macvlan();
    const megabits = WONDERSHAPER_MEGABITS;
    const status = await wondershaper(box, megabits);
    const achieved = { in: Number.NaN, out: Number.NaN };
    for (const direction of DIRECTIONS) {
      const load: Load = {
        ...{ direction, megabits, warmUpMs, windowMs },
        ...{ protocol: 'tcp', streams: 1, family: 4 },
      };
      achieved[direction] = (await runLoad(box.namespace, load, () => counted(box, direction))).achieved;
    }
    return { wondershaper: { megabits, status, ...achieved } };
  } finally {
    await host.remove();
  }
}

/** By the link's own counters, which count a packet of segmentation offload once. */
async function counted({ namespace }: Sandbox, direction: 'in' | 'out'): Promise<number> {
  const [{ stats64 } = {}] = JSON.parse(namespace.ip('-s', '-j', 'link', 'show', 'eth0')) as {
    stats64?: { rx: { bytes: number }; tx: { bytes: number } };
  }[];
  return stats64?.[direction === 'in' ? 'rx' : 'tx'].bytes ?? Number.NaN;
}

function nameOf({ direction, protocol, streams, family, megabits }: Load): string {
  return `${direction} ${protocol} × ${streams} IPv${family} ${megabits} Mbit/s`;
}

await programInside(measure);
