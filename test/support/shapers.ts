/** What stands in the kernel for a container's limits, as `tc` shows it, in bits a second. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { sandboxIfbNameOf } from '../../core/ids.ts';
import { distFolder } from './checkout.ts';
import type { Place } from './ping.ts';
import { until } from './poll.ts';
import { runOk } from './run.ts';

export interface Rates {
  /** What the container sends. */
  readonly out?: number;
  /** What it receives. */
  readonly in?: number;
}

interface Qdisc {
  readonly kind: string;
  readonly dev: string;
  readonly handle: string;
  readonly root?: boolean;
  /** Rate in BYTES a second. */
  readonly options?: { readonly rate?: number };
}

/** @param link of the container, in its sandbox */
export async function ratesIn(sandbox: Place, link = 'eth0'): Promise<Rates> {
  const all = await qdiscsIn(sandbox);
  const bits = (of: (qdisc: Qdisc) => boolean): number | undefined => {
    const found = all.find((qdisc) => qdisc.kind === 'tbf' && qdisc.root === true && of(qdisc));
    return found?.options?.rate === undefined ? undefined : found.options.rate * 8;
  };
  const out = bits(({ dev }) => dev === link);
  const index = /^(\d+):/.exec(await runOk(sandbox.command(['ip', '-o', 'link', 'show', link])))?.[1];
  const inward = bits(({ dev }) => dev === sandboxIfbNameOf(Number(index)));
  return { ...(out === undefined ? {} : { out }), ...(inward === undefined ? {} : { in: inward }) };
}

export async function qdiscsIn(place: Place): Promise<Qdisc[]> {
  return JSON.parse(await runOk(place.command(['tc', '-j', 'qdisc', 'show']))) as Qdisc[];
}

/** Takes what comes. Call the answer to end it. */
export async function startSink(
  place: Place & { readonly address: string },
  port: number,
): Promise<() => void> {
  const [program = '', ...words] = place.command([
    process.execPath,
    `${distFolder}/test/support/sink.js`,
    place.address,
    String(port),
  ]);
  const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const closed = once(child, 'close').then(() => {
    throw new Error('the sink ended before it listened');
  });
  closed.catch(() => {});
  await Promise.race([
    until('the sink listens', () => said.includes('listening'), { intervalMs: 20 }),
    closed,
  ]);
  return () => child.stdin.end();
}
