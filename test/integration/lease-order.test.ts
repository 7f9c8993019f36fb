import { expect } from 'chai';
import { StoreUnavailable } from '../../core/errors.ts';
import { formatIp, type IpRange, parseCidr, parseIp } from '../../core/ip.ts';
import type { Logger } from '../../core/log.ts';
import { silentLogger } from '../../core/log.ts';
import { layout, soon } from '../support/ipam-host.ts';
import { countOf, leaseOf, refusal, release, takeAny } from '../support/lease-words.ts';
import { until } from '../support/poll.ts';
import { withCalls } from '../support/store-calls.ts';
import { suiteHosts } from '../support/suite-hosts.ts';

const range = (first: string, last = first): IpRange => ({
  family: parseIp(first).family,
  first: parseIp(first).value,
  last: parseIp(last).value,
});
const cooling = (seconds: number) => ({ coolingSeconds: () => seconds, quotaPerHost: () => undefined });

describe('ipam/leases: which address, on a real etcd', function () {
  this.timeout(30_000);
  const hosts = suiteHosts();

  it('costs one transaction a lease and one look a segment, with several ranges, and IPv6', async () => {
    let txns = 0;
    let ranges = 0;
    const host = await hosts.start('a1', {
      policies: cooling(60),
      wrapKv: (kv) =>
        withCalls(kv, {
          txn: (...given) => {
            txns += 1;
            return kv.txn(...given);
          },
          range: (...given) => {
            ranges += 1;
            return kv.range(...given);
          },
        }),
    });
    for (const [subnet, own] of [
      ['10.1.0.0/16', [range('10.1.0.10', '10.1.9.0'), range('10.1.20.0', '10.1.29.255')]],
      ['fd01::/64', [range('fd01::2', 'fd01::ffff:ffff:ffff:ffff')]],
    ] as const) {
      txns = 0;
      ranges = 0;
      for (let i = 0; i < 60; i += 1)
        await host.leases.takeAny(parseCidr(subnet), { own, borrow: [] }, soon());
      expect(txns).to.be.within(61, 62);
      expect(ranges).to.equal(0);
    }
  });

  it('gives all of several ranges, then says that they are exhausted, and what is left elsewhere', async () => {
    const host = await hosts.start('b1');
    const subnet = parseCidr('10.2.0.0/24');
    const choice = { own: [range('10.2.0.4', '10.2.0.6'), range('10.2.0.9')], borrow: [] };
    const given = await Promise.all(
      Array.from({ length: 4 }, () => host.leases.takeAny(subnet, choice, soon())),
    );
    expect(given.map(formatIp).sort()).to.deep.equal(['10.2.0.4', '10.2.0.5', '10.2.0.6', '10.2.0.9']);
    expect(await refusal(host.leases.takeAny(subnet, choice, soon()))).to.equal(
      'pool 10.2.0.0/24 is exhausted: 0 of 4 addresses in 2 ranges are free, 4 are taken; 250 more are free in ' +
        'parts of the pool that are excluded or for others: remove containers or change the ranges',
    );
    expect(await refusal(host.leases.takeAny(subnet, { own: [], borrow: [] }, soon()))).to.match(
      /^pool 10\.2\.0\.0\/24 has no address for this host to give out automatically; 250 more/,
    );
  });

  it('gives out no address that an endpoint of this host has, also where etcd has lost its lease', async () => {
    const host = await hosts.start('a9', {
      fullWaitMs: 0,
      hasEndpoint: (_subnet, address) => formatIp(address) !== '10.99.0.5',
    });
    const subnet = parseCidr('10.99.0.0/29');
    expect(await takeAny(host, subnet)).to.equal('10.99.0.5');
    await refusal(takeAny(host, subnet, 300));
    expect(await countOf(host, layout.leases(subnet))).to.equal(1);
  });

  it('borrows only when its own ranges are full, and returns to them when something is free there', async () => {
    const host = await hosts.start('c1');
    const subnet = parseCidr('10.3.0.0/24');
    const choice = { own: [range('10.3.0.1', '10.3.0.2')], borrow: [range('10.3.0.100', '10.3.0.101')] };
    const take = async () => formatIp(await host.leases.takeAny(subnet, choice, soon()));
    const own = [await take(), await take()];
    expect(own.sort()).to.deep.equal(['10.3.0.1', '10.3.0.2']);
    expect(await take()).to.match(/^10\.3\.0\.10[01]$/);
    await release(host, subnet, '10.3.0.2');
    expect(await take()).to.equal('10.3.0.2');
    expect(await take()).to.match(/^10\.3\.0\.10[01]$/);
    expect(await refusal(take())).to.match(
      /exhausted: 0 of 4 addresses in 2 ranges are free, 4 are taken; 250 more/,
    );
  });

  it('lets released addresses cool, also those of other hosts; when the pool is short it gives the coolest and says so once', async () => {
    const warnings: string[] = [];
    const logger: Logger = { ...silentLogger, warn: (message) => warnings.push(message) };
    const one = await hosts.start('d1', { policies: cooling(60), logger });
    const two = await hosts.start('d2', { policies: cooling(60) });
    const subnet = parseCidr('10.4.0.0/29');
    for (let i = 0; i < 3; i += 1) {
      const address = `10.4.0.${[5, 2, 4][i]}`;
      const host = i === 1 ? two : one;
      await host.leases.takeThis(subnet, parseIp(address), soon());
      await release(host, subnet, address);
    }
    expect(await countOf(one, layout.coolings(subnet))).to.equal(3);
    const first = [await takeAny(one, subnet), await takeAny(one, subnet), await takeAny(one, subnet)];
    expect(first.sort()).to.deep.equal(['10.4.0.1', '10.4.0.3', '10.4.0.6']);
    expect(warnings).to.deep.equal([]);
    const then = [await takeAny(one, subnet), await takeAny(one, subnet), await takeAny(one, subnet)];
    expect(then).to.deep.equal(['10.4.0.5', '10.4.0.2', '10.4.0.4']);
    expect(warnings).to.deep.equal([
      'the pool is short: addresses are given again before their cooling time is over',
    ]);
    expect(await refusal(takeAny(one, subnet))).to.match(/0 of 6 addresses .* 6 are taken/);
  });

  it('lets many releases share a TTL, which lasts as long as was asked', async () => {
    const granted: [seconds: number, id: string][] = [];
    const host = await hosts.start('e1', {
      policies: cooling(40),
      wrapKv: (kv) =>
        withCalls(kv, {
          ttlGrant: async (...given) => {
            const id = await kv.ttlGrant(...given);
            granted.push([given[0], id]);
            return id;
          },
        }),
    });
    const subnet = parseCidr('10.5.0.0/24');
    const given = await Promise.all(Array.from({ length: 30 }, () => takeAny(host, subnet)));
    await Promise.all(given.map((address) => release(host, subnet, address)));
    expect(granted.map(([seconds]) => seconds)).to.deep.equal([15, 45]);
    expect(await countOf(host, layout.coolings(subnet))).to.equal(30);
    await host.kv.ttlRevoke(granted[1]?.[1] ?? '');
    expect(await countOf(host, layout.coolings(subnet))).to.equal(0);
    await release(host, subnet, await takeAny(host, subnet));
    expect(granted).to.have.length(3);
    expect(await countOf(host, layout.coolings(subnet))).to.equal(1);
    expect(await countOf(host, layout.leases(subnet))).to.equal(0);
  });

  it('releases without cooling when etcd grants no TTL', async () => {
    const host = await hosts.start('f1', {
      policies: cooling(40),
      wrapKv: (kv) => {
        let grants = 0;
        return withCalls(kv, {
          ttlGrant: (...given) => {
            grants += 1;
            // The session's own is the first.
            return grants === 1
              ? kv.ttlGrant(...given)
              : Promise.reject(new StoreUnavailable('etcd does not answer'));
          },
        });
      },
    });
    const subnet = parseCidr('10.6.0.0/24');
    await release(host, subnet, await takeAny(host, subnet));
    await until('it is free', async () => (await countOf(host, layout.leases(subnet))) === 0);
    expect(await countOf(host, layout.coolings(subnet))).to.equal(0);
  });

  it('does not end the lease of an endpoint with a release that still waits for its TTL', async () => {
    const host = await hosts.start('h1', {
      policies: cooling(40),
      wrapKv: (kv) =>
        withCalls(kv, {
          ttlGrant: async (...given) => {
            await new Promise((resolve) => setTimeout(resolve, 300));
            return kv.ttlGrant(...given);
          },
        }),
    });
    const subnet = parseCidr('10.8.0.0/24');
    const address = await takeAny(host, subnet);
    const before = await leaseOf(host, subnet, address);
    const releasing = release(host, subnet, address);
    await host.leases.confirm(subnet, parseIp(address), 'e1', soon());
    await releasing;
    const after = await leaseOf(host, subnet, address);
    expect(after).to.include({ state: 'pending', host: 'h1' });
    expect(after?.request).not.to.equal(before?.request);
    expect(host.leases.get(subnet, parseIp(address))?.value.request).to.equal(after?.request);
  });

  it('decides at its release what an operator made of a lease meanwhile', async () => {
    const host = await hosts.start('g1', { policies: cooling(60) });
    const subnet = parseCidr('10.7.0.0/24');
    const address = await takeAny(host, subnet);
    const value = JSON.stringify({ ...(await leaseOf(host, subnet, address)), role: 'operator', name: 'db' });
    const ip = parseIp(address);
    await host.kv.txn({
      compare: [],
      success: [
        { do: 'put', key: layout.lease(subnet, ip), value },
        { do: 'put', key: layout.byHostLease('g1', subnet, ip), value },
        { do: 'put', key: layout.name(subnet, 'db'), value: JSON.stringify({ v: 1, address }) },
      ],
    });
    await release(host, subnet, address);
    expect(await leaseOf(host, subnet, address)).to.include({
      state: 'reserved',
      role: 'operator',
      name: 'db',
    });
    expect(await countOf(host, layout.byHost('g1'))).to.equal(0);
    expect(await countOf(host, layout.names(subnet))).to.equal(1);
    expect(await countOf(host, layout.coolings(subnet))).to.equal(0);
  });
});
