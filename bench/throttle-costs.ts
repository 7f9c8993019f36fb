/** What limits cost: to set, to change, to read, and in processor time for each packet. */
import { setTimeout as sleep } from 'node:timers/promises';
import { KernelLinks } from '../net/links.ts';
import { KernelHostShaping } from '../net/shaping/kernel-host-shaping.ts';
import { PEER, type Sandbox, ShapedHost, shape } from '../test/netns/shaped-host.ts';
import { runOk } from '../test/support/run.ts';
import type { Samples } from './statistics.ts';
import { Fleet } from './throttle-fleet.ts';
import { inside, startServer } from './throttle-flow.ts';
import type { ThrottleOptions } from './throttle-options.ts';

const SMALL = shape(10);
/** More than any sender here can make. */
const UNLIMITED = shape(100_000);
const LINK = { in: 100e9, out: 100e9 };
const EDIT_EVERY_MS = 200;
const RECOVERY_MS = 20_000;

/** Milliseconds: `setup`, `same`, `change`, `removal`, each for one container; `sample.<n>` for all, and `wait`. */
export async function fleetCosts({ setups, containers }: ThrottleOptions, samples: Samples): Promise<void> {
  const host = new ShapedHost();
  const most = Math.max(setups, ...containers);
  const fleet = new Fleet(host, most);
  try {
    const shaping = host.shaping();
    const links = new KernelLinks(host.worker);
    await shaping.supported();
    const some = fleet.places.slice(0, setups);
    const timed = async (name: string, work: () => Promise<unknown>): Promise<void> => {
      const start = performance.now();
      await work();
      samples.add(name, performance.now() - start);
    };
    for (const place of some) await timed('setup', () => shaping.apply(place, { in: SMALL, out: SMALL }));
    for (const place of some) await timed('same', () => shaping.apply(place, { in: SMALL, out: SMALL }));
    for (const place of some)
      await timed('change', () => shaping.apply(place, { in: shape(5), out: shape(5) }));
    for (const place of fleet.places.slice(setups)) await shaping.apply(place, { in: SMALL, out: SMALL });
    for (let round = 0; round < 7; round++) {
      for (const count of containers) {
        await timed(`sample.${count}`, () => shaping.traffic(fleet.places.slice(0, count)));
      }
      // A start that comes in the middle of it.
      const sample = shaping.traffic(fleet.places);
      await sleep(3);
      await timed('wait', () => links.linkGet('up0'));
      await sample;
    }
    for (const place of some) await timed('removal', () => shaping.apply(place, {}));
  } finally {
    fleet.remove();
    await host.remove();
  }
}

/** Nanoseconds of the sender's processor time for a packet of 64 bytes: `none`, `sandbox.<n>`, `host.<n>`. */
export async function packetCosts(
  { containers, packetRounds, packetSeconds }: ThrottleOptions,
  samples: Samples,
): Promise<void> {
  for (const count of containers) {
    const host = new ShapedHost();
    const fleet = new Fleet(host, count - 1);
    try {
      await startServer(host);
      const box = host.macvlan('private');
      const shaping = host.shaping();
      const byHost = new KernelHostShaping(host.worker);
      const plan = { in: UNLIMITED, out: UNLIMITED };
      const own = { endpointId: box.endpointId, macAddress: box.macAddress, plan };
      for (let round = 0; round < packetRounds; round++) {
        samples.add('none', await nanosecondsAPacket(box, packetSeconds));
        for (const place of [box.place, ...fleet.places]) await shaping.apply(place, plan);
        samples.add(`sandbox.${count}`, await nanosecondsAPacket(box, packetSeconds));
        for (const place of [box.place, ...fleet.places]) await shaping.apply(place, {});
        await byHost.settle('up0', [...fleet.endpoints(plan), own], LINK);
        samples.add(`host.${count}`, await nanosecondsAPacket(box, packetSeconds));
        await byHost.settle('up0', [], LINK);
      }
    } finally {
      fleet.remove();
      await host.remove();
    }
  }
}

async function nanosecondsAPacket(box: Sandbox, seconds: number): Promise<number> {
  const words = [
    'iperf3',
    '-c',
    PEER,
    '-p',
    '5300',
    '-u',
    '-b',
    '0',
    '-l',
    '64',
    '-t',
    `${seconds}`,
    '-i',
    '0',
    '-J',
  ];
  const said = await runOk(inside(box.namespace, ...words), { timeoutMs: 60_000 });
  const { end } = JSON.parse(said) as {
    end: { sum: { packets: number; seconds: number }; cpu_utilization_percent: { host_total: number } };
  };
  return ((end.cpu_utilization_percent.host_total / 100) * end.sum.seconds * 1e9) / end.sum.packets;
}

export interface EditFigures {
  /** Of one change, milliseconds. */
  readonly costs: readonly number[];
  /** From the last change until 90 % of its rate pass, seconds. */
  readonly recoverySeconds: number;
  /** The stream was still there. */
  readonly lost: 0 | 1;
}

/** A limit that is edited again and again while one TCP stream runs through it. */
export async function editsUnderLoad({ edits }: ThrottleOptions): Promise<EditFigures> {
  const host = new ShapedHost();
  try {
    const box = host.macvlan();
    const shaping = host.shaping();
    await shaping.apply(box.place, { out: shape(100) });
    const flow = await host.flow(box.namespace, host.peer, PEER);
    await sleep(1000);
    const costs: number[] = [];
    for (let edit = 1; edit <= edits; edit++) {
      const megabits = edit === edits ? 100 : 10 + ((edit * 37) % 190);
      const start = performance.now();
      await shaping.apply(box.place, { out: shape(megabits) });
      costs.push(performance.now() - start);
      if (edit < edits) await sleep(Math.max(0, EDIT_EVERY_MS - (performance.now() - start)));
    }
    const last = performance.now();
    const bytes = async (): Promise<number> => (await shaping.traffic([box.place]))[0]?.out.bytes ?? 0;
    let rate = 0;
    while (rate < 90 && performance.now() - last < RECOVERY_MS) {
      const [from, before] = [performance.now(), await bytes()];
      await sleep(250);
      rate = (((await bytes()) - before) * 8) / (performance.now() - from) / 1000;
    }
    const recoverySeconds = rate < 90 ? Number.NaN : (performance.now() - last) / 1000;
    const lost = /error|closed|reset/i.test(flow.said()) ? 1 : 0;
    await flow.stop();
    return { costs, recoverySeconds, lost };
  } finally {
    await host.remove();
  }
}
