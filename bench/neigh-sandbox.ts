/** A network namespace with the macvlan link of a container, for one measurement. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../test/support/poll.ts';
import { ip } from './namespaces.ts';

export const LINK = 'eth0';
/** No entry has it. */
const OWN_ADDRESS = '10.80.0.1/15';
/** The kernel frees entries after a grace period; the next measurement must not pay for it. */
const AFTERWARDS_MS = 150;

export class Sandbox {
  readonly namespacePath: string;
  readonly linkIndex: number;
  readonly #endHolder: () => Promise<void>;

  private constructor(namespacePath: string, endHolder: () => Promise<void>) {
    this.namespacePath = namespacePath;
    this.#endHolder = endHolder;
    const [link] = JSON.parse(this.run('ip', '-j', 'link', 'show', LINK)) as { ifindex: number }[];
    this.linkIndex = link?.ifindex ?? 0;
  }

  /** @param parent a link of the caller's namespace */
  static async start(parent: string): Promise<Sandbox> {
    const holder = spawn('unshare', ['--net', 'sleep', 'infinity'], { stdio: 'ignore' });
    const { pid = 0 } = holder;
    const path = `/proc/${pid}/ns/net`;
    const own = readlinkSync('/proc/self/ns/net');
    await until('the sandbox is there', async () => readlinkSync(path) !== own, { intervalMs: 2 });
    ip(
      'link',
      'add',
      'link',
      parent,
      'name',
      LINK,
      'netns',
      String(pid),
      'type',
      'macvlan',
      'mode',
      'bridge',
    );
    const sandbox = new Sandbox(path, async () => {
      holder.kill('SIGKILL');
      await once(holder, 'exit');
    });
    sandbox.run('ip', 'address', 'add', OWN_ADDRESS, 'dev', LINK);
    sandbox.run('ip', 'link', 'set', LINK, 'up');
    return sandbox;
  }

  /** Words that run a program in the namespace. */
  words(...words: readonly string[]): [command: string, ...words: string[]] {
    return ['nsenter', `--net=${this.namespacePath}`, ...words];
  }

  run(...words: readonly string[]): string {
    const [command, ...rest] = this.words(...words);
    return execFileSync(command, rest, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
      maxBuffer: 32 * 1024 * 1024,
    });
  }

  /**
   * A reading of the kernel's one table can pass over an entry while that of another sandbox changes; so it is read again
   * before it is said to lack any.
   * @throws if the table has not so many PERMANENT entries
   */
  mustHave(entries: number): void {
    const found: number[] = [];
    for (let look = 1; look <= 3; look++) {
      const lines = this.run('ip', 'neighbour', 'show', 'dev', LINK, 'nud', 'permanent').split('\n');
      if (lines.length - 1 === entries) return;
      found.push(lines.length - 1);
    }
    throw new Error(`the table has ${found.join(', then ')} entries instead of ${entries}`);
  }

  async end(): Promise<void> {
    // At once here; at the end of the namespace it would be later, in the background.
    this.run('ip', 'link', 'set', LINK, 'down');
    await this.#endHolder();
    await sleep(AFTERWARDS_MS);
  }
}
