import { cp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { formatIp, parseCidr, parseIp } from '../../core/ip.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { IpamHost, layout, soon } from '../support/ipam-host.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

const subnet = parseCidr('10.30.0.0/24');

describe('ipam when etcd loses what it had, or goes away for long', function () {
  this.timeout(30_000);
  let etcd: EtcdProcess;
  let host: IpamHost;
  let poolId: string;

  before(function () {
    need(this, 'etcd');
  });
  beforeEach(async () => {
    etcd = await EtcdProcess.start();
    host = await IpamHost.start({ etcd: etcd.host, name: 'a1' });
    poolId = (await host.addresses.requestPool({ subnet, family: 4, options: {} }, soon())).poolId;
    await host.addresses.requestAddress({ poolId, gateway: true }, soon());
    await host.addresses.attachNetwork({ networkId: 'n', subnets: [{ subnet }] });
  });
  afterEach(async () => {
    await host.stop();
    await etcd.stop();
  });

  const any = async () => (await host.addresses.requestAddress({ poolId, gateway: false }, soon())).address;
  const dataDir = () => join(etcd.folder, 'data');
  const copyDir = () => join(etcd.folder, 'copy');

  it('goes on after etcd was restored from a backup, at a lower revision', async () => {
    await etcd.kill();
    await cp(dataDir(), copyDir(), { recursive: true });
    await etcd.restart();
    await until('etcd is back', async () => any().catch(() => undefined));
    await host.session.bump(host.session.epoch ?? 0);
    await etcd.kill();
    await rm(dataDir(), { recursive: true });
    await cp(copyDir(), dataDir(), { recursive: true });
    await etcd.restart();
    const address = await until('it goes on', async () => any().catch(() => undefined));
    expect((await host.kv.range({ key: layout.lease(subnet, address) })).count).to.equal(1);
  });

  it('keeps a release on disk, and the process alive, when the daemon ends before etcd is back', async () => {
    const address = await any();
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.prependListener('unhandledRejection', note);
    etcd.freeze();
    await host.addresses.releaseAddress(poolId, address, soon());
    await new Promise((resolve) => setTimeout(resolve, 500));
    host.committer.close();
    await new Promise((resolve) => setTimeout(resolve, 50));
    process.off('unhandledRejection', note);
    etcd.thaw();
    expect(unhandled).to.deep.equal([]);
    expect(await readdir(join(host.stateDir, 'releases'))).to.have.length(1);
  });

  it('writes a release to disk when the store refuses it', async () => {
    const address = await any();
    host.committer.close();
    await host.addresses.releaseAddress(poolId, address, soon());
    expect(await readdir(join(host.stateDir, 'releases'))).to.have.length(1);
  });

  it('puts pool, gateway and leases of living endpoints back after a loss of all data', async () => {
    const address = await any();
    const before = await host.leases.read();
    await host.kv.txn({ compare: [], success: [{ do: 'delete', range: { prefix: layout.prefix } }] });
    await until('the session is back', async () => any().catch(() => undefined));
    await host.claimBook.sweep(soon());
    expect((await host.kv.range({ prefix: layout.pools })).kvs.map(({ key }) => key)).to.deep.equal([
      layout.pool(subnet),
    ]);
    const gateway = layout.lease(subnet, parseIp('10.30.0.1'));
    expect((await host.kv.range({ key: gateway })).kvs[0]?.value).to.include('"state":"reserved"');
    expect(before.map((held) => formatIp(held.address))).to.deep.equal([formatIp(address)]);
    await host.leases.restore(subnet, address, soon());
    expect((await host.leases.read()).map((held) => formatIp(held.address))).to.include(formatIp(address));
    const other = await IpamHost.start({ etcd: etcd.host, name: 'a2' });
    const refused = await other.leases.takeThis(subnet, address, soon()).then(
      () => expect.fail('it did not fail'),
      (error: Error) => error.message,
    );
    expect(refused).to.match(/is taken: a container on host a1 has it/);
    await other.stop();
  });

  it('leaves no gateway and no pool behind when the last hold is dropped in two tries', async () => {
    const address = await any();
    await host.addresses.releasePool(poolId, soon());
    expect((await host.kv.range({ prefix: layout.pools })).count, 'a lease stands in it').to.equal(1);
    await host.leases.release(subnet, address);
    await host.claimBook.sweep(soon());
    expect((await host.kv.range({ prefix: layout.pools })).count).to.equal(0);
  });
});
