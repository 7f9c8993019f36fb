import { expect } from 'chai';
import { type Cidr, formatIp, parseCidr, parseIp } from '../../core/ip.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { IpamHost, type IpamHostOptions, layout, soon } from '../support/ipam-host.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

describe('ipam/leases on a real etcd', function () {
  this.timeout(30_000);
  let etcd: EtcdProcess;
  let hosts: IpamHost[] = [];

  before(async function () {
    need(this, 'etcd');
    etcd = await EtcdProcess.start();
  });
  after(async () => await etcd?.stop());
  afterEach(async () => {
    for (const host of hosts) await host.stop();
    hosts = [];
  });

  async function start(name: string, options: Partial<IpamHostOptions> = {}): Promise<IpamHost> {
    const host = await IpamHost.start({ etcd: etcd.host, name, ...options });
    hosts.push(host);
    return host;
  }

  async function pool(host: IpamHost, subnet: string): Promise<string> {
    const { poolId } = await host.addresses.requestPool(
      { subnet: parseCidr(subnet), family: 4, options: {} },
      soon(),
    );
    await host.addresses.requestAddress({ poolId, gateway: true }, soon());
    await host.addresses.attachNetwork({
      networkId: `n-${host.session.host}-${subnet}`,
      subnets: [{ subnet: parseCidr(subnet) }],
    });
    return poolId;
  }

  const any = async (host: IpamHost, poolId: string) => {
    const grant = await host.addresses.requestAddress({ poolId, gateway: false }, soon());
    return formatIp(grant.address);
  };
  const taken = async (host: IpamHost, subnet: Cidr) =>
    (await host.kv.range({ prefix: layout.leases(subnet) }, { countOnly: true })).count;
  const failure = async (work: Promise<unknown>): Promise<Error> =>
    work.then(
      () => expect.fail('it did not fail'),
      (error: Error) => error,
    );

  it('gives three hosts that ask at once 253 different addresses of a /24, says so when it is full, and goes on after a release', async () => {
    const subnet = '10.1.0.0/24';
    const three = await Promise.all(['a1', 'a2', 'a3'].map((name) => start(name)));
    const pools = await Promise.all(three.map((host) => pool(host, subnet)));
    const asked = Array.from({ length: 253 }, (_, i) => i % 3);
    const given = await Promise.all(asked.map((i) => any(three[i] as IpamHost, pools[i] as string)));
    expect(new Set(given).size).to.equal(253);
    expect(given).not.to.include('10.1.0.1');
    const full = await failure(any(three[0] as IpamHost, pools[0] as string));
    expect(full.message).to.equal(
      'pool 10.1.0.0/24 is exhausted: 0 of 254 addresses from 10.1.0.1 to 10.1.0.254 are free, 254 are taken: ' +
        'remove containers or use a larger pool',
    );
    await three[1]?.addresses.releaseAddress(pools[1] as string, parseIp(given[1] as string), soon());
    expect(await any(three[2] as IpamHost, pools[2] as string)).to.equal(given[1]);
  });

  it('shares gateway and aux addresses among hosts and networks; the last one frees them and the pool', async () => {
    const subnet = parseCidr('10.2.0.0/24');
    const [one, two] = [await start('b1'), await start('b2')];
    const ids: [IpamHost, string][] = [];
    for (const host of [one, two, two]) {
      const { poolId } = await host.addresses.requestPool({ subnet, family: 4, options: {} }, soon());
      await host.addresses.requestAddress({ poolId, gateway: true, address: parseIp('10.2.0.254') }, soon());
      await host.addresses.requestAddress({ poolId, gateway: false, address: parseIp('10.2.0.9') }, soon());
      ids.push([host, poolId]);
    }
    expect(ids.map(([, id]) => id)).to.deep.equal(['10.2.0.0/24#1', '10.2.0.0/24#1', '10.2.0.0/24#2']);
    expect(await taken(one, subnet)).to.equal(2);
    const [first, ...others] = ids;
    for (const [host, poolId] of others) await host.addresses.releasePool(poolId, soon());
    expect(await taken(one, subnet)).to.equal(2);
    const refused = await failure(one.leases.takeThis(subnet, parseIp('10.2.0.254'), soon()));
    expect(refused.message).to.equal(
      'address 10.2.0.254 of pool 10.2.0.0/24 is taken: it is reserved as gateway of a network',
    );
    if (first !== undefined) await first[0].addresses.releasePool(first[1], soon());
    expect(await taken(one, subnet)).to.equal(0);
    expect((await one.kv.range({ prefix: layout.pools })).kvs.map((kv) => kv.key)).not.to.include(
      layout.pool(subnet),
    );
  });

  it('answers the router that the pool has already when a later network names none', async () => {
    const [one, two] = [await start('c1'), await start('c2')];
    const subnet = parseCidr('10.3.0.0/24');
    const first = await one.addresses.requestPool({ subnet, family: 4, options: {} }, soon());
    await one.addresses.requestAddress(
      { poolId: first.poolId, gateway: true, address: parseIp('10.3.0.254') },
      soon(),
    );
    const second = await two.addresses.requestPool({ subnet, family: 4, options: {} }, soon());
    const gateway = await two.addresses.requestAddress({ poolId: second.poolId, gateway: true }, soon());
    expect(formatIp(gateway.address)).to.equal('10.3.0.254');
  });

  it('refuses a pool that overlaps another, whichever host has it', async () => {
    const [one, two] = [await start('d1'), await start('d2')];
    await pool(one, '10.4.0.0/16');
    const refused = await failure(
      two.addresses.requestPool({ subnet: parseCidr('10.4.9.0/24'), family: 4, options: {} }, soon()),
    );
    expect(refused.message).to.match(
      /^subnet 10\.4\.9\.0\/24 overlaps pool 10\.4\.0\.0\/16, which is in use/,
    );
  });

  it('lets one of two win when both ask for one address, and names the winner to the other', async () => {
    const [one, two] = [await start('e1'), await start('e2')];
    const [p1, p2] = [await pool(one, '10.5.0.0/24'), await pool(two, '10.5.0.0/24')];
    const address = parseIp('10.5.0.77');
    const asked = await Promise.allSettled([
      one.addresses.requestAddress({ poolId: p1, gateway: false, address }, soon()),
      two.addresses.requestAddress({ poolId: p2, gateway: false, address }, soon()),
    ]);
    const refused = asked
      .filter((outcome) => outcome.status === 'rejected')
      .map((outcome) => String(outcome.reason.message));
    expect(refused).to.have.length(1);
    expect(refused[0]).to.match(
      /address 10\.5\.0\.77 of pool 10\.5\.0\.0\/24 is taken: a container on host e[12] has it/,
    );
  });

  it('answers within the deadline while etcd is frozen, and undoes exactly what was done late', async () => {
    const host = await start('f1');
    const poolId = await pool(host, '10.6.0.0/24');
    const before = await any(host, poolId);
    etcd.freeze();
    // A signal stops the threads of etcd one by one.
    await new Promise((resolve) => setTimeout(resolve, 50));
    const began = performance.now();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 8 }, () => host.addresses.requestAddress({ poolId, gateway: false }, soon(1500))),
    );
    const took = performance.now() - began;
    etcd.thaw();
    expect(outcomes.every((outcome) => outcome.status === 'rejected')).to.equal(true);
    for (const outcome of outcomes)
      if (outcome.status === 'rejected') expect(outcome.reason.message).to.match(/^etcd /);
    expect(took).to.be.below(3500);
    await until(
      'the late leases are undone',
      async () => (await taken(host, parseCidr('10.6.0.0/24'))) === 2,
    );
    expect(await any(host, poolId)).not.to.equal(before);
  });

  it('knows its own lease again when the answer was lost, and leaves no second one', async () => {
    const proxy = await TcpProxy.start(etcd.clientPort);
    const host = await start('g1', { etcd: proxy.host });
    const poolId = await pool(host, '10.7.0.0/24');
    await any(host, poolId);
    proxy.loseAnswers(true);
    const asked = any(host, poolId);
    setTimeout(() => proxy.loseAnswers(false), 300);
    await asked;
    const direct = await start('g2');
    expect(await taken(direct, parseCidr('10.7.0.0/24'))).to.equal(3);
    await host.stop();
    hosts = hosts.filter((other) => other !== host);
    await proxy.stop();
  });

  it('remembers a release while etcd is away and does it after a kill', async () => {
    const proxy = await TcpProxy.start(etcd.clientPort);
    const host = await IpamHost.start({ etcd: proxy.host, name: 'h1' });
    const poolId = await pool(host, '10.8.0.0/24');
    const address = await any(host, poolId);
    await proxy.refuse();
    await host.addresses.releaseAddress(poolId, parseIp(address), soon());
    host.abandon();
    const successor = await start('h1', { stateDir: host.stateDir });
    await until('the release is done', async () => (await taken(successor, parseCidr('10.8.0.0/24'))) === 1);
    await proxy.stop();
  });

  it('takes over the session of a dead daemon of the same machine, which then cannot write any more', async () => {
    const dead = await IpamHost.start({ etcd: etcd.host, name: 'i1' });
    const poolId = await pool(dead, '10.9.0.0/24');
    await any(dead, poolId);
    const successor = await start('i1', { stateDir: dead.stateDir });
    expect(successor.leases.list()).to.have.length(1);
    const late = await failure(any(dead, poolId));
    expect(late.message).to.match(/etcd|stopping/);
    expect(dead.superseded?.message).to.match(/^host id "i1" is held by another living daemon/);
    expect(await taken(successor, parseCidr('10.9.0.0/24'))).to.equal(2);
    dead.abandon();
  });

  it('refuses to start where a living daemon of another machine has the host id', async () => {
    await start('j1', { machineId: 'm1' });
    const refused = await failure(IpamHost.start({ etcd: etcd.host, name: 'j1', machineId: 'm2' }));
    expect(refused.message).to.match(
      /^host id "j1" is held by another living daemon \(j1, machine m1, pid \d+\): give one of the two another host\.name$/,
    );
  });

  it('takes a lease again for an endpoint that the engine brings late, unless somebody else has it', async () => {
    const [one, two] = [await start('k1'), await start('k2')];
    const poolId = await pool(one, '10.10.0.0/24');
    const subnet = parseCidr('10.10.0.0/24');
    const address = parseIp(await any(one, poolId));
    await one.addresses.confirmLease(subnet, address, 'e1', soon());
    await one.leases.release(subnet, address);
    await one.addresses.confirmLease(subnet, address, 'e1', soon());
    expect(one.leases.get(subnet, address)).not.to.equal(undefined);
    const refused = await failure(two.addresses.confirmLease(subnet, address, 'e1', soon()));
    expect(refused.message).to.match(/is taken: a container on host k1 has it/);
  });

  it('gives one lease to one endpoint only, also on one host', async () => {
    const host = await start('n1');
    const poolId = await pool(host, '10.13.0.0/24');
    const subnet = parseCidr('10.13.0.0/24');
    const address = parseIp(await any(host, poolId));
    await host.addresses.confirmLease(subnet, address, 'e1', soon());
    await host.addresses.confirmLease(subnet, address, 'e1', soon());
    const refused = await failure(host.addresses.confirmLease(subnet, address, 'e2', soon()));
    expect(refused.message).to.match(/is taken: endpoint e1 on host n1 has it/);
    // The engine's answer to the refusal, which is not the end of e1.
    await host.addresses.releaseAddress(poolId, address, soon());
    expect(host.leases.get(subnet, address)).to.not.equal(undefined);
    await host.addresses.releaseAddress(poolId, address, soon());
    await host.addresses.requestAddress({ poolId, gateway: false, address }, soon());
    await host.addresses.confirmLease(subnet, address, 'e2', soon());
  });

  it('writes the holder to lease and index, together and last one wins', async () => {
    const host = await start('l1');
    const poolId = await pool(host, '10.11.0.0/24');
    const subnet = parseCidr('10.11.0.0/24');
    const address = parseIp(await any(host, poolId));
    const holder = { endpointId: 'e', networkId: 'n', macAddress: '02:4c:0a:0b:00:07' };
    host.addresses.noteHolder(subnet, address, holder);
    host.addresses.noteHolder(subnet, address, { ...holder, containerName: 'web' });
    const [lease, index] = [layout.lease(subnet, address), layout.byHostLease('l1', subnet, address)];
    const kv = await until('the holder is written', async () => {
      const found = (await host.kv.range({ key: lease })).kvs[0];
      return found?.value.includes('"containerName":"web"') ? found : undefined;
    });
    expect((await host.kv.range({ key: index })).kvs[0]?.value).to.equal(kv.value);
    await host.addresses.releaseAddress(poolId, address, soon());
    expect((await host.kv.range({ key: index })).kvs).to.deep.equal([]);
  });

  it('clears up holds and uses that no claim stands for', async () => {
    const host = await start('m1');
    const poolId = await pool(host, '10.12.0.0/24');
    await host.claims.delete(poolId);
    await host.claimBook.sweep(soon());
    expect(await taken(host, parseCidr('10.12.0.0/24'))).to.equal(0);
    expect((await host.kv.range({ prefix: layout.uses(parseCidr('10.12.0.0/24')) })).count).to.equal(0);
  });
});
