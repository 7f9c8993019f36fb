/**
 * What may happen to the lab's etcd while its clients are away: somebody else runs it on the same data, writes and
 * compacts, so that nothing which a client remembers of revisions is of use any more.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { diskFile, labPrefix } from './checkout.ts';
import type { Lab } from './lab.ts';
import { until } from './poll.ts';
import { runOk } from './run.ts';

/** Where no daemon looks; of the machine outside. */
const ENDPOINT = 'http://127.0.0.1:2399';
const AT_ONCE = 64;

/**
 * Moves the revision on by `writes`, and compacts to the newest. The lab's etcd must be down, and is down again
 * afterwards. @returns the revision to which it is compacted
 */
export async function writeAndCompact(lab: Lab, writes: number): Promise<number> {
  const flags = ['--data-dir', diskFile(`etcd/${labPrefix()}/data`)]
    .concat(['--listen-client-urls', ENDPOINT, '--advertise-client-urls', ENDPOINT])
    .concat(['--listen-peer-urls', 'http://127.0.0.1:2380', '--unsafe-no-fsync']); // it ends in order
  const [program = '', ...args] = lab.outside.command(['etcd', ...flags]);
  const etcd = spawn(program, args, { stdio: 'ignore' });
  const exited = once(etcd, 'exit');
  const ctl = (...words: readonly string[]): Promise<string> =>
    runOk(lab.outside.command(['etcdctl', `--endpoints=${ENDPOINT}`, ...words]), {
      env: { ETCDCTL_API: '3' },
    });
  try {
    await until('etcd serves elsewhere', async () => (await ctl('endpoint', 'health')) !== undefined, {
      timeoutMs: 30_000,
      intervalMs: 200,
    });
    await runOk(lab.outside.command([process.execPath, '--input-type=module', '-e', putMany(writes)]), {
      timeoutMs: 120_000,
    });
    const reply: unknown = JSON.parse(await ctl('get', 'revision', '-w', 'json'));
    const { revision } = (reply as { readonly header: { readonly revision: number } }).header;
    await ctl('compact', '--physical', String(revision));
    return revision;
  } finally {
    etcd.kill('SIGTERM');
    await exited;
  }
}

/** A program that puts one key `writes` times, by etcd's JSON gateway: one revision each. */
function putMany(writes: number): string {
  const body = JSON.stringify({ key: Buffer.from('other').toString('base64'), value: '' });
  return `
    let left = ${writes};
    const work = async () => {
      while (left-- > 0) {
        const { ok, status } = await fetch('${ENDPOINT}/v3/kv/put', { method: 'POST', body: '${body}' });
        if (!ok) throw new Error('status ' + status);
      }
    };
    await Promise.all(Array.from({ length: ${AT_ONCE} }, work));`;
}
