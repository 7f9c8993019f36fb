import { expect } from 'chai';
import { formatIp, type IpAddress, parseCidr, parseIp } from '../../core/ip.ts';
import type { Reconciler } from '../../ipam/reconcile/reconciler.ts';
import type { EndpointRecord, NetworkRecord } from '../../store/host-records.ts';
import type { RecordStore } from '../../store/records.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { IpamHost, layout, soon } from '../support/ipam-host.ts';
import { PlayedWorld, recordOf } from '../support/played-world.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

const subnet = parseCidr('10.40.0.0/22');

const [AA = '', BB = '', CC = ''] = ['a', 'b', 'c'].map((digit) => digit.repeat(64));

describe('ipam/reconciler on a real etcd', function () {
  this.timeout(20_000);
  let etcd: EtcdProcess;
  let host: IpamHost;
  let poolId: string;
  let world: PlayedWorld;
  let endpoints: RecordStore<EndpointRecord>;
  let networks: RecordStore<NetworkRecord>;
  let reconciler: Reconciler;

  before(async function () {
    need(this, 'etcd');
    etcd = await EtcdProcess.start();
  });
  after(async () => await etcd?.stop());

  beforeEach(async () => {
    world = new PlayedWorld('10.40.0.0/22');
    host = await IpamHost.start({ etcd: etcd.host, name: 'r1' });
    poolId = (await host.addresses.requestPool({ subnet, family: 4, options: {} }, soon())).poolId;
    // Of another process: what it asked for is not waited for.
    ({ reconciler, endpoints, networks } = await world.reconcilerOf(host, { instance: 'another' }));
  });
  afterEach(async () => {
    await world.close();
    await host.kv.txn({ compare: [], success: [{ do: 'delete', range: { prefix: layout.prefix } }] });
    await host.stop();
  });

  const any = async () => (await host.addresses.requestAddress({ poolId, gateway: false }, soon())).address;
  const endpoint = (id: string, address: string) => endpoints.put(id, recordOf(id, `${address}/22`));
  const leased = async () => (await host.leases.read()).map(({ address }) => formatIp(address));
  const run = (dryRun = false) => reconciler.run('test', { dryRun });
  const shows = (endpointId: string, address: IpAddress): void => {
    world.shown.push({ endpointId, ipv4: formatIp(address), containerId: 'c' });
  };
  const valueAt = async (key: string) => (await host.kv.range({ key })).kvs[0]?.value;
  const indexKey = (address: IpAddress) => layout.byHostLease('r1', subnet, address);
  const leaseKey = (address: IpAddress) => layout.lease(subnet, address);
  const put = (key: string, value: string) =>
    host.kv.txn({ compare: [], success: [{ do: 'put', key, value }] });
  const remove = (key: string) => host.kv.txn({ compare: [], success: [{ do: 'delete', range: { key } }] });

  it('frees what it can although one link cannot be deleted, whose address it keeps', async () => {
    const [stuck, free] = [formatIp(await any()), formatIp(await any())];
    await endpoint(AA, stuck);
    await endpoint(BB, free);
    world.addLink(AA);
    world.addLink(BB);
    world.refused.add(`ln${AA}`);
    const report = await run();
    expect(report.problem).to.match(/the kernel refuses/);
    expect(await leased()).to.deep.equal([stuck]);
    expect([...world.links.keys()]).to.deep.equal([`ln${AA}`]);
  });

  it('leaves a link alone that has the name of a dead endpoint but not its mark', async () => {
    await endpoint(CC, '10.40.0.99');
    world.addLink(CC, 'of somebody else');
    await run();
    expect([...world.links.keys()]).to.deep.equal([`ln${CC}`]);
    expect(endpoints.list()).to.deep.equal([]);
  });

  it('takes the lease of a living endpoint again that etcd has lost', async () => {
    const address = await any();
    await endpoint('dd', formatIp(address));
    shows('dd', address);
    await host.kv.txn({ compare: [], success: [{ do: 'delete', range: { prefix: layout.prefix } }] });
    expect((await run(true)).decisions.map(({ action }) => action)).to.include('adopt');
    expect(await leased()).to.deep.equal([]);
    await run();
    expect(await leased()).to.deep.equal([formatIp(address)]);
    expect((await host.kv.range({ key: layout.pool(subnet) })).count).to.equal(1);
  });

  it('forgets leases that etcd has lost and nothing uses', async () => {
    const address = await any();
    await remove(leaseKey(address));
    await remove(indexKey(address));
    await run();
    expect(host.leases.get(subnet, address)).to.equal(undefined);
    expect(await leased()).to.deep.equal([]);
  });

  it('takes a lease again that only the engine shows, without a record', async () => {
    const address = await any();
    shows('ee', address);
    await remove(leaseKey(address));
    await remove(indexKey(address));
    await run();
    expect(await leased()).to.deep.equal([formatIp(address)]);
  });

  it('puts the index entry of a living endpoint back, and writes one again that is not as its lease', async () => {
    const [missing, different] = [await any(), await any()];
    for (const [id, address] of [
      ['ff', missing],
      ['gg', different],
    ] as const) {
      await endpoint(id, formatIp(address));
      shows(id, address);
      host.leases.noteHolder(subnet, address, { endpointId: id, networkId: 'n', macAddress: 'm' });
      await until('bound', async () => (await valueAt(indexKey(address)))?.includes('"bound"'));
    }
    await remove(indexKey(missing));
    const damaged = (await valueAt(indexKey(different)))?.replace('"bound"', '"pending"') ?? '';
    await put(indexKey(different), damaged);
    const said = (await run()).decisions.filter(({ kind }) => kind === 'index');
    expect(said.map(({ action }) => action)).to.deep.equal(['repair', 'repair']);
    for (const address of [missing, different])
      expect(await valueAt(indexKey(address))).to.equal(await valueAt(leaseKey(address)));
    const again = await run();
    expect(again.decisions.filter(({ kind }) => kind === 'index')).to.deep.equal([]);
    await host.leases.release(subnet, missing);
    expect(await leased(), 'memory knows the new revision').to.deep.equal([formatIp(different)]);
    expect(await valueAt(leaseKey(missing))).to.equal(undefined);
  });

  it('removes index entries behind which there is no lease of this host', async () => {
    const [gone, taken] = [await any(), await any()];
    const others = (await valueAt(leaseKey(taken)))?.replace('"host":"r1"', '"host":"r2"') ?? '';
    await remove(leaseKey(gone));
    await put(leaseKey(taken), others);
    const said = (await run()).decisions.filter(({ kind }) => kind === 'index');
    expect(said.map(({ action }) => action)).to.deep.equal(['delete', 'delete']);
    expect(await leased()).to.deep.equal([]);
    expect(await valueAt(leaseKey(taken))).to.equal(others);
  });

  it('alarms in every run while an address lives here that is leased to another host', async () => {
    const address = await any();
    await endpoint('hh', formatIp(address));
    shows('hh', address);
    const others = (await valueAt(leaseKey(address)))?.replace('"host":"r1"', '"host":"r2"') ?? '';
    await put(leaseKey(address), others);
    for (const time of [1, 2]) {
      const { decisions } = await run();
      const [told] = decisions.filter(({ action }) => action === 'conflict');
      expect(told?.reason).to.match(/the engine shows it at web, but in etcd .* on host r2 has it/);
      expect(world.logged.filter(({ level }) => level === 'error')).to.have.length(time);
    }
    expect(await valueAt(leaseKey(address))).to.equal(others);
    expect(endpoints.list()).to.have.length(1);
  });

  it('writes to a lease of an earlier process who has it', async () => {
    const address = await any();
    shows('ii', address);
    expect((await run()).decisions.map(({ action }) => action)).to.include('bind');
    const bound = await until('bound', async () => {
      const [lease] = await host.leases.read();
      return lease?.value.state === 'bound' && lease.value;
    });
    expect(bound).to.include({ endpointId: 'ii', containerId: 'c', containerName: 'web' });
    expect((await run()).decisions.map(({ action }) => action)).to.not.include('bind');
  });

  it('forgets a network of which the engine knows nothing, and says so to what stood under it', async () => {
    const networkId = 'd'.repeat(64);
    await networks.put(networkId, {
      v: 1,
      networkId,
      parent: 'lo',
      mode: 'macvlan',
      macvlanMode: 'bridge',
      internal: false,
      subnets: [{ subnet: '10.40.0.0/22' }],
      createdAt: Date.now() - 3_600_000,
    });
    await run(true);
    expect(world.gone).to.deep.equal([]);
    await run();
    expect(networks.list()).to.deep.equal([]);
    expect(world.gone).to.deep.equal([networkId]);
  });

  it('frees many leases at once and says so in one line', async () => {
    const taken = await Promise.all(Array.from({ length: 300 }, any));
    expect(new Set(taken.map(formatIp)).size).to.equal(300);
    const report = await run();
    expect(report.decisions.filter(({ action }) => action === 'free')).to.have.length(300);
    expect(await leased()).to.deep.equal([]);
    expect(host.leases.list()).to.deep.equal([]);
    expect(world.logged.filter(({ message }) => /freed what nothing uses/.test(message))).to.have.length(1);
  });

  it('explains in a dry run what it would do and what it keeps, and does nothing', async () => {
    const [used, leaked] = [await any(), await any()];
    shows('jj', used);
    const { decisions } = await run(true);
    const about = (address: IpAddress) => decisions.find(({ object }) => object === formatIp(address));
    expect(about(used)).to.deep.include({ kind: 'lease', action: 'bind' });
    expect(about(leaked)).to.deep.equal({
      kind: 'lease',
      object: formatIp(leaked),
      action: 'free',
      reason: 'no container, endpoint or sandbox uses it',
    });
    expect(await leased()).to.have.members([used, leaked].map(formatIp));
    expect(parseIp(about(leaked)?.object ?? '')).to.deep.equal(leaked);
  });

  it('looks at once when it hears that etcd has changed, and again for a while', async () => {
    await any();
    reconciler.storeChanged('etcd went back');
    const first = await until('a run', () => reconciler.last);
    expect(first.trigger).to.equal('etcd went back');
    expect(await leased()).to.deep.equal([]);
    await until('another run', () => reconciler.last?.trigger === 'timer', { timeoutMs: 3000 });
  });
});
