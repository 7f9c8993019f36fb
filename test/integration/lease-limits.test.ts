/** How limits stand, as leases say it: written with the holder, and as seldom as can be. */
import { expect } from 'chai';
import { type Cidr, type IpAddress, parseCidr, parseIp } from '../../core/ip.ts';
import type { LeaseLimits, LeaseValue } from '../../store/schema.ts';
import { type IpamHost, layout, soon } from '../support/ipam-host.ts';
import { until } from '../support/poll.ts';
import { withCalls } from '../support/store-calls.ts';
import { suiteHosts } from '../support/suite-hosts.ts';

const holder = { endpointId: 'e', networkId: 'n', macAddress: '02:4c:0a:50:00:02', containerName: 'web' };
const limits: LeaseLimits = { in: { rate: '100mbit', source: 'env', state: 'in force', how: 'tbf' } };

describe('ipam/lease-notes on a real etcd: limits', function () {
  this.timeout(30_000);
  const hosts = suiteHosts();
  let third = 0;
  let notes: number;
  let slowMs: number;

  beforeEach(() => {
    third += 1;
    notes = 0;
    slowMs = 0;
  });

  const start = async (options = {}): Promise<{ host: IpamHost; subnet: Cidr; address: IpAddress }> => {
    const host = await hosts.start(`l${third}`, {
      wrapKv: (kv) =>
        withCalls(kv, {
          txn: async (...given) => {
            if (/\\"(containerName|limits)\\"/.test(JSON.stringify(given[0]))) notes += 1;
            if (slowMs > 0) await new Promise((resolve) => setTimeout(resolve, slowMs));
            return kv.txn(...given);
          },
        }),
      ...options,
    });
    const subnet = parseCidr(`10.80.${third}.0/24`);
    const address = parseIp(`10.80.${third}.2`);
    await host.leases.takeThis(subnet, address, soon());
    return { host, subnet, address };
  };
  const stored = async (host: IpamHost, subnet: Cidr, address: IpAddress): Promise<LeaseValue> => {
    const [lease] = (await host.kv.range({ key: layout.lease(subnet, address) })).kvs;
    const [index] = (await host.kv.range({ key: layout.byHostLease(host.session.host, subnet, address) }))
      .kvs;
    expect(index?.value).to.equal(lease?.value);
    return JSON.parse(lease?.value ?? '{}');
  };

  it('writes limits that come before the holder with it, in one transaction', async () => {
    const { host, subnet, address } = await start();
    host.addresses.noteLimits(subnet, address, { in: { rate: '1mbit', state: 'not in force' } });
    host.addresses.noteLimits(subnet, address, limits);
    expect(host.leases.busy(subnet, address)).to.equal(false);
    host.addresses.noteHolder(subnet, address, holder);
    await until('it is bound', () => host.leases.get(subnet, address)?.value.state === 'bound');
    expect(await stored(host, subnet, address)).to.deep.include({ ...holder, state: 'bound', limits });
    expect(notes).to.equal(1);
  });

  it('writes limits without a holder after a time', async () => {
    const { host, subnet, address } = await start({ holderWaitMs: 100 });
    host.addresses.noteLimits(subnet, address, limits);
    await until('they are written', () => host.leases.get(subnet, address)?.value.limits !== undefined);
    expect(await stored(host, subnet, address)).to.deep.include({ state: 'pending', limits });
  });

  it('keeps holder and limits that come while the other is being written', async () => {
    for (const first of ['holder', 'limits']) {
      const { host, subnet, address } = await start();
      host.addresses.noteHolder(subnet, address, { ...holder, containerName: 'early' });
      await until('it is bound', () => host.leases.get(subnet, address)?.value.state === 'bound');
      slowMs = 100;
      if (first === 'holder') host.addresses.noteHolder(subnet, address, holder);
      host.addresses.noteLimits(subnet, address, limits);
      if (first === 'limits') host.addresses.noteHolder(subnet, address, holder);
      await until('all is written', () => !host.leases.busy(subnet, address));
      slowMs = 0;
      expect(await stored(host, subnet, address), first).to.deep.include({ containerName: 'web', limits });
      await host.leases.release(subnet, address);
      await hosts.stop();
    }
  });

  it('writes nothing that etcd has already, and takes limits away', async () => {
    const { host, subnet, address } = await start();
    host.addresses.noteHolder(subnet, address, holder);
    host.addresses.noteLimits(subnet, address, limits);
    await until('all is written', () => host.leases.get(subnet, address)?.value.limits !== undefined);
    const { modRevision } = host.leases.get(subnet, address) ?? {};
    notes = 0;
    host.addresses.noteLimits(subnet, address, structuredClone(limits));
    host.addresses.noteHolder(subnet, address, holder);
    await until('nothing is under way', () => !host.leases.busy(subnet, address));
    expect(notes).to.equal(0);
    expect(host.leases.get(subnet, address)?.modRevision).to.equal(modRevision);
    host.addresses.noteLimits(subnet, address, {});
    await until('they are gone', () => host.leases.get(subnet, address)?.value.limits === undefined);
    expect(await stored(host, subnet, address)).to.not.have.property('limits');
  });

  it('does not carry limits on to the next lease of the address', async () => {
    const { host, subnet, address } = await start({ holderWaitMs: 100 });
    host.addresses.noteLimits(subnet, address, limits);
    await host.leases.release(subnet, address);
    await host.leases.takeThis(subnet, address, soon());
    host.addresses.noteHolder(subnet, address, holder);
    await until('it is bound', () => host.leases.get(subnet, address)?.value.state === 'bound');
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await stored(host, subnet, address)).to.not.have.property('limits');
  });

  it('keeps limits that came before the leases were read, and brings them back with a lost holder', async () => {
    const { host, subnet, address } = await start();
    host.addresses.noteHolder(subnet, address, holder);
    await until('it is bound', () => host.leases.get(subnet, address)?.value.state === 'bound');
    hosts.abandon(host);
    const { stateDir } = host;
    const next = await hosts.start(`l${third}`, {
      stateDir,
      limitsOf: () => limits,
      begun: ({ leases }) => leases.noteLimits(subnet, address, limits),
    });
    await until('they are written', () => next.leases.get(subnet, address)?.value.limits !== undefined);
    expect(await stored(next, subnet, address)).to.deep.include({ ...holder, limits });
    await next.kv.txn({
      compare: [],
      success: [layout.lease(subnet, address), layout.byHostLease(next.session.host, subnet, address)].map(
        (key) => ({ do: 'delete', range: { key } }),
      ),
    });
    await next.leases.restore(subnet, address, soon());
    next.leases.noteHolder(subnet, address, holder);
    await until('it is bound', () => next.leases.get(subnet, address)?.value.state === 'bound');
    expect(await stored(next, subnet, address)).to.deep.include({ limits });
  });

  it('keeps a new name that came before the leases were read, but not that of one that has the address no more', async () => {
    const { host, subnet, address } = await start();
    host.addresses.noteHolder(subnet, address, holder);
    await until('it is bound', () => host.leases.get(subnet, address)?.value.state === 'bound');
    hosts.abandon(host);
    const { stateDir } = host;
    const renamed = { ...holder, containerName: 'shop' };
    const next = await hosts.start(`l${third}`, {
      stateDir,
      begun: ({ leases }) => leases.noteHolder(subnet, address, renamed),
    });
    await until('it is written', () => next.leases.get(subnet, address)?.value.containerName === 'shop');
    hosts.abandon(next);
    const last = await hosts.start(`l${third}`, {
      stateDir,
      begun: ({ leases }) => leases.noteHolder(subnet, address, { ...holder, endpointId: 'other' }),
    });
    await last.leases.load();
    expect(await stored(last, subnet, address)).to.deep.include(renamed);
  });
});
