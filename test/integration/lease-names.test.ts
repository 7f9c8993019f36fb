import { expect } from 'chai';
import { type Cidr, formatIp, parseCidr, parseIp, usableRange } from '../../core/ip.ts';
import { choiceOf } from '../../ipam/address/choice.ts';
import { type IpamHost, layout, soon } from '../support/ipam-host.ts';
import { countOf, leaseOf, refusal, release, takeAny } from '../support/lease-words.ts';
import { until } from '../support/poll.ts';
import { withCalls } from '../support/store-calls.ts';
import { suiteHosts } from '../support/suite-hosts.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const keep = { role: 'sticky', keepSeconds: 3600 } as const;

async function takeFor(host: IpamHost, subnet: Cidr, name: string, timeoutMs = 4000): Promise<string> {
  const choice = choiceOf(usableRange(subnet));
  return formatIp(await host.leases.takeForName(subnet, name, choice, keep, soon(timeoutMs)));
}

async function confirm(host: IpamHost, subnet: Cidr, address: string, endpointId: string): Promise<void> {
  await host.leases.confirm(subnet, parseIp(address), endpointId, soon());
}

/** The address that a name has, as etcd has it. */
async function named(host: IpamHost, subnet: Cidr, name: string): Promise<string | undefined> {
  const kv = (await host.kv.range({ key: layout.name(subnet, name) })).kvs[0];
  return kv === undefined ? undefined : JSON.parse(kv.value).address;
}

async function reserve(host: IpamHost, subnet: Cidr, address: string, name: string): Promise<void> {
  const lease = {
    v: 1,
    state: 'reserved',
    role: 'operator',
    name,
    host: 'x',
    request: 'r',
    bootId: 'b',
    at: 1,
  };
  await host.kv.txn({
    compare: [],
    success: [
      { do: 'put', key: layout.lease(subnet, parseIp(address)), value: JSON.stringify(lease) },
      { do: 'put', key: layout.name(subnet, name), value: JSON.stringify({ v: 1, address }) },
    ],
  });
}

