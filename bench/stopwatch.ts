/**
 * A program that runs on a lab machine, beside its engine: times `docker run --rm` on two networks in turn. There, so
 * that getting onto the machine is not in the figures. Prints one JSON object: `Timings`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

export interface StopwatchOptions {
  readonly image: string;
  /** Two networks. */
  readonly networks: readonly [string, string];
  /** Pairs that are run and not kept. */
  readonly warmUpPairs: number;
  readonly pairs: number;
  /** Containers at once; the time is that of all of them. */
  readonly parallel: number;
}

/** Seconds on the first and the second network; who goes first alternates. */
export type Timings = readonly (readonly [number, number])[];

async function dockerRun(image: string, network: string): Promise<void> {
  const child = spawn('docker', ['run', '--rm', '--network', network, image, 'true'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const [status] = (await once(child, 'close')) as [number | null];
  if (status !== 0) throw new Error(`docker run on ${network}: status ${status}; ${said}`);
}

async function timed({ image, parallel }: StopwatchOptions, network: string): Promise<number> {
  const start = performance.now();
  await Promise.all(Array.from({ length: parallel }, () => dockerRun(image, network)));
  return (performance.now() - start) / 1000;
}

async function pair(options: StopwatchOptions, index: number): Promise<[number, number]> {
  const [first, second] = options.networks;
  if (index % 2 === 0) return [await timed(options, first), await timed(options, second)];
  const later = await timed(options, second);
  return [await timed(options, first), later];
}

const options = JSON.parse(process.argv[2] ?? '') as StopwatchOptions;
for (let i = 0; i < options.warmUpPairs; i++) await pair(options, i);
const timings: [number, number][] = [];
for (let i = 0; i < options.pairs; i++) timings.push(await pair(options, i));
process.stdout.write(`${JSON.stringify(timings)}\n`);
