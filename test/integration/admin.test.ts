import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { main } from '../../cli/main.ts';
import { Conflict, StoreUnavailable } from '../../core/errors.ts';
import { type LogFields, type Logger, silentLogger } from '../../core/log.ts';
import { packageVersion } from '../../core/version.ts';
import { type AdminDependencies, createAdminApp } from '../../daemon/admin-server.ts';
import { type Listener, listenOn } from '../../daemon/listen.ts';
import type { LeaseInfo, PoolInfo, ReconcileReport } from '../../ipam/inventory.ts';
import { checkoutFolder, distFolder } from '../support/checkout.ts';
import { run } from '../support/run.ts';

const pool: PoolInfo = {
  pool: '10.0.0.0/16',
  gateway: '10.0.0.1',
  usable: 65534,
  leased: 1,
  reserved: 1,
  free: 65532,
  hosts: ['h1', 'h2'],
};
const lease: LeaseInfo = {
  pool: '10.0.0.0/16',
  address: '10.0.0.7',
  state: 'bound',
  host: 'h1',
  containerId: 'c0ffee',
  containerName: 'web',
  macAddress: '02:4c:0a:00:00:07',
  since: '2026-01-01T00:00:00.000Z',
};
const report: ReconcileReport = {
  at: '2026-01-01T00:00:00.000Z',
  trigger: 'operator',
  dryRun: true,
  decisions: [
    { kind: 'lease', object: '10.0.0.9', action: 'free', reason: 'no endpoint has it' },
    { kind: 'lease', object: '10.0.0.7', action: 'keep', reason: 'web has it' },
  ],
  durationMs: 3000,
};

