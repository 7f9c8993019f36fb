/**
 * The promises of `store/kv.ts` under faults: lost answers, cut and frozen connections, a frozen, killed and
 * restarted etcd, members that are away, a full database, logins that expire.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { InvalidRequest, StoreUnavailable } from '../../core/errors.ts';
import { EtcdKv, type EtcdKvOptions } from '../../store/etcd-kv.ts';
import type { Transaction } from '../../store/kv.ts';
import { EtcdProcess, freePort } from '../support/etcd-process.ts';
import { need } from '../support/require.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const TIMEOUT_MS = 500;
const write = (key: string, value = ''): Transaction => ({
  compare: [],
  success: [{ do: 'put', key, value }],
});

describe('store/etcd-kv under faults', () => {
  let etcd: EtcdProcess;
  let proxy: TcpProxy;
  const opened: EtcdKv[] = [];
  const clientOf = (options: EtcdKvOptions): EtcdKv => {
    const kv = new EtcdKv({ timeoutMs: TIMEOUT_MS, ...options });
    opened.push(kv);
    return kv;
  };

  before(async function () {
    need(this, 'etcd');
    etcd = await EtcdProcess.start();
    proxy = await TcpProxy.start(etcd.clientPort);
  });
  afterEach(() => {
    for (const kv of opened.splice(0)) kv.close();
  });
  after(async () => {
    await proxy?.stop();
    await etcd?.stop();
  });

  it('never sends a transaction twice when the answer is lost', async () => {
    const direct = clientOf({ hosts: [etcd.host] });
    const kv = clientOf({ hosts: [proxy.host] });
    await kv.status();
    for (let i = 0; i < 5; i += 1) {
      const before = (await direct.range({ prefix: 'lost/' })).revision;
      proxy.loseAnswers(true);
      const { error } = await outcome(kv.txn(write(`lost/${i}`)));
      proxy.loseAnswers(false);
      expect(error).to.be.instanceOf(StoreUnavailable).with.property('outcomeUnknown', true);
      await poll(async () => (await direct.range({ key: `lost/${i}` })).count === 1);
      // Each execution is one revision, and nobody else writes here.
      await new Promise((resolve) => setTimeout(resolve, 150));
      expect((await direct.range({ prefix: 'lost/' })).revision).to.equal(before + 1);
      expect((await kv.status()).revision, 'the next call works').to.equal(before + 1);
    }
  });

  it('reports an unknown outcome within the limit when the answer is held back', async () => {
    const kv = clientOf({ hosts: [proxy.host] });
    await kv.status();
    proxy.pause('down');
    const { error, tookMs } = await outcome(kv.txn(write('held')));
    expect(error).to.be.instanceOf(StoreUnavailable).with.property('outcomeUnknown', true);
    expect(tookMs).to.be.within(TIMEOUT_MS - 20, TIMEOUT_MS + 300);
    proxy.resume('down');
    expect((await kv.range({ key: 'held' })).count).to.equal(1);
  });

  it('recovers at once from a request that is held back, and does not send it again', async () => {
    const kv = clientOf({ hosts: [proxy.host] });
    const { revision } = await kv.status();
    proxy.pause('up');
    const { error } = await outcome(kv.txn(write('held/up')));
    expect(error).to.be.instanceOf(StoreUnavailable).with.property('outcomeUnknown', true);
    proxy.resume('up');
    const { tookMs } = await outcome(kv.status());
    expect(tookMs).to.be.below(300);
    expect((await kv.status()).revision).to.be.at.most(revision + 1);
  });

  it('knows that nothing was sent when the connection is refused', async () => {
    const host = `127.0.0.1:${await freePort()}`;
    const { error, tookMs } = await outcome(clientOf({ hosts: [host] }).txn(write('refused')));
    expect(error).to.be.instanceOf(StoreUnavailable).with.property('outcomeUnknown', false);
    expect(error)
      .to.have.property('message')
      .that.matches(
        new RegExp(
          `^etcd at ${host} does not answer within 500 ms \\(no connection\\): check that etcd runs`,
        ),
      );
    expect(tookMs).to.be.below(TIMEOUT_MS + 300);
  });

  it('knows that nothing was sent when the name is unknown', async () => {
    const { error } = await outcome(clientOf({ hosts: ['no-such-host.invalid:2379'] }).txn(write('x')));
    expect(error).to.be.instanceOf(StoreUnavailable).with.property('outcomeUnknown', false);
  });

  it('answers within its limit while etcd is frozen, and at once after it thawed', async () => {
    const kv = clientOf({ hosts: [etcd.host] });
    const ttlId = await kv.ttlGrant(60);
    etcd.freeze();
    try {
      const calls = [kv.txn(write('frozen')), kv.range({ key: 'x' }), kv.status(), kv.ttlGrant(5)];
      const all = [...calls, kv.ttlKeepAlive(ttlId)].map(outcome);
      for (const { error, tookMs } of await Promise.all(all)) {
        expect(error).to.be.instanceOf(StoreUnavailable).with.property('outcomeUnknown', true);
        expect(error)
          .to.have.property('message')
          .that.includes(`etcd at ${etcd.host} does not answer within 500 ms: check that etcd runs`);
        expect(tookMs).to.be.below(TIMEOUT_MS + 300);
      }
      const again = await outcome(kv.txn(write('frozen'), { timeoutMs: 200 }));
      expect(again.error).to.be.instanceOf(StoreUnavailable).with.property('outcomeUnknown', false);
      expect(again.tookMs).to.be.below(500);
    } finally {
      etcd.thaw();
    }
    const { error, tookMs } = await outcome(kv.txn(write('thawed')));
    expect(error).to.equal(undefined);
    expect(tookMs).to.be.below(TIMEOUT_MS);
  });

  it('works again within a second after etcd was killed and started', async () => {
    const kv = clientOf({ hosts: [etcd.host], timeoutMs: 1000 });
    await kv.txn(write('before'));
    await etcd.kill();
    // The first may still go out over the dying connection.
    const first = await outcome(kv.txn(write('down'), { timeoutMs: 300 }));
    const later: Outcome[] = [];
    for (let i = 0; i < 3; i += 1) later.push(await outcome(kv.txn(write('down'), { timeoutMs: 300 })));
    await etcd.restart();
    const { error, tookMs } = await outcome(kv.txn(write('after')));
    expect(error).to.equal(undefined);
    expect(tookMs).to.be.below(1000);
    expect(first.error).to.be.instanceOf(StoreUnavailable);
    for (const each of later) {
      expect(each.error).to.be.instanceOf(StoreUnavailable).with.property('outcomeUnknown', false);
      expect(each.tookMs).to.be.below(600);
    }
    expect((await kv.range({ key: 'before' })).count).to.equal(1);
    expect((await kv.range({ key: 'down' })).count).to.equal(0);
  });

  it('asks another member when one is away, in the same call if nothing was sent', async () => {
    const away = `127.0.0.1:${await freePort()}`;
    const kv = clientOf({ hosts: [away, proxy.host, etcd.host] });
    expect((await outcome(kv.txn(write('rotate')))).error).to.equal(undefined);
    await proxy.refuse();
    await outcome(kv.txn(write('rotate')));
    expect((await outcome(kv.txn(write('rotate')))).error).to.equal(undefined);
    await proxy.listen();
  });

  it('asks another member after one did not answer', async () => {
    const kv = clientOf({ hosts: [proxy.host, etcd.host] });
    await kv.status();
    proxy.pause('down');
    expect((await outcome(kv.txn(write('rotate/2')))).error).to.have.property('outcomeUnknown', true);
    const { error, tookMs } = await outcome(kv.txn(write('rotate/3')));
    proxy.resume('down');
    expect(error).to.equal(undefined);
    expect(tookMs).to.be.below(300);
  });

  it('fails everything after close, without hanging', async () => {
    const kv = clientOf({ hosts: [etcd.host] });
    await kv.status();
    kv.close();
    const { error, tookMs } = await outcome(kv.status());
    expect(error).to.be.instanceOf(StoreUnavailable).with.property('message').that.includes('stopping');
    expect(tookMs).to.be.below(100);
  });

  it('says that the database is full, and what to do', async () => {
    const small = await EtcdProcess.start(['--quota-backend-bytes=100000']);
    try {
      const kv = clientOf({ hosts: [small.host], timeoutMs: 2000 });
      let full: unknown;
      for (let i = 0; i < 500 && full === undefined; i += 1) {
        full = (await outcome(kv.txn(write(`fill/${i}`, 'x'.repeat(20_000))))).error;
      }
      expect(full).to.be.instanceOf(StoreUnavailable).with.property('outcomeUnknown', false);
      expect(full)
        .to.have.property('message')
        .that.matches(/is full \(alarm NOSPACE\): compact/);
      expect((await kv.status()).alarms).to.include('NOSPACE');
    } finally {
      await small.stop();
    }
  });

  it('logs in with a password, again when etcd forgot the login, and says who is refused', async () => {
    const secured = await EtcdProcess.start();
    try {
      const etcdctl = (...words: string[]) =>
        execFileSync('etcdctl', [`--endpoints=${secured.host}`, ...words], {
          env: { ...process.env, ETCDCTL_API: '3' },
          stdio: 'pipe',
        });
      const auth = { username: 'lanius', password: 'secret' };
      const early = clientOf({ hosts: [secured.host], auth });
      expect((await outcome(early.txn(write('auth/off')))).error, 'login given, but off').to.equal(undefined);
      etcdctl('user', 'add', 'root:root');
      etcdctl('user', 'add', 'lanius:secret');
      etcdctl('role', 'add', 'lanius');
      etcdctl('role', 'grant-permission', 'lanius', '--prefix=true', 'readwrite', 'auth/');
      etcdctl('user', 'grant-role', 'lanius', 'lanius');
      etcdctl('auth', 'enable');
      const kv = clientOf({ hosts: [secured.host], auth });
      expect((await outcome(kv.txn(write('auth/a')))).error).to.equal(undefined);
      const seen: string[] = [];
      const { revision } = await kv.range({ key: 'auth/a' });
      kv.watch({ prefix: 'auth/' }, revision + 1, {
        onEvents: (events) => seen.push(...events.map((event) => event.kv.key)),
        onCompacted: () => seen.push('compacted'),
      });
      // Simple tokens live in the memory of etcd.
      await secured.kill();
      await secured.restart();
      const many = Array.from({ length: 8 }, (_, i) => outcome(kv.txn(write(`auth/${i}`))));
      for (const { error } of await Promise.all(many)) expect(error).to.equal(undefined);
      await poll(async () => seen.length >= 8);
      expect([...seen].sort()).to.deep.equal(Array.from({ length: 8 }, (_, i) => `auth/${i}`));
      const cases: [EtcdKv, string][] = [
        [kv, 'other'],
        [clientOf({ hosts: [secured.host] }), 'auth/a'],
        [clientOf({ hosts: [secured.host], auth: { ...auth, password: 'wrong' } }), 'auth/a'],
      ];
      for (const [client, key] of cases) {
        const { error } = await outcome(client.txn(write(key)));
        expect(error).to.be.instanceOf(StoreUnavailable).with.property('outcomeUnknown', false);
        expect(error).to.have.property('message').that.includes('refuses access');
      }
    } finally {
      await secured.stop();
    }
  });

  it('talks TLS with an own certificate', async () => {
    const files = certificates(etcd.folder);
    const secured = await EtcdProcess.start(
      [
        `--cert-file=${files.certFile}`,
        `--key-file=${files.keyFile}`,
        `--trusted-ca-file=${files.caFile}`,
        '--client-cert-auth',
      ],
      'https',
    );
    try {
      const kv = clientOf({ hosts: [secured.host], tls: files, timeoutMs: 2000 });
      expect((await outcome(kv.txn(write('tls')))).error).to.equal(undefined);
      const bare = clientOf({ hosts: [`https://${secured.host}`], tls: { caFile: files.caFile } });
      expect((await outcome(bare.txn(write('tls')))).error).to.be.instanceOf(StoreUnavailable);
    } finally {
      await secured.stop();
    }
    const wrong = () => new EtcdKv({ hosts: ['a:1'], tls: { caFile: '/no/such/file' } });
    expect(wrong).to.throw(InvalidRequest, '/no/such/file cannot be read');
    expect(() => new EtcdKv({ hosts: [] })).to.throw(InvalidRequest, 'empty');
  });
});

interface Outcome {
  readonly error: unknown;
  readonly tookMs: number;
}

async function outcome(work: Promise<unknown>): Promise<Outcome> {
  const startedAt = performance.now();
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return { error, tookMs: performance.now() - startedAt };
}

async function poll(done: () => Promise<boolean>, limitMs = 3000): Promise<void> {
  const until = Date.now() + limitMs;
  while (!(await done())) {
    if (Date.now() > until) throw new Error('did not happen in time');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A CA and one certificate for 127.0.0.1 that serves both sides. */
function certificates(folder: string): { caFile: string; certFile: string; keyFile: string } {
  const openssl = (...words: string[]) => execFileSync('openssl', words, { cwd: folder, stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...key,
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-days',
    '2',
    '-subj',
    '/CN=test-ca',
  );
  openssl('req', ...key, '-keyout', 'key.pem', '-out', 'csr.pem', '-subj', '/CN=lanius');
  writeFileSync(
    join(folder, 'ext'),
    'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n',
  );
  const sign = ['x509', '-req', '-in', 'csr.pem', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'];
  openssl(...sign, '-days', '2', '-extfile', 'ext', '-out', 'cert.pem');
  const file = (name: string) => join(folder, name);
  return { caFile: file('ca.pem'), certFile: file('cert.pem'), keyFile: file('key.pem') };
}
