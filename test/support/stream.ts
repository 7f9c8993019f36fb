/** A TCP stream of iperf3 that runs until it is asked whether it still does. */
import { spawn } from 'node:child_process';
import { expect } from 'chai';
import type { Place } from './ping.ts';
import { until } from './poll.ts';
import { run } from './run.ts';

const LONGEST_SECONDS = 240;

export interface Stream {
  /** It has not been cut; ends it. */
  expectAlive(): Promise<void>;
}

/** @param ip of the server */
export async function startStream(client: Place, server: Place, ip: string, port: number): Promise<Stream> {
  const begin = (place: Place, words: readonly string[]) => {
    const [program = '', ...rest] = place.command(['iperf3', '-p', String(port), ...words]);
    return spawn(program, rest, { stdio: 'ignore' });
  };
  const serving = begin(server, ['-s', '-B', ip, '-1']);
  await until(`iperf3 listens at ${ip}`, async () => {
    const [program = '', ...words] = server.command(['ss', '-Hltn', `sport = :${port}`]);
    return (await run([program, ...words])).stdout.includes(ip);
  });
  const sending = begin(client, ['-c', ip, '-t', String(LONGEST_SECONDS), '-C', 'cubic']);
  return {
    expectAlive: async () => {
      const ended = [serving.exitCode, sending.exitCode];
      serving.kill('SIGKILL');
      sending.kill('SIGKILL');
      expect(ended, `the stream to ${ip} was cut`).to.deep.equal([null, null]);
    },
  };
}
