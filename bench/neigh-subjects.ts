/** What fills a neighbour table in `bench neigh`: Lanius, and what it is compared with. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { formatIp, parseCidr, parseIp } from '../core/ip.ts';
import { DEFAULT_MAC_PREFIX, macOf } from '../core/mac.ts';
import { planOf } from '../links/arp-preload.ts';
import type { NeighbourPort } from '../net/neighbours.ts';
import { checkoutFolder } from '../test/support/checkout.ts';
import { LINK, type Sandbox } from './neigh-sandbox.ts';

const SUBNET = parseCidr('10.80.0.0/15');
const FIRST = parseIp('10.81.0.1');

export interface Filling {
  readonly name: string;
  /** Fills an empty table. @returns milliseconds, by name */
  fill(sandbox: Sandbox, entries: number): Promise<Readonly<Record<string, number>>>;
}

function timed(): () => number {
  const start = performance.now();
  return () => performance.now() - start;
}

/** The daemon's own way: plan, parts, worker thread. */
export class LaniusFilling implements Filling {
  readonly name = 'lanius';
  readonly #neighbours: NeighbourPort;

  constructor(neighbours: NeighbourPort) {
    this.#neighbours = neighbours;
  }

  async fill(sandbox: Sandbox, entries: number): Promise<Readonly<Record<string, number>>> {
    const { family, value } = FIRST;
    const pool = {
      subnet: SUBNET,
      ranges: [{ family, first: value, last: value + BigInt(entries) - 1n }],
      excludes: [],
      macPrefix: DEFAULT_MAC_PREFIX,
      fixedMacs: new Map<string, string>(),
    };
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const sinceStart = timed();
    const plan = planOf({ subnets: [] }, {}, [pool]);
    await this.#neighbours.load(sandbox, plan, { first: true, look: 'none' });
    const load = sinceStart();
    delay.disable();
    const sinceLoaded = timed();
    await this.#neighbours.load(sandbox, plan);
    const sample = sinceLoaded();
    await this.#neighbours.load(sandbox, plan, { look: 'all' });
    return { load, sample, all: sinceLoaded() - sample, loop: delay.max / 1e6 };
  }
}

/** @param folder for the program @returns its path */
export function compileFloor(folder: string): string {
  const program = join(folder, 'neigh-floor');
  execFileSync('cc', ['-O2', '-o', program, join(checkoutFolder, 'bench/neigh-floor.c')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return program;
}

/** By its own clock: the start of the process is not in it. */
export class FloorFilling implements Filling {
  readonly name = 'floor';
  readonly #program: string;

  constructor(program: string) {
    this.#program = program;
  }

  async fill({ namespacePath }: Sandbox, entries: number): Promise<Readonly<Record<string, number>>> {
    const words = [namespacePath, LINK, formatIp(FIRST), String(entries)];
    return { load: Number(execFileSync(this.#program, words, { encoding: 'utf8' })) * 1000 };
  }
}

/** With the start of its process, which belongs to it. */
export class IpBatchFilling implements Filling {
  readonly name = 'batch';

  async fill(sandbox: Sandbox, entries: number): Promise<Readonly<Record<string, number>>> {
    const lines = Array.from({ length: entries }, (_, i) => `${replaceWords(i).join(' ')}\n`).join('');
    const sinceStart = timed();
    await ended(sandbox.words('ip', '-batch', '-'), lines);
    return { load: sinceStart() };
  }
}

/** One after the other, as a script does it. @returns milliseconds for each */
export async function millisecondsOfProcesses(sandbox: Sandbox, processes: number): Promise<number> {
  const sinceStart = timed();
  for (let i = 0; i < processes; i++) await ended(sandbox.words('ip', ...replaceWords(i)));
  return sinceStart() / processes;
}

function replaceWords(index: number): string[] {
  const address = { family: FIRST.family, value: FIRST.value + BigInt(index) };
  const mac = macOf(DEFAULT_MAC_PREFIX, address);
  return ['neighbour', 'replace', formatIp(address), 'lladdr', mac, 'dev', LINK, 'nud', 'permanent'];
}

async function ended(
  [command, ...words]: [command: string, ...words: string[]],
  input?: string,
): Promise<void> {
  const stdin = input === undefined ? 'ignore' : 'pipe';
  const child = spawn(command, words, { stdio: [stdin, 'ignore', 'inherit'] });
  child.stdin?.end(input);
  const [status] = (await once(child, 'close')) as [number | null];
  if (status !== 0) throw new Error(`${command} ${words.join(' ')} ended with status ${status}`);
}
