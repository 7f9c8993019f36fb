import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { main } from '../../cli/main.ts';
import { systemClock as clock } from '../../core/clock.ts';
import { StoreUnavailable } from '../../core/errors.ts';
import { formatIp, parseCidr, parseIp } from '../../core/ip.ts';
import { silentLogger } from '../../core/log.ts';
import { type AdminDependencies, createAdminApp } from '../../daemon/admin-server.ts';
import { type Listener, listenOn } from '../../daemon/listen.ts';
import { ShrikeImport } from '../../ipam/migrate/shrike-import.ts';
import { Reservations } from '../../ipam/people/reservations.ts';
import type { ShrikeCounts, ShrikeDecision } from '../../plugin/wire/admin-import.ts';
import { decode, type LeaseValue, leaseSchema } from '../../store/schema.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { IpamHost, layout, soon } from '../support/ipam-host.ts';
import { need } from '../support/require.ts';
import { addressesFrom, shrikeTree, usedList } from '../support/shrike-tree.ts';

const subnet = parseCidr('10.60.0.0/16');
/** 300 that Shrike has given out, and 20 that are free behind them. */
const ASSIGNED = addressesFrom('10.60.16.1', 300);
const FREE = addressesFrom('10.60.17.45', 20);
const UNUSED = [ASSIGNED[3], ASSIGNED[99], ASSIGNED[100], ASSIGNED[250], ASSIGNED[299]].map(String);
const USED = ASSIGNED.filter((address) => !UNUSED.includes(address));
const TREE = shrikeTree([{ net: '10.60.0.0', mask: '16', free: FREE, assigned: ASSIGNED }], {
  subnet: '10.60.0.0/16',
  gateway: '10.60.0.1',
  assigned: ['10.60.0.11', '10.60.0.12', '10.60.0.13'],
  pool: ['10.60.0.14'],
});

