/** One TCP stream between two network namespaces, measured by iperf3. */
import { type ChildProcess, spawn } from 'node:child_process';
import { until } from '../test/support/poll.ts';
import { run, runOk } from '../test/support/run.ts';

export interface StreamEnd {
  readonly namespacePath: string;
  readonly ip: string;
}

const PORT = '5201';

export class Iperf {
  readonly #client: StreamEnd;
  readonly #server: StreamEnd;
  readonly #process: ChildProcess;

  private constructor(client: StreamEnd, server: StreamEnd, process: ChildProcess) {
    this.#client = client;
    this.#server = server;
    this.#process = process;
  }

  /** Starts the server and waits until it listens. Call `end` in any case. */
  static async start(client: StreamEnd, server: StreamEnd): Promise<Iperf> {
    const [program = '', ...words] = inside(server, ['iperf3', '-s', '-B', server.ip, '-p', PORT]);
    const child = spawn(program, words, { stdio: 'ignore' });
    await until(`iperf3 listens at ${server.ip}`, async () => {
      if (child.exitCode !== null) throw new Error(`it ended with status ${child.exitCode}`);
      return (await run(inside(server, ['ss', '-Hltn', `sport = :${PORT}`]))).stdout.includes(server.ip);
    });
    return new Iperf(client, server, child);
  }

  /** @returns Gbit/s that the server received @throws if the stream did not come about */
  async measure(seconds: number): Promise<number> {
    const words = [
      'iperf3',
      '-c',
      this.#server.ip,
      '-B',
      this.#client.ip,
      '-p',
      PORT,
      '-t',
      `${seconds}`,
      '-J',
    ];
    const said = await runOk(inside(this.#client, words), { timeoutMs: (seconds + 20) * 1000 });
    const { end } = JSON.parse(said) as { end: { sum_received: { bits_per_second: number } } };
    return end.sum_received.bits_per_second / 1e9;
  }

  /** Idempotent. */
  end(): void {
    this.#process.kill('SIGKILL');
  }
}

function inside({ namespacePath }: StreamEnd, command: readonly string[]): string[] {
  return ['nsenter', `--net=${namespacePath}`, ...command];
}
