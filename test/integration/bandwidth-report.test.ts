/** What a host says of its bandwidth: written when it changes, again when etcd has lost it, and gone with the host. */
import { expect } from 'chai';
import { systemClock as clock } from '../../core/clock.ts';
import { silentLogger as logger } from '../../core/log.ts';
import { TtlBuckets } from '../../ipam/commit/ttl-buckets.ts';
import { BandwidthReport, type CountedParent } from '../../ipam/host/bandwidth-report.ts';
import { HostForgetting } from '../../ipam/host/host-forgetting.ts';
import { Fates } from '../../ipam/lease/afterwards.ts';
import { NO_POLICIES } from '../../ipam/lease/lease-policies.ts';
import { EtcdInventory } from '../../ipam/people/etcd-inventory.ts';
import { StoreChecker } from '../../ipam/upkeep/store-checker.ts';
import type { BandwidthValue } from '../../store/schema.ts';
import { type IpamHost, layout, soon } from '../support/ipam-host.ts';
import { until } from '../support/poll.ts';
import { suiteHosts } from '../support/suite-hosts.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const eth0: CountedParent = {
  parent: 'eth0',
  in: { capacity: 1e9, committed: 300e6, free: 700e6 },
  out: { committed: 200e6 },
};

describe('ipam/bandwidth-report on a real etcd', function () {
  this.timeout(30_000);
  const hosts = suiteHosts();
  const ends: (() => Promise<unknown>)[] = [];
  let figures: CountedParent[];

  beforeEach(() => {
    figures = [eth0];
  });
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });

  const reportOf = (host: IpamHost, options = {}): BandwidthReport => {
    const { kv, committer } = host;
    const report = new BandwidthReport(
      { host: host.session.host, overcommit: 1.5, gatherMs: 50, ...options },
      { kv, layout, committer, figures: () => figures, clock, logger },
    );
    ends.push(() => report.close());
    return report;
  };
  const told = async (host: IpamHost): Promise<(BandwidthValue & { revision: number }) | undefined> => {
    const [item] = (await host.kv.range({ key: layout.bandwidth(host.session.host) })).kvs;
    return item && { ...JSON.parse(item.value), revision: item.modRevision };
  };
  const inventoryOf = ({ kv, leases, session }: IpamHost): EtcdInventory =>
    new EtcdInventory({ kv, layout, leases, clock, logger, host: session.host, usersOf: async () => [] });

  it('tells what is counted, and nothing as long as it is the same', async () => {
    const host = await hosts.start('a1');
    const report = reportOf(host);
    report.changed();
    report.start();
    const first = await until('it is told', () => told(host));
    expect(first.parents).to.deep.equal({
      eth0: {
        capacityInBitsPerSecond: 1e9,
        committedInBitsPerSecond: 300e6,
        committedOutBitsPerSecond: 200e6,
        freeInBitsPerSecond: 700e6,
        overcommit: 1.5,
      },
    });
    report.changed();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await told(host)).to.deep.equal(first);
    await report.close();

    const next = reportOf(host);
    next.start();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await told(host), 'after a restart').to.deep.equal(first);
    expect((await new StoreChecker({ kv: host.kv, layout, clock }).check()).findings).to.deep.equal([]);
  });

  it('gathers many changes, tells the last one, and shows it with the host', async () => {
    const host = await hosts.start('b1');
    const report = reportOf(host);
    report.start();
    const first = await until('it is told', () => told(host));
    const before = (await host.kv.range({ key: 'x' })).revision;
    for (let committed = 1; committed <= 50; committed += 1) {
      figures = [{ ...eth0, in: { committed } }];
      report.changed();
    }
    const last = await until('the last one is told', async () => {
      const now = await told(host);
      return now?.parents['eth0']?.committedInBitsPerSecond === 50 ? now : undefined;
    });
    expect(last.revision).to.be.greaterThan(first.revision);
    expect((await host.kv.range({ key: 'x' })).revision - before).to.be.lessThan(5);
    const info = (await inventoryOf(host).hosts()).find((one) => one.host === 'b1');
    expect(info?.bandwidth).to.deep.equal(last.parents);
    figures = [];
    report.changed();
    await until('nothing is told', async () => (await told(host)) === undefined);
  });

  it('goes on after etcd was away, and tells again what etcd has lost or somebody has damaged', async () => {
    const proxy = await TcpProxy.start(hosts.etcd.clientPort);
    const host = await hosts.start('c1', { etcd: proxy.host });
    const report = reportOf(host, { intervalMs: 200 });
    await proxy.refuse();
    report.start();
    await new Promise((resolve) => setTimeout(resolve, 300));
    await proxy.listen();
    await until('it is told', () => told(host), { timeoutMs: 20_000 });
    const key = layout.bandwidth('c1');
    await host.kv.txn({ compare: [], success: [{ do: 'delete', range: { key } }] });
    await until('it is told again', () => told(host));
    await host.kv.txn({ compare: [], success: [{ do: 'put', key, value: '{}' }] });
    await until('it is told once more', async () => (await told(host))?.parents !== undefined);
    await report.close();
    await hosts.stop();
    await proxy.stop();
  });

  it('is gone with its host', async () => {
    const [gone, host] = [await hosts.start('d1'), await hosts.start('d2')];
    const report = reportOf(gone);
    report.start();
    await until('it is told', () => told(gone));
    await report.close();
    await gone.session.stop();
    const dead = (await inventoryOf(host).hosts()).find((one) => one.host === 'd1');
    expect(dead).to.include({ alive: false }).and.not.have.property('bandwidth');
    const { kv, committer, pools } = host;
    const fates = new Fates({ policies: NO_POLICIES, ttls: new TtlBuckets({ kv, clock }), clock, logger });
    const forgetting = new HostForgetting({ kv, layout, committer, pools, fates });
    expect(await forgetting.forget('d1', soon())).to.include({ done: true });
    expect((await kv.range({ key: layout.bandwidth('d1') })).kvs).to.deep.equal([]);
  });
});