describe('lanius import shrike on a real etcd', function () {
  this.timeout(60_000);
  let etcd: EtcdProcess;
  let host: IpamHost;
  let folder: string;
  let socket: string;
  let listener: Listener | undefined;
  let reserve: Reservations['reserve'];

  before(async function () {
    need(this, 'etcd');
    etcd = await EtcdProcess.start();
    folder = mkdtempSync(join(tmpdir(), 'lanius-shrike-'));
  });
  after(async () => {
    await etcd?.stop();
    if (folder !== undefined) rmSync(folder, { recursive: true });
  });
  beforeEach(async () => {
    host = await IpamHost.start({ etcd: etcd.host, name: 'l1' });
    const { kv, committer, session, poolAdmin } = host;
    const identity = { host: session.host, instance: session.instance, bootId: 'boot' };
    const reservations = new Reservations(identity, { kv, layout, committer, clock });
    reserve = (...order) => reservations.reserve(...order);
    const shrike = new ShrikeImport({
      kv,
      layout,
      poolAdmin,
      reservations: { reserve: (...order) => reserve(...order) },
      clock,
    });
    const parts = { shrike, poolAdmin, reservations, logger: silentLogger } as unknown as AdminDependencies;
    socket = join(folder, 'admin.sock');
    listener = await listenOn(createServer(createAdminApp(parts)), { path: socket });
  });
  afterEach(async () => {
    await listener?.close(100);
    await host.kv.txn({ compare: [], success: [{ do: 'delete', range: { prefix: layout.prefix } }] });
    await host.stop();
  });

  async function lanius(...argv: string[]): Promise<{ status: number; out: string; err: string }> {
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
  }
  function file(name: string, content: string): string {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  }
  const treeFile = (): string => file('shrike.json', JSON.stringify(TREE));
  /** The 295 addresses that containers have, on three hosts. */
  function lists(): string[] {
    return [1, 2, 3].flatMap((number) => {
      const mine = USED.filter((_, index) => index % 3 === number - 1);
      const containers = mine.map((address, index) => [`c${index}`, address] as const);
      return ['--used-by', file(`h${number}`, usedList(`h${number}`, `10.60.0.1${number}`, containers))];
    });
  }
  async function imported(
    ...argv: string[]
  ): Promise<{ status: number; counts: ShrikeCounts; decisions: ShrikeDecision[]; dryRun: boolean }> {
    const { status, out, err } = await lanius('import', 'shrike', treeFile(), '-o', 'json', ...argv);
    if (out === '') throw new Error(err);
    return { status, ...JSON.parse(out) };
  }
  async function everything(): Promise<string[]> {
    const { kvs } = await host.kv.range({ prefix: layout.prefix });
    return kvs
      .map(({ key, modRevision }) => `${key} ${modRevision}`)
      .filter((line) => !line.includes('/sessions/'));
  }
  async function leases(): Promise<Map<string, LeaseValue>> {
    const { kvs } = await host.kv.range({ prefix: layout.leases(subnet) });
    return new Map(
      kvs.map(({ key, value }) => [formatIp(layout.addressOf(key).address), decode(leaseSchema, key, value)]),
    );
  }

  it('keeps the addresses of 295 containers and frees 5 that nobody has; the dry run says the same', async () => {
    const before = await everything();
    const dry = await imported('--dry-run', ...lists());
    expect(await everything()).to.deep.equal(before);
    expect(dry.counts).to.deep.equal({ make: 1, reserve: 295, free: 6, leave: 2, stands: 0, conflict: 0 });
    const done = await imported(...lists());
    expect(done.status).to.equal(0);
    expect(done.decisions).to.deep.equal(dry.decisions);
    const decided = new Map(done.decisions.map(({ object, action }) => [object, action]));
    for (const address of ASSIGNED)
      expect(decided.get(address), address).to.equal(UNUSED.includes(address) ? 'free' : 'reserve');
    const reserved = await leases();
    expect([...reserved.keys()].toSorted()).to.deep.equal([...USED].toSorted());
    for (const [address, { state, role, name }] of reserved)
      expect({ state, role, name: name?.replace(/h[123]/, 'h') }).to.deep.equal({
        state: 'reserved',
        role: 'operator',
        name: `shrike.h.${address}`,
      });

    // Now all that the pool has is taken: 25 addresses, and none of a container.
    const { poolId } = await host.addresses.requestPool({ subnet, family: 4, options: {} }, soon());
    const given: string[] = [];
    for (let i = 0; i < UNUSED.length + FREE.length; i += 1)
      given.push(formatIp((await host.addresses.requestAddress({ poolId, gateway: false }, soon())).address));
    expect(given.toSorted()).to.deep.equal([...UNUSED, ...FREE].toSorted());
    const more = await host.addresses.requestAddress({ poolId, gateway: false }, soon()).then(
      () => 'given',
      (error: unknown) => (error instanceof Error ? error.message : ''),
    );
    expect(more).to.match(/is exhausted: 0 of 320 addresses .* are free/);
  });

  it('changes nothing when it is repeated, and tells what stands', async () => {
    await imported(...lists());
    const before = await everything();
    const again = await imported(...lists());
    expect(again.counts).to.deep.equal({ make: 0, reserve: 0, free: 6, leave: 2, stands: 296, conflict: 0 });
    const without = await imported();
    expect(without.counts).to.include({ reserve: 5, conflict: 0 });
    expect((await imported()).counts).to.include({ reserve: 0, stands: 301 });
    const back = await imported(...lists());
    expect(back.status).to.equal(0);
    const stands = back.decisions.find(({ object }) => object === UNUSED[0]);
    expect(stands?.reason).to.match(/no container has it, but it is reserved for .*: lanius ip unreserve/);
    expect((await everything()).filter((line) => before.includes(line))).to.deep.equal(before);
  });

  it('keeps all 300 without a list of every host', async () => {
    const { counts, decisions } = await imported(...lists().slice(0, 4));
    expect(counts).to.include({ reserve: 300, free: 1 });
    const one = decisions.find(({ object }) => object === UNUSED[0]);
    expect(one?.reason).to.equal('assigned in Shrike, and host 10.60.0.13 has given no list');
  });

  it('gives nothing away when it ends half-way, and goes on', async () => {
    const real = reserve;
    let left = 100;
    reserve = (...order) => {
      left -= 1;
      return left < 0 ? Promise.reject(new StoreUnavailable('etcd does not answer')) : real(...order);
    };
    const { status, err } = await lanius('import', 'shrike', treeFile(), ...lists());
    expect([status, err]).to.deep.equal([1, 'lanius: etcd does not answer\n']);
    const { poolId } = await host.addresses.requestPool({ subnet, family: 4, options: {} }, soon());
    const asked = host.addresses.requestAddress({ poolId, gateway: false }, soon());
    expect(await asked.then(() => 'given', String)).to.match(/has no address to give out/);

    reserve = real;
    const { counts } = await imported(...lists());
    expect(counts.reserve + counts.stands).to.equal(295);
    expect(counts).to.include({ make: 1, conflict: 0 });
    const { address } = await host.addresses.requestAddress({ poolId, gateway: false }, soon());
    expect([...UNUSED, ...FREE]).to.include(formatIp(address));
  });

  it('tells of what stands there, and overwrites nothing', async () => {
    await host.poolAdmin.add('mine', '10.60.0.0/16', { ranges: ['10.60.16.0/24'], gateway: '10.60.0.1' });
    await host.leases.takeThis(subnet, parseIp(ASSIGNED[0] ?? ''), soon(), 'web');
    await reserve('mine', ASSIGNED[1] ?? '', 'db', soon());
    const before = await everything();
    const { status, counts, decisions } = await imported();
    expect(status).to.equal(1);
    expect(counts).to.include({ make: 0, reserve: 298, stands: 2, conflict: 1 });
    const told = new Map(decisions.map(({ object, action, reason }) => [object, `${action} ${reason}`]));
    expect(told.get('pool')).to.equal('stands its settings stay (pool mine)');
    expect(told.get(ASSIGNED[0] ?? '')).to.match(
      /^conflict .*on host l1 has it, too: one of the two has to go$/,
    );
    expect(told.get(ASSIGNED[1] ?? '')).to.match(/^stands .*it is reserved for "db"$/);
    expect((await everything()).filter((line) => before.includes(line))).to.deep.equal(before);

    await host.poolAdmin.add('part', '10.61.3.0/24', {});
    const across = file(
      'across.json',
      JSON.stringify(shrikeTree([{ net: '10.61.0.0', mask: '16', assigned: ['10.61.3.7'] }])),
    );
    const said = await lanius('import', 'shrike', across);
    expect(said.status).to.equal(1);
    expect(said.out).to.match(
      /conflict +pool +10.61.0.0\/16 .*pool part \(10.61.3.0\/24\) lies inside of 10.61.0.0\/16; 1 assigned/,
    );
  });

  it('shows each decision as a line, and says what it counted', async () => {
    const { status, out, err } = await lanius('import', 'shrike', treeFile(), '--dry-run', '--pool', 'old');
    expect(status).to.equal(0);
    const lines = out.trimEnd().split('\n');
    expect(lines[0]).to.match(/^ACTION +OBJECT +POOL +NAME +REASON$/);
    expect(lines).to.have.length(1 + 2 + 300 + 1 + 1);
    expect(out).to.match(
      /\nmake +pool +10.60.0.0\/16 +old +ranges 10.60.16.1-10.60.17.64; excludes 10.60.0.11-10.60.0.14; gateway 10.60.0.1; arp off\n/,
    );
    expect(err).to.equal(
      '1 make, 300 reserve, 1 free, 2 leave, 0 stands, 0 conflict; nothing was changed (--dry-run)\n',
    );
  });

  it('refuses what is damaged, foreign or cut off in one line, and changes nothing', async () => {
    const before = await everything();
    const text = JSON.stringify(TREE);
    const cases: readonly [string[], RegExp][] = [
      [[file('a', text.slice(0, -20))], /^lanius: .*\/a is not JSON, or is cut off/],
      [[file('b', '{"errorCode":100,"message":"Key not found"}')], /an error of etcd/],
      [[file('c', '{"format":"lanius-store","v":1}')], /none of its 1 keys lies under/],
      [[join(folder, 'nowhere')], /cannot read .*nowhere: ENOENT/],
      [[treeFile(), '--used-by', file('d', 'host h1 10.60.0.11\n')], /d is no list of a host's containers/],
      [[treeFile(), ...lists(), ...lists().slice(0, 2)], /host h1 has given two lists/],
      [[treeFile(), '--pool', 'a/b'], /is not a name/],
    ];
    for (const [argv, expected] of cases) {
      const { status, out, err } = await lanius('import', 'shrike', ...argv);
      expect([status, out], err).to.deep.equal([1, '']);
      expect(err)
        .to.match(expected)
        .and.match(/^lanius: [^\n]+\n$/);
    }
    expect(await everything()).to.deep.equal(before);
  });
});
