/** The embedded etcd with the real program: start, crash, adoption after a kill -9 of the daemon, clear failures. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { systemClock } from '../../core/clock.ts';
import { Conflict, StoreUnavailable, Unsupported } from '../../core/errors.ts';
import { type Logger, silentLogger } from '../../core/log.ts';
import { EmbeddedEtcd, type EmbeddedEtcdOptions } from '../../store/embedded-etcd.ts';
import { commandLineOf } from '../../store/embedded-etcd-process.ts';
import { EtcdKv } from '../../store/etcd-kv.ts';
import { freePort } from '../support/etcd-process.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

describe('store/embedded-etcd', () => {
  let stateDir: string;
  let options: EmbeddedEtcdOptions;
  let logged: string[];
  const started: EmbeddedEtcd[] = [];

  before(function () {
    need(this, 'etcd');
  });
  beforeEach(async () => {
    stateDir = mkdtempSync(join(tmpdir(), 'lanius-embedded-'));
    options = { stateDir, clientPort: await freePort(), peerPort: await freePort() };
    logged = [];
  });
  afterEach(async () => {
    for (const etcd of started.splice(0)) await etcd.stop();
    rmSync(stateDir, { recursive: true, force: true });
  });

  const logger: Logger = {
    ...silentLogger,
    error: (message, fields) => logged.push(`error ${message} ${JSON.stringify(fields)}`),
    warn: (message) => logged.push(`warn ${message}`),
    info: (message) => logged.push(`info ${message}`),
  };
  const make = (changes: Partial<EmbeddedEtcdOptions> = {}): EmbeddedEtcd => {
    const etcd = new EmbeddedEtcd({ ...options, ...changes }, { logger, clock: systemClock });
    started.push(etcd);
    return etcd;
  };
  /** An etcd whose daemon was killed. @returns its pid */
  const leftRunning = async (): Promise<number> => {
    const daemon = spawn(process.execPath, ['--input-type=module', '-e', daemonScript(options)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(daemon.stdout, 'data')) as [Buffer];
    daemon.kill('SIGKILL');
    await once(daemon, 'exit');
    return Number(String(line));
  };
  const pidOf = (etcd: EmbeddedEtcd): number => {
    if (etcd.pid === undefined) throw new Error('etcd does not run');
    return etcd.pid;
  };
  const use = async (hosts: string[], key: string): Promise<readonly string[]> => {
    const kv = new EtcdKv({ hosts });
    try {
      await kv.txn({ compare: [], success: [{ do: 'put', key: `k/${key}`, value: '' }] });
      return (await kv.range({ prefix: 'k/' })).kvs.map((each) => each.key);
    } finally {
      kv.close();
    }
  };
  const failure = (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => undefined,
      (error: unknown) => error,
    );

  it('serves on loopback, keeps its data over stop and start, and is gone after stop', async () => {
    const etcd = make();
    const { hosts } = await etcd.start();
    expect(hosts).to.deep.equal([`127.0.0.1:${options.clientPort}`]);
    expect(await use(hosts, 'a')).to.deep.equal(['k/a']);
    expect(statSync(join(stateDir, 'etcd')).mode & 0o777).to.equal(0o700);
    const pid = pidOf(etcd);
    expect(readFileSync(join(stateDir, 'etcd.pid'), 'utf8')).to.equal(`${pid}\n`);
    await etcd.stop();
    await etcd.stop();
    expect(isAlive(pid)).to.equal(false);
    const again = await make().start();
    expect(await use(again.hosts, 'b')).to.deep.equal(['k/a', 'k/b']);
  });

  it('starts etcd again after it was killed', async () => {
    const etcd = make();
    const { hosts } = await etcd.start();
    await use(hosts, 'a');
    const first = pidOf(etcd);
    process.kill(first, 'SIGKILL');
    await until('the next etcd', () => etcd.pid !== undefined && etcd.pid !== first && logged.length > 1);
    expect(await use(hosts, 'b')).to.deep.equal(['k/a', 'k/b']);
    expect(logged[0]).to.match(/^error the embedded etcd ended and is started again/);
  });

  it('adopts the etcd that a killed daemon left running, and supervises it', async function () {
    this.timeout(30_000);
    const pid = await leftRunning();
    expect(isAlive(pid), 'etcd outlives the daemon').to.equal(true);
    const etcd = make();
    const { hosts } = await etcd.start();
    expect(etcd.pid).to.equal(pid);
    expect(logged).to.deep.equal(['info an etcd that was left running is adopted']);
    await use(hosts, 'a');
    process.kill(pid, 'SIGKILL');
    await until('the next etcd', () => etcd.pid !== undefined && etcd.pid !== pid && logged.length > 2);
    expect(await use(hosts, 'b')).to.deep.equal(['k/a', 'k/b']);
    await etcd.stop();
    expect(etcd.pid).to.equal(undefined);
  });

  it('finds it without its pid file, and is not misled by a pid file of somebody else', async () => {
    const pid = await leftRunning();
    writeFileSync(join(stateDir, 'etcd.pid'), `${process.pid}\n`);
    const etcd = make();
    await etcd.start();
    expect(etcd.pid).to.equal(pid);
  });

  it('restarts an etcd that was left running with another port', async () => {
    const pid = await leftRunning();
    await use([`127.0.0.1:${options.clientPort}`], 'a');
    const { hosts } = await make({ clientPort: await freePort() }).start();
    expect(await use(hosts, 'b')).to.deep.equal(['k/a', 'k/b']);
    expect(isAlive(pid)).to.equal(false);
  });

  it('says which port is taken', async () => {
    const server = createServer().listen(options.clientPort, '127.0.0.1');
    await once(server, 'listening');
    const error = await failure(make().start());
    server.close();
    expect(error)
      .to.be.instanceOf(Conflict)
      .with.property('message')
      .that.includes(`:${options.clientPort} `);
  });

  it('says that etcd is not installed', async () => {
    const error = await failure(make({ program: 'etcd-that-is-not-there' }).start());
    expect(error)
      .to.be.instanceOf(Unsupported)
      .with.property(
        'message',
        'etcd-that-is-not-there is not installed: install the package etcd-server (Debian) or etcd (RPM), or set etcd.hosts',
      );
  });

  it('gives the last words of etcd on data that it cannot read', async () => {
    mkdirSync(join(stateDir, 'etcd/member/snap'), { recursive: true });
    writeFileSync(join(stateDir, 'etcd/member/snap/db'), 'x'.repeat(65_536));
    const etcd = make();
    const error = await failure(etcd.start());
    expect(error).to.be.instanceOf(StoreUnavailable);
    expect(error)
      .to.have.property('message')
      .that.matches(/does not start on .*etcd \(.*(invalid|panic|database).*\): see /);
    expect(etcd.pid).to.equal(undefined);
  });
});

/** A zombie that nobody has reaped yet is dead. */
function isAlive(pid: number): boolean {
  return commandLineOf(pid) !== undefined;
}

function daemonScript(options: EmbeddedEtcdOptions): string {
  const module = (path: string) => JSON.stringify(new URL(`../../${path}`, import.meta.url).href);
  return `
    import { EmbeddedEtcd } from ${module('store/embedded-etcd.js')};
    import { silentLogger } from ${module('core/log.js')};
    import { systemClock } from ${module('core/clock.js')};
    const etcd = new EmbeddedEtcd(${JSON.stringify(options)}, { logger: silentLogger, clock: systemClock });
    await etcd.start();
    console.log(etcd.pid);
    setInterval(() => {}, 1000);
  `;
}
