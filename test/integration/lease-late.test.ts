import { expect } from 'chai';
import { formatIp, parseCidr, parseIp } from '../../core/ip.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { IpamHost, layout, soon } from '../support/ipam-host.ts';
import { PlayedWorld, recordOf } from '../support/played-world.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

const subnet = parseCidr('10.41.0.0/24');

const OLD = 'a'.repeat(64);

describe('ipam/lease: what must not end or overwrite a living lease', function () {
  this.timeout(30_000);
  let etcd: EtcdProcess;
  let host: IpamHost;
  let world: PlayedWorld;

  before(async function () {
    need(this, 'etcd');
    etcd = await EtcdProcess.start();
  });
  after(async () => await etcd?.stop());
  beforeEach(async () => {
    world = new PlayedWorld('10.41.0.0/24');
    host = await IpamHost.start({ etcd: etcd.host, name: 'r1' });
    await host.addresses.requestPool({ subnet, family: 4, options: {} }, soon());
  });
  afterEach(async () => {
    await world.close();
    await host.kv.txn({ compare: [], success: [{ do: 'delete', range: { prefix: layout.prefix } }] });
    await host.stop();
  });

  const address = parseIp('10.41.0.9');
  const stands = async () => (await host.kv.range({ key: layout.lease(subnet, address) })).kvs[0]?.value;

  it('keeps the lease of a living endpoint when the engine gives up another one of the same address', async () => {
    await host.leases.takeThis(subnet, address, soon());
    await host.leases.confirm(subnet, address, 'living', soon());
    const refused = await host.leases.confirm(subnet, address, 'late', soon()).then(
      () => undefined,
      (error: Error) => error.message,
    );
    expect(refused).to.match(/is taken/);
    await host.leases.release(subnet, address);
    expect(await stands()).to.be.a('string');
    await host.leases.release(subnet, address);
    expect(await stands()).to.equal(undefined);
  });

  /** Something that happens after the second look, while the first acts are under way. */
  const whileActing = (work: () => Promise<void>): void => {
    const slow = async (name: string): Promise<boolean> => {
      await work();
      return Map.prototype.delete.call(world.links, name);
    };
    Object.assign(world.links, { delete: slow });
  };

  it('does not free an address whose endpoint comes between the second look and the act', async () => {
    const { reconciler, endpoints } = await world.reconcilerOf(host, { instance: 'another' });
    await host.leases.takeThis(subnet, address, soon());
    await endpoints.put(OLD, recordOf(OLD, '10.41.0.77/24'));
    world.addLink(OLD);
    whileActing(() => host.leases.confirm(subnet, address, 'new', soon()));
    await reconciler.run('test', { dryRun: false });
    expect(endpoints.list()).to.deep.equal([]);
    expect(await stands()).to.be.a('string');
  });

  it('does not note an endpoint on a lease that another request made after the second look', async () => {
    const { reconciler, endpoints } = await world.reconcilerOf(host, { instance: 'another' });
    await host.leases.takeThis(subnet, address, soon());
    world.shown.push({ endpointId: 'gone', ipv4: formatIp(address), containerId: 'c' });
    await endpoints.put(OLD, recordOf(OLD, '10.41.0.77/24'));
    world.addLink(OLD);
    const held = host.leases.get(subnet, address);
    whileActing(async () => {
      await host.leases.release(subnet, address);
      await host.leases.takeThis(subnet, address, soon());
    });
    await reconciler.run('test', { dryRun: false });
    expect(host.leases.get(subnet, address)?.value.request).to.not.equal(held?.value.request);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await stands()).to.not.include('gone');
    await host.leases.confirm(subnet, address, 'next', soon());
  });

  it('keeps a name’s address for no longer than asked when a request for it is taken back', async () => {
    const own = { first: address.value, last: address.value, family: 4 } as const;
    const choice = { own: [own], borrow: [] };
    const keep = { role: 'sticky', keepSeconds: 1 } as const;
    await host.leases.takeForName(subnet, 'web', choice, keep, soon());
    await host.leases.release(subnet, address);
    etcd.freeze();
    const failed = await host.leases.takeForName(subnet, 'web', choice, keep, soon(300)).then(
      () => undefined,
      (error: Error) => error.message,
    );
    etcd.thaw();
    expect(failed).to.be.a('string');
    await until('it is reserved again', async () => (await stands())?.includes('"reserved"') || undefined);
    await until(
      'its time is over',
      async () =>
        (await host.kv.range({ key: layout.lease(subnet, address) })).count === 0 ? true : undefined,
      { timeoutMs: 15_000 },
    );
    expect((await host.kv.range({ key: layout.name(subnet, 'web') })).count).to.equal(0);
  });
});
