/**
 * Facts about one etcd process on this machine: how it is started, whether a process is ours, whether it serves,
 * why it ended. No decisions.
 *
 * @see etcd "Configuration flags"; proc(5) /proc/pid/cmdline
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { Conflict, oneLine } from '../core/errors.ts';

const HEALTH_LIMIT_MS = 500;
const NAME_FLAG = '--name=lanius';

export interface EtcdPlace {
  readonly dataDir: string;
  readonly clientPort: number;
  readonly peerPort: number;
}

/**
 * Loopback only, one member. Small batches: on etcd 3.4 a transaction copies the pending write buffer, and this
 * cuts the price of a transaction from 1.46 to 1.07 times that of a put. A short election, for a lone member
 * serves only after it has elected itself. Compaction, or history fills the quota.
 */
export function etcdFlags(place: EtcdPlace): string[] {
  const client = `http://127.0.0.1:${place.clientPort}`;
  const peer = `http://127.0.0.1:${place.peerPort}`;
  return [
    NAME_FLAG,
    folderFlag(place.dataDir),
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=lanius=${peer}`,
    '--heartbeat-interval=50',
    '--election-timeout=250',
    '--backend-batch-interval=10ms',
    '--backend-batch-limit=1000',
    '--auto-compaction-mode=periodic',
    '--auto-compaction-retention=10m',
    '--quota-backend-bytes=2147483648',
    '--logger=zap',
    '--log-level=warn',
  ];
}

function folderFlag(dataDir: string): string {
  return `--data-dir=${dataDir}`;
}

/** Only what etcd needs: ETCD_… variables of somebody else would overrule or forbid our flags. */
export function etcdEnvironment(): Record<string, string> {
  const path = process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin';
  // etcd refuses to start on what its makers do not test, unless told so.
  return process.arch === 'x64' ? { PATH: path } : { PATH: path, ETCD_UNSUPPORTED_ARCH: process.arch };
}

/** The arguments of a living process, or undefined if there is none (zombies have none). */
export function commandLineOf(pid: number): readonly string[] | undefined {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
    return words.length === 0 ? undefined : words;
  } catch {
    return undefined;
  }
}

/** True if that pid is an etcd of ours on that data folder, whatever its other flags are. */
export function isEtcdOn(pid: number, dataDir: string): boolean {
  const [, name, folder] = commandLineOf(pid) ?? [];
  return name === NAME_FLAG && folder === folderFlag(dataDir);
}

/** The etcd that works on the data folder: first the pid that was noted, then a look at every process. */
export function findEtcd(dataDir: string, pidFile: string): number | undefined {
  const noted = existsSync(pidFile) ? Number.parseInt(readFileSync(pidFile, 'utf8'), 10) : Number.NaN;
  if (Number.isSafeInteger(noted) && isEtcdOn(noted, dataDir)) return noted;
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .find((pid) => isEtcdOn(pid, dataDir));
}

/** True once etcd serves requests there. Never throws. */
export function isServing(clientPort: number): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(
      { host: '127.0.0.1', port: clientPort, path: '/health', timeout: HEALTH_LIMIT_MS, agent: false },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          body += chunk;
        });
        response.on('end', () => resolve(/"health"\s*:\s*"?true/.test(body)));
        response.on('error', () => resolve(false));
      },
    );
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}

/** @throws Conflict if somebody listens on the port already */
export async function claimPort(port: number, setting: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const server = createServer();
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const taken = `port 127.0.0.1:${port} of the embedded etcd is taken by another program`;
      const reason =
        cause.code === 'EADDRINUSE' ? taken : `port 127.0.0.1:${port} cannot be used (${cause.message})`;
      reject(new Conflict(`${reason}: find it with "ss -ltnp", or set ${setting}`, { cause }));
    });
    server.listen(port, '127.0.0.1', () => server.close(() => resolve()));
  });
}

/** Why etcd ended, by its own last words: the last line of its log that is an error, else the last line. */
export function lastWords(log: string): string {
  const lines = log.split('\n').filter((line) => line.trim() !== '');
  const entries = lines.map(entryOf).filter((entry) => entry !== undefined);
  const worst = entries.findLast(({ level }) => ['error', 'fatal', 'panic', 'dpanic'].includes(level));
  const panic = lines.findLast((line) => line.startsWith('panic: '));
  return oneLine(worst?.text ?? panic ?? entries.at(-1)?.text ?? lines.at(-1) ?? 'it said nothing').slice(
    0,
    300,
  );
}

function entryOf(line: string): { level: string; text: string } | undefined {
  try {
    const { level, msg, error } = JSON.parse(line) as Record<string, unknown>;
    if (typeof level !== 'string' || typeof msg !== 'string') return undefined;
    return { level, text: typeof error === 'string' ? `${msg} (${error})` : msg };
  } catch {
    return undefined;
  }
}