describe('daemon/admin-server and cli', () => {
  let folder: string;
  let socket: string;
  let listener: Listener | undefined;
  let asked: unknown[];
  let logged: { message: string; fields: LogFields | undefined }[];

  const start = async (overrides: Partial<AdminDependencies> = {}): Promise<void> => {
    const logger: Logger = {
      ...silentLogger,
      child: () => logger,
      warn: (message, fields) => logged.push({ message, fields }),
      error: (message, fields) => logged.push({ message, fields }),
    };
    const app = createAdminApp({
      version: { version: '9.9.9', node: 'v20', host: 'h1' },
      inventory: {
        pools: async () => [pool],
        leases: async function* (filter) {
          asked.push(filter);
          yield [lease];
        },
        hosts: async () => [
          {
            host: 'h1',
            alive: true,
            hostname: 'h1',
            version: '9.9.9',
            leases: 1,
            firstSeen: '2026-01-01T00:00:00.000Z',
          },
        ],
        release: async (...all) => {
          asked.push(all);
          return lease;
        },
      },
      reconciler: {
        run: async (...all) => {
          asked.push(all);
          return report;
        },
        last: report,
      },
      networks: () => [
        {
          networkId: '0123456789abcdef',
          parent: 'eth0',
          mode: 'macvlan',
          macvlanMode: 'bridge',
          internal: false,
          subnets: ['10.0.0.0/16'],
          endpoints: 1,
        },
      ],
      doctor: async () => ({
        ok: false,
        checks: [
          { check: 'kernel', status: 'ok', finding: 'fine' },
          { check: 'engine', status: 'fail', finding: 'silent', remedy: 'start it' },
        ],
      }),
      logger,
      ...overrides,
    });
    listener = await listenOn(createServer(app), { path: socket });
  };
  const lanius = async (...argv: string[]): Promise<{ status: number; out: string; err: string }> => {
    const said = { status: 0, out: '', err: '' };
    const streams = {
      out: (text: string) => {
        said.out += text;
      },
      err: (text: string) => {
        said.err += text;
      },
    };
    said.status = await main(argv, { LANIUS_ADMIN_SOCKET: socket }, streams);
    return said;
  };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lanius-admin-'));
    socket = join(folder, 'admin.sock');
    asked = [];
    logged = [];
  });
  afterEach(async () => {
    await listener?.close(100);
    listener = undefined;
    rmSync(folder, { recursive: true });
  });

  it('lists pools, leases, hosts and networks as tables', async () => {
    await start();
    expect((await lanius('pool', 'ls')).out).to.equal(
      'NAME  POOL         GATEWAY   USABLE  LEASED  RESERVED  FREE   HOSTS\n' +
        '-     10.0.0.0/16  10.0.0.1  65534   1       1         65532  2\n',
    );
    expect((await lanius('ip', 'ls')).out).to.equal(
      'ADDRESS   POOL         STATE  NAME  HOST  CONTAINER  MAC ADDRESS        SINCE\n' +
        '10.0.0.7  10.0.0.0/16  bound  -     h1    web        02:4c:0a:00:00:07  2026-01-01T00:00:00.000Z\n',
    );
    expect((await lanius('host', 'ls')).out).to.contain('h1    yes    h1        9.9.9    1       2026');
    expect((await lanius('network', 'ls')).out).to.contain(
      '0123456789ab  -     eth0    macvlan/bridge  ?    10.0.0.0/16  1',
    );
  });

  it('prints with -o json what the daemon answered', async () => {
    await start();
    expect(JSON.parse((await lanius('pool', 'ls', '-o', 'json')).out)).to.deep.equal([pool]);
    expect(JSON.parse((await lanius('ip', 'ls', '-o', 'json')).out)).to.deep.equal([lease]);
    expect(JSON.parse((await lanius('reconcile', '--dry-run', '-o', 'json')).out)).to.deep.equal(report);
  });

  it('passes filters on', async () => {
    await start();
    await lanius('ip', 'ls', '--pool', '10.0.0.0/16', '--host', 'h1');
    await lanius('ip', 'ls', '--name', 'web', '--state', 'bound');
    await lanius('ip', 'ls');
    expect(asked).to.deep.equal([{ pool: '10.0.0.0/16', host: 'h1' }, { name: 'web', state: 'bound' }, {}]);
    expect((await lanius('ip', 'ls', '--state', 'free')).err).to.equal(
      'lanius: state: must be one of pending, bound, warm, reserved\n',
    );
    expect((await lanius('ip', 'ls', '--host', 'a/b')).err).to.equal(
      'lanius: host: is not the name of a host\n',
    );
  });

  it('frees an address, finds its pool, and leaves a line in the log', async () => {
    await start();
    expect((await lanius('ip', 'release', '10.0.0.7')).out).to.equal(
      '10.0.0.7 of pool 10.0.0.0/16 is free; it was held by web\n',
    );
    await lanius('ip', 'release', '10.0.0.7', '--pool', '10.0.0.0/8', '--force');
    expect(asked).to.deep.equal([
      ['10.0.0.0/16', '10.0.0.7', { force: false }],
      ['10.0.0.0/8', '10.0.0.7', { force: true }],
    ]);
    expect(logged[0]).to.deep.include({ message: 'an address was freed by hand' });
    expect(await lanius('ip', 'release', '10.9.0.7')).to.deep.equal({
      status: 1,
      out: '',
      err: 'lanius: no pool holds 10.9.0.7: see lanius pool ls\n',
    });
    expect((await lanius('ip', 'release', 'x')).err).to.contain('"x" is not an IP address');
  });

  it('reconciles, and says what would change', async () => {
    await start();
    const { status, out } = await lanius('reconcile', '--dry-run');
    expect(asked).to.deep.equal([['operator', { dryRun: true }]]);
    expect({ status, out }).to.deep.equal({
      status: 0,
      out: 'ACTION  KIND   OBJECT    REASON\nfree    lease  10.0.0.9  no endpoint has it\n1 would change, 1 kept\n',
    });
    expect((await lanius('reconcile', '-a')).out).to.contain('keep');
  });

  it('exits with 1 if reconciliation could not decide', async () => {
    const problem = { ...report, decisions: [], problem: 'the engine was silent' };
    await start({ reconciler: { run: async () => problem, last: problem } });
    expect(await lanius('reconcile')).to.include({
      status: 1,
      out: 'nothing was changed: the engine was silent\n',
    });
  });

  it('prints what doctor found and what to do, and exits with 1 if a check failed', async () => {
    await start();
    expect(await lanius('doctor')).to.deep.equal({
      status: 1,
      out: 'STATUS  CHECK   FINDING\nok      kernel  fine\nfail    engine  silent\n\nWhat to do:\n  engine: start it\n',
      err: '',
    });
  });

  it('prints both versions', async () => {
    await start();
    expect((await lanius('version')).out).to.equal(
      `command: ${packageVersion()}\ndaemon: 9.9.9 (host h1, Node v20)\n`,
    );
  });

  it('passes the errors of the daemon on in one line', async () => {
    await start({
      inventory: {
        pools: () => Promise.reject(new StoreUnavailable('etcd is away: try again')),
        leases: () => ({
          [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error('unforeseen')) }),
        }),
        hosts: () => Promise.reject(new Conflict('busy')),
        release: async () => lease,
      },
    });
    expect(await lanius('pool', 'ls')).to.deep.equal({
      status: 1,
      out: '',
      err: 'lanius: etcd is away: try again\n',
    });
    expect((await lanius('ip', 'ls')).err).to.equal('lanius: unforeseen\n');
    expect(logged.at(-1)?.message).to.equal('an admin request failed');
  });

  it('answers wrong requests with 4xx and a JSON error', async () => {
    await start();
    const call = async (method: string, path: string, body = ''): Promise<string> => {
      const { status, stdout } = await run([
        'curl',
        '-s',
        '-X',
        method,
        '--unix-socket',
        socket,
        '-w',
        ' %{http_code}',
        '-d',
        body,
        `http://x${path}`,
      ]);
      expect(status).to.equal(0);
      const [, reply = '', code] = /^(.*) (\d+)$/s.exec(stdout) ?? [];
      return `${code} ${JSON.parse(reply).error.code}`;
    };
    expect(await call('GET', '/v1/nothing')).to.equal('404 not_found');
    expect(await call('POST', '/v1/leases/release', '{')).to.equal('400 invalid');
    expect(await call('POST', '/v1/leases/release', '{}')).to.equal('400 invalid');
    expect(await call('POST', '/v1/reconcile', '{"dryrun":true}')).to.equal('400 invalid');
    expect(await call('GET', '/v1/leases?pol=x')).to.equal('400 invalid');
    expect(asked).to.deep.equal([]);
  });

  it('says what to do while the daemon is down', async () => {
    expect(await lanius('pool', 'ls')).to.deep.equal({
      status: 1,
      out: '',
      err: `lanius: the daemon does not answer at ${socket}: start it with systemctl start lanius\n`,
    });
    const doctor = await lanius('doctor');
    expect(doctor.status).to.equal(1);
    expect(doctor.out)
      .to.contain('fail    daemon')
      .and.to.contain('daemon: start it with systemctl start lanius');
    expect(await lanius('version')).to.include({ status: 0 });
  });

  it('says so if another program has the socket', async () => {
    const other = createServer((_request, response) => response.writeHead(200).end('hello'));
    listener = await listenOn(other, { path: socket });
    expect((await lanius('host', 'ls')).err).to.contain('another program has the socket');
  });

  it('works as the installed command does', async () => {
    await start();
    const env = { LANIUS_DIST: distFolder, LANIUS_ADMIN_SOCKET: socket };
    const command = join(checkoutFolder, 'bin', 'lanius');
    expect(await run([command, 'pool', 'ls', '-o', 'json'], { env })).to.include({ status: 0, stderr: '' });
    expect(await run([command, 'frobnicate'], { env })).to.include({ status: 2, stdout: '' });
    const missing = await run([command, 'version'], { env: { LANIUS_DIST: 'no-such-folder' } });
    expect(missing.status).to.equal(127);
    expect(missing.stderr).to.match(/no-such-folder\/cli\/main\.js is missing: run npm run build/);
  });
});
