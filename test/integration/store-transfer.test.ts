import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import express from 'express';
import { main } from '../../cli/main.ts';
import { systemClock as clock } from '../../core/clock.ts';
import { formatIp, type IpAddress, parseCidr, parseIp } from '../../core/ip.ts';
import { silentLogger as logger } from '../../core/log.ts';
import { addStoreRoutes } from '../../daemon/admin-store.ts';
import { type Listener, listenOn } from '../../daemon/listen.ts';
import { StoreChecker } from '../../ipam/upkeep/store-checker.ts';
import { exportStore } from '../../ipam/upkeep/store-export.ts';
import { StoreImport } from '../../ipam/upkeep/store-import.ts';
import { StoreRepair } from '../../ipam/upkeep/store-repair.ts';
import { StoreSpool } from '../../ipam/upkeep/store-spool.ts';
import type { Operation } from '../../store/kv.ts';
import type { LeaseValue } from '../../store/schema.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { IpamHost, layout, soon } from '../support/ipam-host.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

const subnet = parseCidr('10.42.0.0/22');
const put = (key: string, value: unknown): Operation => ({ do: 'put', key, value: JSON.stringify(value) });

describe('ipam/store-export and store-import', function () {
  this.timeout(30_000);
  let folder: string;
  let file: string;
  const etcds: EtcdProcess[] = [];
  const hosts: IpamHost[] = [];
  const listeners: Listener[] = [];

  const etcdStart = async (): Promise<EtcdProcess> => {
    const etcd = await EtcdProcess.start();
    etcds.push(etcd);
    return etcd;
  };
  const hostStart = async (etcd: EtcdProcess, name: string): Promise<IpamHost> => {
    const host = await IpamHost.start({ etcd: etcd.host, name });
    hosts.push(host);
    return host;
  };
  const attach = async (host: IpamHost): Promise<string> => {
    const { poolId } = await host.addresses.requestPool({ subnet, family: 4, options: {} }, soon());
    await host.addresses.requestAddress({ poolId, gateway: true }, soon());
    await host.addresses.attachNetwork({ networkId: `n-${host.session.host}`, subnets: [{ subnet }] });
    return poolId;
  };
  const any = async (host: IpamHost, poolId: string): Promise<IpAddress> =>
    (await host.addresses.requestAddress({ poolId, gateway: false }, soon())).address;
  /** The admin socket of a host's daemon, and the command against it. */
  const laniusOf = async (host: IpamHost) => {
    const app = express();
    const checker = new StoreChecker({ kv: host.kv, layout, clock });
    const { kv, committer } = host;
    addStoreRoutes(app, {
      checker,
      repair: new StoreRepair({ kv, checker, committer, clock, logger }),
      exported: () => exportStore({ kv, layout, clock, version: '9.9.9' }),
      importing: () => new StoreImport({ kv, layout, committer, clock }),
      spoolDir: folder,
      logger,
    });
    app.use(((error, _request, response, _next) => {
      response.status(400).json({ error: { code: error.code, message: error.message } });
    }) as express.ErrorRequestHandler);
    const socket = join(folder, `${host.session.host}-${listeners.length}.sock`);
    listeners.push(await listenOn(createServer(app), { path: socket }));
    return async (...argv: string[]): Promise<{ status: number; out: string; err: string }> => {
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
  };
  const countsOf = async (host: IpamHost) => {
    const { findings, counts } = await new StoreChecker({ kv: host.kv, layout, clock }).check();
    expect(findings).to.deep.equal([]);
    return counts;
  };
  const write = async (host: IpamHost, ...success: Operation[]): Promise<void> => {
    await host.kv.txn({ compare: [], success });
  };
  const sticky: LeaseValue = {
    v: 1,
    state: 'reserved',
    role: 'sticky',
    name: 'web',
    keepSeconds: 600,
    host: 'a1',
    request: 'x.1',
    bootId: 'boot',
    at: 1,
  };
  const reserve = async (host: IpamHost, address: string, value: LeaseValue): Promise<void> => {
    const ip = parseIp(address);
    await write(
      host,
      put(layout.lease(subnet, ip), value),
      put(layout.name(subnet, value.name ?? ''), { v: 1, address }),
    );
  };

  before(function () {
    need(this, 'etcd');
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lanius-store-'));
    file = join(folder, 'backup.jsonl');
  });
  afterEach(async () => {
    for (const listener of listeners.splice(0)) await listener.close(100);
    for (const host of hosts.splice(0)) await host.stop();
    for (const etcd of etcds.splice(0)) await etcd.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('moves everything to another etcd, twice without harm', async () => {
    const [old, fresh] = [await etcdStart(), await etcdStart()];
    const [a1, a2] = [await hostStart(old, 'a1'), await hostStart(old, 'a2')];
    const poolId = await attach(a1);
    await attach(a2);
    await reserve(a1, '10.42.3.3', sticky);
    await Promise.all(Array.from({ length: 300 }, () => any(a1, poolId)));
    await any(a2, poolId);
    const before = await countsOf(a1);
    const exported = await (await laniusOf(a1))('store', 'export', file);
    expect(exported).to.deep.include({ status: 0, err: '' });
    expect(exported.out).to.match(/^310 keys written to /);
    expect(statSync(file).mode & 0o777).to.equal(0o600);

    const b9 = await hostStart(fresh, 'b9');
    const lanius = await laniusOf(b9);
    const first = await lanius('store', 'import', file, '-o', 'json');
    expect(JSON.parse(first.out)).to.deep.equal({
      written: 310,
      skipped: 0,
      completed: 0,
      conflicts: [],
      conflictCount: 0,
    });
    expect(first.status).to.equal(0);
    const { keys: _keys, hosts: hostCount, ...after } = await countsOf(b9);
    expect(before).to.deep.include(after);
    expect(hostCount, 'the new one, too').to.equal(3);
    const again = await lanius('store', 'import', file);
    expect(again).to.deep.equal({
      status: 0,
      out: '0 written, 310 stood there already, 0 pools completed, 0 conflicts\n',
      err: '',
    });
    expect((await lanius('store', 'check')).out).to.match(/nothing found\n$/);
  });

  it('changes nothing when the file is truncated, damaged, or something else', async () => {
    const [old, fresh] = [await etcdStart(), await etcdStart()];
    const a1 = await hostStart(old, 'a1');
    const poolId = await attach(a1);
    await Promise.all(Array.from({ length: 20 }, () => any(a1, poolId)));
    await (await laniusOf(a1))('store', 'export', file);
    const whole = readFileSync(file, 'utf8');
    const lines = whole.split('\n');
    const b9 = await hostStart(fresh, 'b9');
    const lanius = await laniusOf(b9);
    const { revision } = await b9.kv.range({ key: 'x' });
    const files: [text: string, complaint: RegExp][] = [
      ['', /its first line is not the header/],
      ['rubbish\n', /its first line is not the header/],
      [whole.slice(0, whole.length / 2), /its last line is missing|line \d+: a key and its value/],
      [lines.slice(0, -2).join('\n'), /its last line is missing/],
      [[...lines.slice(0, 5), ...lines.slice(6)].join('\n'), /its checksum does not fit/],
      [
        whole.replace('"state":"pending"', '"state":"pendung"'),
        /line \d+: the value of leases\/.* wrong shape/,
      ],
      [whole.replace('"v":1', '"v":2'), /its version is not 1/],
      [[...lines.slice(0, 3), lines[2], ...lines.slice(3)].join('\n'), /line 4: key .* comes twice/],
    ];
    for (const [text, complaint] of files) {
      writeFileSync(file, text);
      const { status, err } = await lanius('store', 'import', file);
      expect(err)
        .to.match(complaint)
        .and.match(/^lanius: the file is no whole export .*; nothing was changed\n$/);
      expect(status).to.equal(1);
    }
    expect((await b9.kv.range({ key: 'x' })).revision, 'not a single write').to.equal(revision);
    const missing = await lanius('store', 'import', join(folder, 'none'));
    expect(missing.err).to.match(/^lanius: cannot read .*none: ENOENT.*\n$/);
  });

  it('skips what a daemon has taken again on the new etcd, completes its pool, and overwrites nothing', async () => {
    const [old, fresh] = [await etcdStart(), await etcdStart()];
    const a1 = await hostStart(old, 'a1');
    const poolId = await attach(a1);
    await reserve(a1, '10.42.3.3', sticky);
    const [living, disputed] = [await any(a1, poolId), await any(a1, poolId)];
    const pool = (await a1.kv.range({ key: layout.pool(subnet) })).kvs[0]?.value ?? '{}';
    await write(a1, put(layout.pool(subnet), { ...JSON.parse(pool), coolingSeconds: 30, sticky: true }));
    await (await laniusOf(a1))('store', 'export', file);

    const [b1, b2] = [await hostStart(fresh, 'a1'), await hostStart(fresh, 'a2')];
    // Another host than before is the first to need the gateway.
    await attach(b2);
    await attach(b1);
    await b1.leases.restore(subnet, living, soon());
    await b2.leases.restore(subnet, disputed, soon());
    const standing = (await b2.kv.range({ key: layout.lease(subnet, disputed) })).kvs;
    const lanius = await laniusOf(b2);
    const { status, out } = await lanius('store', 'import', file);
    expect(status).to.equal(1);
    const [conflict, summary] = out.split('\n');
    expect(conflict).to.match(
      /^leases\/10\.42\.0\.0-22\/[0-9a-f]{8}: a container of host a2 has it there, not a container of host a1$/,
    );
    expect(summary).to.match(/^1 written, \d+ stood there already, 1 pools completed, 1 conflicts$/);
    expect((await b2.kv.range({ key: layout.lease(subnet, disputed) })).kvs).to.deep.equal(standing);
    const now = (await b2.kv.range({ key: layout.pool(subnet) })).kvs[0]?.value ?? '';
    expect(JSON.parse(now)).to.include({ coolingSeconds: 30, sticky: true });
    await countsOf(b2);
    expect(formatIp(living)).not.to.equal(formatIp(disputed));
  });

  it('is a backup: after a loss of all data, import and adoption bring everything back once', async () => {
    const etcd = await etcdStart();
    const a1 = await hostStart(etcd, 'a1');
    const poolId = await attach(a1);
    const addresses = await Promise.all(Array.from({ length: 10 }, () => any(a1, poolId)));
    await (await laniusOf(a1))('store', 'export', file);
    const newer = await any(a1, poolId);
    await write(a1, { do: 'delete', range: { prefix: layout.prefix } });
    const lanius = await laniusOf(a1);
    await until('the session is back', async () => (await lanius('store', 'import', file)).status === 0);
    await a1.leases.restore(subnet, newer, soon());
    const counts = await countsOf(a1);
    expect(counts).to.include({ inUse: addresses.length + 1, reserved: 1 });
  });

  it('goes on after it was interrupted, and gives a sticky reservation a fresh time', async () => {
    const [old, fresh] = [await etcdStart(), await etcdStart()];
    const a1 = await hostStart(old, 'a1');
    const poolId = await attach(a1);
    await reserve(a1, '10.42.3.3', { ...sticky, keepSeconds: 2 });
    await Promise.all(Array.from({ length: 600 }, () => any(a1, poolId)));
    await (await laniusOf(a1))('store', 'export', file);

    const killed = await IpamHost.start({ etcd: fresh.host, name: 'b1' });
    const lanius = await laniusOf(killed);
    const cut = lanius('store', 'import', file);
    await until(
      'the first batch is written',
      async () => (await killed.kv.range({ prefix: layout.leases(subnet) }, { countOnly: true })).count > 0,
      { intervalMs: 1 },
    );
    killed.committer.close();
    expect((await cut).err).to.match(/^lanius: the daemon is stopping.*\n$/);
    killed.abandon();
    const b2 = await hostStart(fresh, 'b2');
    const { status, out } = await (await laniusOf(b2))('store', 'import', file, '-o', 'json');
    expect(status).to.equal(0);
    expect(JSON.parse(out).skipped).to.be.above(0);
    expect((await countsOf(b2)).inUse).to.equal(600);
    const key = layout.lease(subnet, parseIp('10.42.3.3'));
    const nameKey = layout.name(subnet, 'web');
    await until(
      'lease and name are gone together',
      async () => {
        const counts = await Promise.all(
          [key, nameKey].map(async (k) => (await b2.kv.range({ key: k })).count),
        );
        return counts.every((count) => count === 0);
      },
      { timeoutMs: 8000 },
    );
  });

  it('refuses what is no export at once, however long it is, and takes no room for it', async () => {
    const host = await hostStart(await etcdStart(), 'a1');
    const lanius = await laniusOf(host);
    const header =
      '{"format":"lanius-store","v":1,"prefix":"/lanius/v1/","revision":1,"at":"","version":"0"}';
    const line = Buffer.alloc(9_000_000, 'x');
    for (const [what, start] of [
      ['its first line is not the header of an export', ''],
      ['line 2 is longer than 1 MiB', `${header}\n`],
    ] as const) {
      writeFileSync(file, Buffer.concat([Buffer.from(start), line]));
      let taken = 0;
      const source = async function* () {
        yield Buffer.from(start);
        for (; taken < 1000; taken += 1) yield line;
      };
      const error = await StoreSpool.take(source(), folder).catch((thrown: unknown) => thrown);
      expect(String(error)).to.include(what);
      expect(taken).to.be.lessThan(3);
      const { status, err } = await lanius('store', 'import', file);
      expect([status, err]).to.deep.equal([
        1,
        `lanius: the file is no whole export of the store: ${what}; nothing was changed\n`,
      ]);
    }
  });

  it('lists damaged values and a name of another pool as conflicts, and goes on', async () => {
    const [from, to] = [await hostStart(await etcdStart(), 'a1'), await hostStart(await etcdStart(), 'a2')];
    await from.poolAdmin.add('same', '10.43.0.0/24', {});
    await from.poolAdmin.add('torn', '10.44.0.0/24', {});
    await from.poolAdmin.add('whole', '10.45.0.0/24', {});
    const [torn, whole, ip] = [parseCidr('10.44.0.0/24'), parseCidr('10.45.0.0/24'), parseIp('10.45.0.9')];
    await write(from, put(layout.lease(whole, ip), { ...sticky, role: 'operator', keepSeconds: undefined }));
    await write(from, put(layout.name(whole, 'web'), { v: 1, address: '10.45.0.9' }));
    await to.poolAdmin.add('same', '10.49.0.0/24', {});
    const raw = (key: string): Operation => ({ do: 'put', key, value: '{damaged' });
    await write(to, raw(layout.pool(torn)), raw(layout.lease(whole, ip)), raw(layout.host('a1')));
    await write(to, raw(`${layout.pools}rubbish`));
    expect((await (await laniusOf(from))('store', 'export', file)).status).to.equal(0);
    const { status, out } = await (await laniusOf(to))('store', 'import', file);
    expect(status, out).to.equal(1);
    expect(out.split('\n').slice(0, -2)).to.deep.equal([
      'hosts/a1: its value there is damaged: see lanius store check',
      'pools/10.43.0.0-24: name "same" is that of pool 10.49.0.0/24 there',
      'pools/10.44.0.0-24: its value there is damaged: see lanius store check',
      'leases/10.45.0.0-24/0a2d0009: its value there is damaged: see lanius store check',
    ]);
    expect(to.book.byName('whole')).to.not.equal(undefined);
  });

  it('moves the limits that people have set, not what hosts say of their bandwidth', async () => {
    const [from, to] = [await hostStart(await etcdStart(), 'a1'), await hostStart(await etcdStart(), 'a2')];
    const inward = { containerName: 'web', direction: 'in' } as const;
    const outward = { host: 'a1', containerName: 'web', direction: 'out' } as const;
    await write(from, put(layout.limit(inward), { v: 1, rate: '100mbit', burst: '64kb' }));
    await write(from, put(layout.limit(outward), { v: 1, rate: 'none' }));
    await write(from, put(layout.bandwidth('a1'), { v: 1, at: 1, parents: {} }));
    const exported = await (await laniusOf(from))('store', 'export', file);
    expect(exported.out).to.match(/^3 keys written to /);
    await write(to, put(layout.limit(outward), { v: 1, rate: '5mbit' }));
    const { status, out } = await (await laniusOf(to))('store', 'import', file);
    expect(status).to.equal(1);
    expect(out.split('\n')[0]).to.equal('limits/host/a1/web/out: another limit stands there');
    const [moved] = (await to.kv.range({ key: layout.limit(inward) })).kvs;
    expect(moved?.value).to.equal('{"v":1,"rate":"100mbit","burst":"64kb"}');
    expect((await to.kv.range({ prefix: layout.bandwidths })).kvs).to.deep.equal([]);
  });
});