describe('ipam/named-leases on a real etcd', function () {
  this.timeout(30_000);
  const hosts = suiteHosts();

  it('gives a name the same address again, on this host without a read, and on another', async () => {
    let reads = 0;
    const wrapKv = (kv: IpamHost['kv']) =>
      withCalls(kv, {
        range: (...given) => {
          reads += 1;
          return kv.range(...given);
        },
      });
    const one = await hosts.start('a1', { wrapKv });
    const two = await hosts.start('a2');
    const subnet = parseCidr('10.1.0.0/24');
    const address = await takeFor(one, subnet, 'db');
    expect(await named(two, subnet, 'db')).to.equal(address);
    await confirm(one, subnet, address, 'e1');
    await release(one, subnet, address);
    expect(await leaseOf(two, subnet, address)).to.include({ state: 'reserved', role: 'sticky', name: 'db' });
    expect(await countOf(two, layout.byHost('a1'))).to.equal(0);
    reads = 0;
    expect(await takeFor(one, subnet, 'db')).to.equal(address);
    expect(reads).to.equal(0);
    await release(one, subnet, address);
    expect(await takeFor(two, subnet, 'db')).to.equal(address);
    expect(await leaseOf(one, subnet, address)).to.include({ state: 'pending', host: 'a2', name: 'db' });
    await release(two, subnet, address);
    expect(await takeFor(one, subnet, 'db')).to.equal(address);
    expect(await takeFor(two, subnet, 'web')).not.to.equal(address);
  });

  it('keeps the address of a name from all others', async () => {
    const host = await hosts.start('b1');
    const subnet = parseCidr('10.2.0.0/30');
    const address = await takeFor(host, subnet, 'db');
    await release(host, subnet, address);
    const other = await takeAny(host, subnet);
    expect(other).not.to.equal(address);
    expect(await refusal(takeAny(host, subnet))).to.match(/is exhausted: 0 of 2 .* 2 are taken/);
    const ip = parseIp(address);
    const kept = `address ${address} of pool 10.2.0.0/30 is taken: it is kept for the container name "db"`;
    expect(await refusal(host.leases.takeThis(subnet, ip, soon()))).to.equal(kept);
    expect(await refusal(host.leases.takeThis(subnet, ip, soon(), 'web'))).to.equal(kept);
    await host.leases.takeThis(subnet, ip, soon(), 'db');
    await release(host, subnet, address);
    expect(await leaseOf(host, subnet, address)).to.include({
      state: 'reserved',
      role: 'sticky',
      keepSeconds: 3600,
    });
  });

  it('forgets lease and name together when the time of keeping is over', async () => {
    const ttls: string[] = [];
    const wrapKv = (kv: IpamHost['kv']) =>
      withCalls(kv, {
        ttlGrant: async (...given) => {
          const id = await kv.ttlGrant(...given);
          ttls.push(id);
          return id;
        },
      });
    const host = await hosts.start('c1', { wrapKv });
    const subnet = parseCidr('10.3.0.0/24');
    const address = await takeFor(host, subnet, 'db');
    await release(host, subnet, address);
    await host.kv.ttlRevoke(ttls[1] ?? '');
    expect(await leaseOf(host, subnet, address)).to.equal(undefined);
    expect(await named(host, subnet, 'db')).to.equal(undefined);
    const again = await takeFor(host, subnet, 'db');
    expect(await named(host, subnet, 'db')).to.equal(again);
    await release(host, subnet, again);
    expect(ttls).to.have.length(3);
    expect(await leaseOf(host, subnet, again)).to.include({ state: 'reserved' });
  });

  it('lets one of two hosts win a name, and tells the other who has it', async () => {
    const one = await hosts.start('d1');
    const two = await hosts.start('d2');
    const subnet = parseCidr('10.4.0.0/24');
    for (let round = 0; round < 5; round += 1) {
      const name = `db${round}`;
      const asked = await Promise.allSettled([takeFor(one, subnet, name), takeFor(two, subnet, name)]);
      const given = asked.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
      const refused = asked.flatMap((one) => (one.status === 'rejected' ? [String(one.reason.message)] : []));
      expect(given).to.deep.equal([await named(one, subnet, name)]);
      expect(refused).to.have.length(1);
      const winner = asked[0]?.status === 'fulfilled' ? 'd1' : 'd2';
      expect(refused[0]).to.equal(
        `name "${name}" of pool 10.4.0.0/24 has address ${given[0]}, which a container on host ${winner} has now: ` +
          'stop it first, or use another name',
      );
    }
    expect(await countOf(one, layout.leases(subnet))).to.equal(5);
    const address = (await named(one, subnet, 'db0')) ?? '';
    const winner = (await leaseOf(one, subnet, address))?.host === 'd1' ? one : two;
    winner.leases.noteHolder(subnet, parseIp(address), {
      endpointId: 'e',
      networkId: 'n',
      macAddress: '02:00:00:00:00:01',
      containerName: 'db0',
    });
    await until('it is noted', async () => (await leaseOf(one, subnet, address))?.state === 'bound');
    expect(await refusal(takeFor(winner === one ? two : one, subnet, 'db0'))).to.match(
      /which db0 on host d[12] has now/,
    );
    expect(await refusal(takeFor(winner, subnet, 'db0'))).to.match(/which db0 on host d[12] has now/);
  });

  it('answers the same host the same until an endpoint has the address, and does not let the loser take it away', async () => {
    const host = await hosts.start('e1');
    const subnet = parseCidr('10.5.0.0/24');
    const both = await Promise.all([takeFor(host, subnet, 'db'), takeFor(host, subnet, 'db')]);
    const [address] = both;
    expect(both).to.deep.equal([address, address]);
    expect(host.leases.list()).to.have.length(1);
    await confirm(host, subnet, address, 'e1');
    expect(await refusal(takeFor(host, subnet, 'db'))).to.match(
      /which endpoint e1 on host e1 has now: stop it first/,
    );
    expect(await refusal(confirm(host, subnet, address, 'e2'))).to.match(
      /is taken: endpoint e1 on host e1 has it/,
    );
    // What the engine does for the endpoint that was refused.
    await release(host, subnet, address);
    expect(await leaseOf(host, subnet, address)).to.include({ state: 'pending' });
    await release(host, subnet, address);
    expect(await leaseOf(host, subnet, address)).to.include({ state: 'reserved' });
  });

  it('answers the same after a kill between the lease and the answer, and makes the lease young', async () => {
    const dead = await hosts.start('f1');
    const subnet = parseCidr('10.6.0.0/24');
    const address = await takeFor(dead, subnet, 'db');
    const before = await leaseOf(dead, subnet, address);
    hosts.abandon(dead);
    const host = await hosts.start('f1', { stateDir: dead.stateDir });
    expect(await takeFor(host, subnet, 'db')).to.equal(address);
    const now = await leaseOf(host, subnet, address);
    expect(now?.request).not.to.equal(before?.request);
    expect(now).to.include({ state: 'pending', role: 'sticky', name: 'db' });
    expect(await countOf(host, layout.leases(subnet))).to.equal(1);
    await release(host, subnet, address);
    expect(await leaseOf(host, subnet, address)).to.include({ state: 'reserved' });
  });

  it('remembers on disk a release while etcd is away, and keeps the address for its name after a kill', async () => {
    const proxy = await TcpProxy.start(hosts.etcd.clientPort);
    const dead = await hosts.start('g1', { etcd: proxy.host });
    const subnet = parseCidr('10.7.0.0/24');
    const address = await takeFor(dead, subnet, 'db');
    await proxy.refuse();
    await release(dead, subnet, address);
    hosts.abandon(dead);
    const host = await hosts.start('g1', { stateDir: dead.stateDir });
    await until('it is kept', async () => (await leaseOf(host, subnet, address))?.state === 'reserved');
    expect(await named(host, subnet, 'db')).to.equal(address);
    // A release that was done does not touch what came after it, although the key has the same create revision.
    expect(await takeFor(host, subnet, 'db')).to.equal(address);
    hosts.abandon(host);
    const third = await hosts.start('g1', { stateDir: dead.stateDir });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await leaseOf(third, subnet, address)).to.include({ state: 'pending' });
    await proxy.stop();
  });

  it('waits for a release that is under way before it gives the address to the name again', async () => {
    const proxy = await TcpProxy.start(hosts.etcd.clientPort);
    const host = await hosts.start('h1', { etcd: proxy.host });
    const subnet = parseCidr('10.8.0.0/24');
    const address = await takeFor(host, subnet, 'db');
    proxy.loseAnswers(true);
    const releasing = release(host, subnet, address);
    const again = takeFor(host, subnet, 'db', 8000);
    setTimeout(() => proxy.loseAnswers(false), 300);
    await releasing;
    expect(await again).to.equal(address);
    expect(await leaseOf(host, subnet, address)).to.include({ state: 'pending', name: 'db' });
    await hosts.stop();
    await proxy.stop();
  });

  it('gives what an operator reserved to its name, and to who names the address where the name is unknown', async () => {
    const host = await hosts.start('i1');
    const subnet = parseCidr('10.9.0.0/24');
    await reserve(host, subnet, '10.9.0.77', 'db');
    const ip = parseIp('10.9.0.77');
    expect(await refusal(host.leases.takeThis(subnet, ip, soon(), 'web'))).to.equal(
      'address 10.9.0.77 of pool 10.9.0.0/24 is taken: it is reserved for "db"',
    );
    expect(await takeFor(host, subnet, 'db')).to.equal('10.9.0.77');
    expect(await leaseOf(host, subnet, '10.9.0.77')).to.include({
      state: 'pending',
      role: 'operator',
      host: 'i1',
    });
    await release(host, subnet, '10.9.0.77');
    await host.leases.takeThis(subnet, ip, soon());
    await release(host, subnet, '10.9.0.77');
    const after = await leaseOf(host, subnet, '10.9.0.77');
    expect(after).to.include({ state: 'reserved', role: 'operator', name: 'db' });
    expect(after?.keepSeconds).to.equal(undefined);
    expect(await named(host, subnet, 'db')).to.equal('10.9.0.77');
  });

  it('mends a name that points to a free address, and refuses one that points elsewhere', async () => {
    const host = await hosts.start('j1');
    const subnet = parseCidr('10.10.0.0/24');
    const point = (name: string, address: string) => {
      const value = JSON.stringify({ v: 1, address });
      return host.kv.txn({ compare: [], success: [{ do: 'put', key: layout.name(subnet, name), value }] });
    };
    await point('db', '10.10.0.5');
    expect(await takeFor(host, subnet, 'db')).to.equal('10.10.0.5');
    await host.leases.takeThis(subnet, parseIp('10.10.0.6'), soon());
    await point('web', '10.10.0.6');
    expect(await refusal(takeFor(host, subnet, 'web'))).to.equal(
      'name "web" of pool 10.10.0.0/24 points to address 10.10.0.6, whose lease is not for that name: ' +
        'find out with lanius store check, and mend it with --repair',
    );
    await point('far', '10.99.0.6');
    expect(await refusal(takeFor(host, subnet, 'far'))).to.match(
      /10\.99\.0\.6, which is not in the pool: find out/,
    );
  });

  it('takes the address of a living endpoint again that was kept for its name meanwhile', async () => {
    const host = await hosts.start('k1');
    const subnet = parseCidr('10.11.0.0/24');
    const address = await takeFor(host, subnet, 'db');
    await release(host, subnet, address);
    await confirm(host, subnet, address, 'e1');
    expect(await leaseOf(host, subnet, address)).to.include({ state: 'pending', role: 'sticky', name: 'db' });
    await release(host, subnet, address);
    expect(await named(host, subnet, 'db')).to.equal(address);
  });
});
