/** MACs that do not follow from addresses, and addresses that strangers use: what all hosts know of them through etcd. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { systemClock as clock } from '../../core/clock.ts';
import { formatIp, type IpAddress, parseCidr, parseIp } from '../../core/ip.ts';
import { silentLogger as logger } from '../../core/log.ts';
import { DEFAULT_MAC_PREFIX, macOf } from '../../core/mac.ts';
import type { Strangers } from '../../ipam/addresses.ts';
import { TtlBuckets } from '../../ipam/commit/ttl-buckets.ts';
import { HostForgetting } from '../../ipam/host/host-forgetting.ts';
import { Stations } from '../../ipam/host/stations.ts';
import { Fates } from '../../ipam/lease/afterwards.ts';
import { MacBook } from '../../ipam/mac/mac-book.ts';
import { EtcdInventory } from '../../ipam/people/etcd-inventory.ts';
import { Reservations } from '../../ipam/people/reservations.ts';
import { PlannedPools } from '../../ipam/pool/planned-pools.ts';
import { OwnMacs } from '../../ipam/reconcile/own-macs.ts';
import { StoreChecker } from '../../ipam/upkeep/store-checker.ts';
import { exportStore } from '../../ipam/upkeep/store-export.ts';
import { StoreImport } from '../../ipam/upkeep/store-import.ts';
import { StoreRepair } from '../../ipam/upkeep/store-repair.ts';
import { StoreSpool } from '../../ipam/upkeep/store-spool.ts';
import type { EndpointRecord, NetworkRecord } from '../../store/host-records.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { IpamHost, type IpamHostOptions, layout, soon } from '../support/ipam-host.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

const MAC = '02:aa:00:00:00:01';

describe('ipam/mac on a real etcd', function () {
  this.timeout(30_000);
  const ends: (() => unknown)[] = [];
  let etcd: EtcdProcess;
  let third = 0;

  before(async function () {
    need(this, 'etcd');
    etcd = await EtcdProcess.start();
  });
  beforeEach(() => {
    third += 1;
  });
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });
  after(async () => await etcd?.stop());

  const subnetOf = () => parseCidr(`10.60.${third}.0/24`);
  const start = async (name: string, options: Partial<IpamHostOptions> = {}): Promise<IpamHost> => {
    const host = await IpamHost.start({ etcd: etcd.host, name: `${name}${third}`, ...options });
    ends.push(() => host.stop());
    return host;
  };
  const attach = async (host: IpamHost): Promise<string> => {
    const subnet = subnetOf();
    const { poolId } = await host.addresses.requestPool({ subnet, family: 4, options: {} }, soon());
    await host.addresses.requestAddress({ poolId, gateway: true }, soon());
    await host.addresses.attachNetwork({ networkId: `n-${host.session.host}`, subnets: [{ subnet }] });
    return poolId;
  };
  const any = async (host: IpamHost, poolId: string): Promise<IpAddress> =>
    (await host.addresses.requestAddress({ poolId, gateway: false }, soon())).address;
  const bookOf = async (host: IpamHost): Promise<MacBook> => {
    const book = new MacBook({ kv: host.kv, layout, logger });
    await book.load();
    ends.push(() => book.close());
    return book;
  };
  const fixedIn = (book: MacBook): Record<string, string> =>
    Object.fromEntries(book.of(subnetOf()).fixed.map(({ address, mac }) => [formatIp(address), mac]));
  const ordinaryIn = (book: MacBook): string[] => book.of(subnetOf()).ordinary.map(formatIp).sort();
  const storedAt = async (host: IpamHost, key: string): Promise<string | undefined> =>
    (await host.kv.range({ key })).kvs[0]?.value;
  const check = async (host: IpamHost) =>
    (await new StoreChecker({ kv: host.kv, layout, clock }).check()).findings;
  const failure = (work: Promise<unknown>): Promise<Error> =>
    work.then(
      () => expect.fail('it did not fail'),
      (error: Error) => error,
    );

  it('tells all hosts of a fixed MAC with the lease, and that it is gone with the release', async () => {
    const [one, two] = [await start('a'), await start('b')];
    const poolId = await attach(one);
    const book = await bookOf(two);
    const address = await any(one, poolId);
    await one.addresses.confirmLease(subnetOf(), address, 'e1', soon(), MAC);
    await until('the other host knows it', () => fixedIn(book)[formatIp(address)] === MAC);
    expect(one.leases.get(subnetOf(), address)?.value).to.include({ fixedMac: MAC });

    const before = (await one.kv.range({ key: layout.poolset })).revision;
    await one.addresses.confirmLease(subnetOf(), address, 'e1', soon(), MAC);
    expect((await one.kv.range({ key: layout.poolset })).revision).to.equal(before);

    one.addresses.noteHolder(subnetOf(), address, { endpointId: 'e1', networkId: 'n', macAddress: MAC });
    await until('the holder is noted', async () =>
      (await storedAt(one, layout.lease(subnetOf(), address)))?.includes('"bound"'),
    );
    expect(await storedAt(one, layout.lease(subnetOf(), address))).to.include(MAC);
    expect(await check(one)).to.deep.equal([]);

    await one.addresses.releaseAddress(poolId, address, soon());
    await until('the other host knows that it is gone', () => Object.keys(fixedIn(book)).length === 0);
    expect(await storedAt(one, layout.mac(subnetOf(), address))).to.equal(undefined);
    expect(await check(one)).to.deep.equal([]);
  });

  it('writes nothing for a container whose MAC follows from its address', async () => {
    const host = await start('a');
    const poolId = await attach(host);
    const address = await any(host, poolId);
    const before = (await host.kv.range({ key: layout.poolset })).revision;
    await host.addresses.confirmLease(subnetOf(), address, 'e1', soon());
    expect((await host.kv.range({ key: layout.poolset })).revision).to.equal(before);
    await host.addresses.confirmLease(subnetOf(), address, 'e1', soon(), MAC);
    await host.addresses.confirmLease(subnetOf(), address, 'e1', soon());
    expect(await storedAt(host, layout.mac(subnetOf(), address))).to.equal(undefined);
  });

  it('knows routers and other machines of all hosts, and says which of its own', async () => {
    const [one, two] = [await start('a'), await start('b')];
    await attach(one);
    const book = await bookOf(two);
    expect(ordinaryIn(book)).to.deep.equal([`10.60.${third}.1`]);
    const network = { subnets: [{ subnet: `10.60.${third}.0/24` }] } as NetworkRecord;
    let here = [`10.60.${third}.11`, '172.17.0.1'];
    const stations = new Stations(
      { host: one.session.host },
      {
        layout,
        committer: one.committer,
        macs: await bookOf(one),
        networks: { list: () => [network] },
        addresses: () => here,
        clock,
        logger,
      },
    );
    await stations.publish(soon());
    await until('it is known', () => ordinaryIn(book).includes(`10.60.${third}.11`));
    expect(book.stationOf(one.session.host)).not.to.include('172.17');
    expect(await check(one)).to.deep.equal([]);
    here = [];
    await stations.publish(soon());
    expect(ordinaryIn(book)).to.include(`10.60.${third}.11`);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await stations.publish(soon());
    await until('it is gone', () => !ordinaryIn(book).includes(`10.60.${third}.11`));
  });

  it('hears of changes after etcd was away', async () => {
    const host = await start('a');
    const poolId = await attach(host);
    const book = await bookOf(host);
    const address = await any(host, poolId);
    await etcd.kill();
    await etcd.restart();
    await host.addresses.confirmLease(subnetOf(), address, 'e1', soon(15_000), MAC);
    await until('it is known', () => fixedIn(book)[formatIp(address)] === MAC);
  });

  it('sets an address aside that a stranger uses, and gives another one', async () => {
    const asked: string[] = [];
    const strangers: Strangers = {
      wanted: () => true,
      stranger: async (_network, address) => {
        asked.push(formatIp(address));
        return asked.length === 1 ? MAC : undefined;
      },
    };
    const host = await start('a', { strangers });
    const poolId = await attach(host);
    const book = await bookOf(host);
    const given = formatIp(await any(host, poolId));
    const [taken = ''] = asked;
    expect(asked).to.deep.equal([taken, given]);
    await until('all know', () => ordinaryIn(book).includes(taken));
    expect(book.quarantined(subnetOf()).map(formatIp)).to.deep.equal([taken]);
    expect(host.leases.get(subnetOf(), parseIp(taken))).to.equal(undefined);
    expect(await check(host)).to.deep.equal([]);

    const inventory = new EtcdInventory({
      kv: host.kv,
      layout,
      leases: host.leases,
      clock,
      logger,
      host: host.session.host,
      usersOf: async () => [],
    });
    const listed = [];
    for await (const page of inventory.leases({ state: 'reserved' })) listed.push(...page);
    expect(listed.find(({ address }) => address === taken)).to.include({
      role: 'quarantine',
      macAddress: MAC,
    });
    const pool = (await inventory.pools()).find((one) => one.pool === `10.60.${third}.0/24`);
    expect(pool).to.include({ reserved: 2, leased: 1 });

    const refused = await failure(
      host.addresses.requestAddress({ poolId, gateway: false, address: parseIp(taken) }, soon()),
    );
    expect(refused.message).to.include(`MAC ${MAC}, which is none of ours, answered for it`);

    const identity = { host: host.session.host, instance: host.instance, bootId: 'boot' };
    const reservations = new Reservations(identity, {
      kv: host.kv,
      layout,
      committer: host.committer,
      clock,
    });
    expect(await reservations.unreserve(undefined, taken, soon())).to.include({ changed: true });
    expect(await storedAt(host, layout.mac(subnetOf(), parseIp(taken)))).to.equal(undefined);
    expect(await check(host)).to.deep.equal([]);
  });

  it('ends its search after some strangers, and refuses an address that was named', async () => {
    const strangers: Strangers = { wanted: () => true, stranger: async () => MAC };
    const host = await start('a', { strangers });
    const poolId = await attach(host);
    const refused = await failure(any(host, poolId));
    expect(refused.message).to.include(
      `is in use by a machine outside of Lanius (MAC ${MAC} answered for it)`,
    );
    expect(refused.message).to.include('and so were 4 before it');
    const named = await failure(
      host.addresses.requestAddress(
        { poolId, gateway: false, address: parseIp(`10.60.${third}.200`) },
        soon(),
      ),
    );
    expect(named.message).to.include(`address 10.60.${third}.200 is in use`);
    const { count } = await host.kv.range({ prefix: layout.macs(subnetOf()) }, { countOnly: true });
    expect(count).to.equal(6);
    expect(host.leases.list()).to.deep.equal([]);
    await host.addresses.releasePool(poolId, soon());
    expect(await storedAt(host, layout.pool(subnetOf()))).to.equal(undefined);
    expect((await host.kv.range({ prefix: layout.macs(subnetOf()) }, { countOnly: true })).count).to.equal(0);
    expect(await check(host)).to.deep.equal([]);
  });

  it('keeps an address for its name though a stranger uses it', async () => {
    const strangers: Strangers = { wanted: () => true, stranger: async () => MAC };
    const host = await start('a', { strangers });
    const poolId = await attach(host);
    const identity = { host: host.session.host, instance: host.instance, bootId: 'boot' };
    const reservations = new Reservations(identity, {
      kv: host.kv,
      layout,
      committer: host.committer,
      clock,
    });
    const address = `10.60.${third}.50`;
    await reservations.reserve(undefined, address, 'db', soon());
    const request = { poolId, gateway: false, address: parseIp(address), endpointName: 'db' };
    expect((await failure(host.addresses.requestAddress(request, soon()))).message).to.include(
      'reserved for its name',
    );
    await until('it is the name’s again', async () =>
      (await storedAt(host, layout.lease(subnetOf(), parseIp(address))))?.includes('"operator"'),
    );
    expect(await check(host)).to.deep.equal([]);
  });

  it('does not ask for gateways, auxiliary addresses, or networks that do not want it', async () => {
    const strangers: Strangers = { wanted: (network) => network === 'other', stranger: async () => MAC };
    const host = await start('a', { strangers });
    const poolId = await attach(host);
    expect(await any(host, poolId)).to.include({ family: 4 });
  });

  it('finds an entry that is not as its lease says, and mends it', async () => {
    const host = await start('a');
    const poolId = await attach(host);
    const [one, two] = [await any(host, poolId), await any(host, poolId)];
    await host.addresses.confirmLease(subnetOf(), one, 'e1', soon(), MAC);
    await host.kv.txn({
      compare: [],
      success: [
        { do: 'put', key: layout.mac(subnetOf(), two), value: '{"v":1,"mac":"02:bb:00:00:00:01"}' },
        { do: 'put', key: layout.mac(subnetOf(), parseIp(`10.60.${third}.222`)), value: 'what?' },
        { do: 'delete', range: { key: layout.mac(subnetOf(), one) } },
      ],
    });
    const found = await check(host);
    expect(found.map(({ code }) => code)).to.deep.equal(['mac-differs', 'mac-differs', 'mac-differs']);
    const checker = new StoreChecker({ kv: host.kv, layout, clock });
    await new StoreRepair({ kv: host.kv, checker, committer: host.committer, clock, logger }).repair();
    expect(await check(host)).to.deep.equal([]);
    expect(await storedAt(host, layout.mac(subnetOf(), one))).to.include(MAC);
  });

  it('is exported with the lease and imported again, and forgotten with its host', async () => {
    const [one, two] = [await start('a'), await start('b')];
    const poolId = await attach(one);
    const address = await any(one, poolId);
    await one.addresses.confirmLease(subnetOf(), address, 'e1', soon(), MAC);
    const lines: string[] = [];
    for await (const text of exportStore({ kv: one.kv, layout, clock, version: '1' })) lines.push(text);
    await one.kv.txn({
      compare: [],
      success: [
        layout.leases(subnetOf()),
        layout.macs(subnetOf()),
        layout.holdsOfPool(subnetOf()),
        layout.byHost(one.session.host),
      ].map((prefix) => ({ do: 'delete', range: { prefix } })),
    });
    const folder = mkdtempSync(join(tmpdir(), 'lanius-spool-'));
    ends.push(() => rmSync(folder, { recursive: true, force: true }));
    const spool = await StoreSpool.take(
      (async function* () {
        yield Buffer.from(lines.join(''));
      })(),
      folder,
    );
    ends.push(() => spool.close());
    await new StoreImport({ kv: one.kv, layout, committer: two.committer, clock }).run(spool);
    expect(await storedAt(one, layout.mac(subnetOf(), address))).to.include(MAC);
    expect(await check(one)).to.deep.equal([]);

    await one.stop();
    ends.splice(0, 1);
    const ttls = new TtlBuckets({ kv: two.kv, clock });
    const policies = { coolingSeconds: () => 0, quotaPerHost: () => undefined };
    const fates = new Fates({ policies, ttls, clock, logger });
    const { kv, committer, pools } = two;
    const forgetting = new HostForgetting({ kv, layout, committer, pools, fates });
    await until('it is forgotten', async () => (await forgetting.forget(one.session.host, soon())).done);
    expect(await storedAt(two, layout.mac(subnetOf(), address))).to.equal(undefined);
    expect(await check(two)).to.deep.equal([]);
  });

  it('says the MACs of its endpoints again when etcd has lost them or the prefix is another, and finds two that are equal', async () => {
    const host = await start('a');
    const poolId = await attach(host);
    const [one, two] = [await any(host, poolId), await any(host, poolId)];
    const text = (address: IpAddress): string => `${formatIp(address)}/24`;
    const network = {
      networkId: `n-${host.session.host}`,
      parent: 'eth0',
      mode: 'macvlan',
      subnets: [{ subnet: `10.60.${third}.0/24` }],
    } as NetworkRecord;
    const mac = macOf(DEFAULT_MAC_PREFIX, two);
    const endpoint = (endpointId: string, address: IpAddress, macAddress: string) =>
      ({ endpointId, networkId: network.networkId, address: text(address), macAddress }) as EndpointRecord;
    const macs = await bookOf(host);
    const planned = new PlannedPools(
      { macPrefix: DEFAULT_MAC_PREFIX },
      { book: host.book, macs, claims: host.claims },
    );
    const own = new OwnMacs({
      endpoints: { list: () => [endpoint('e1', one, mac), endpoint('e2', two, mac)] },
      networks: { list: () => [network], get: () => network },
      planned,
      leases: host.leases,
      kv: host.kv,
      layout,
      clock,
      logger,
    });
    await own.sweep();
    await until('it is known', () => fixedIn(macs)[formatIp(one)] === mac);
    expect(Object.keys(fixedIn(macs))).to.deep.equal([formatIp(one)]);
    await own.sweep();
    expect(own.clashes).to.deep.equal([
      { parent: 'eth0', mac, addresses: [formatIp(one), formatIp(two)].sort() },
    ]);

    const pool = (await host.kv.range({ key: layout.pool(subnetOf()) })).kvs[0];
    const changed = { ...JSON.parse(pool?.value ?? ''), macPrefix: '02:5c' };
    await host.kv.txn({
      compare: [],
      success: [{ do: 'put', key: layout.pool(subnetOf()), value: JSON.stringify(changed) }],
    });
    await until('both are exceptions now', async () => {
      await own.sweep();
      return fixedIn(macs)[formatIp(two)] === mac;
    });
    expect(await check(host)).to.deep.equal([]);
  });
});
