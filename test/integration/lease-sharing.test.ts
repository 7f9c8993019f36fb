import { expect } from 'chai';
import { formatIp, parseCidr, parseIp, usableRange } from '../../core/ip.ts';
import { choiceOf } from '../../ipam/address/choice.ts';
import { layout, soon } from '../support/ipam-host.ts';
import { countOf, refusal, release, takeAny } from '../support/lease-words.ts';
import { suiteHosts } from '../support/suite-hosts.ts';

const quota = (most: number) => ({ coolingSeconds: () => 0, quotaPerHost: () => most });

describe('ipam/leases: who gets one, on a real etcd', function () {
  this.timeout(30_000);
  const hosts = suiteHosts();

  it('keeps a host to its quota, exactly also when 20 ask at once, and not the others', async () => {
    const one = await hosts.start('a1', { policies: quota(5) });
    const two = await hosts.start('a2', { policies: quota(5) });
    const subnet = parseCidr('10.1.0.0/24');
    for (let round = 0; round < 3; round += 1) {
      const asked = await Promise.allSettled(Array.from({ length: 20 }, () => takeAny(one, subnet)));
      const given = asked.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
      const refused = asked.flatMap((one) => (one.status === 'rejected' ? [String(one.reason.message)] : []));
      expect(given).to.have.length(5);
      expect(new Set(refused)).to.deep.equal(
        new Set([
          'pool 10.1.0.0/24: host a1 has its quota of 5 addresses: remove containers here, or raise it with lanius pool set',
        ]),
      );
      await Promise.all(given.map((address) => release(one, subnet, address)));
    }
    for (let i = 0; i < 5; i += 1) await takeAny(two, subnet);
    const ours = new Set(two.leases.list().map(({ address }) => formatIp(address)));
    const free = ['10.1.0.200', '10.1.0.201', '10.1.0.202', '10.1.0.203', '10.1.0.204', '10.1.0.205'].find(
      (text) => !ours.has(text),
    );
    expect(await refusal(two.leases.takeThis(subnet, parseIp(free ?? ''), soon()))).to.match(/quota of 5/);
    expect(await refusal(two.leases.takeWarm(subnet, choiceOf(usableRange(subnet)), soon()))).to.match(
      /quota of 5/,
    );
    const held = two.leases.list()[0]?.address ?? parseIp('0.0.0.0');
    expect(await refusal(two.leases.takeThis(subnet, held, soon()))).to.match(
      /is taken: a container on host a2/,
    );
    const keep = { role: 'sticky', keepSeconds: 60 } as const;
    expect(
      await refusal(two.leases.takeForName(subnet, 'db', choiceOf(usableRange(subnet)), keep, soon())),
    ).to.match(/quota of 5/);
    expect(await countOf(one, layout.leases(subnet))).to.equal(5);
  });

  it('counts towards the quota what a host had before it was killed', async () => {
    const dead = await hosts.start('b1', { policies: quota(2) });
    const subnet = parseCidr('10.2.0.0/24');
    await takeAny(dead, subnet);
    hosts.abandon(dead);
    const successor = await hosts.start('b1', { policies: quota(2), stateDir: dead.stateDir });
    await takeAny(successor, subnet);
    expect(await refusal(takeAny(successor, subnet))).to.match(/host b1 has its quota of 2/);
  });

  it('serves those who wait for the only address in the order in which they came', async () => {
    const host = await hosts.start('c1', { fullWaitMs: 10_000 });
    const subnet = parseCidr('10.3.0.1/32');
    await takeAny(host, subnet);
    const served: number[] = [];
    const waiting = Array.from({ length: 10 }, async (_, i) => {
      await takeAny(host, subnet, 15_000);
      served.push(i);
      await release(host, subnet, '10.3.0.1');
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(served).to.deep.equal([]);
    await release(host, subnet, '10.3.0.1');
    await Promise.all(waiting);
    expect(served).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it('lets nobody pass who came later, and those leave whose time is up', async () => {
    const host = await hosts.start('d1', { fullWaitMs: 10_000 });
    const other = await hosts.start('d2');
    const subnet = parseCidr('10.4.0.1/32');
    await takeAny(other, subnet);
    const first = refusal(takeAny(host, subnet, 150));
    const second = takeAny(host, subnet);
    const third = refusal(takeAny(host, subnet, 1000));
    expect(await first).to.match(/nearly full and others were faster|etcd does not answer in time/);
    await release(other, subnet, '10.4.0.1');
    expect(await second).to.equal('10.4.0.1');
    expect(await third).to.match(/nearly full and others were faster|is exhausted/);
  });

  it('refuses everybody who waits soon when the pool stays full', async () => {
    const host = await hosts.start('e1');
    const subnet = parseCidr('10.5.0.1/32');
    await takeAny(host, subnet);
    const began = performance.now();
    const refused = await Promise.all(Array.from({ length: 12 }, () => refusal(takeAny(host, subnet))));
    expect(performance.now() - began).to.be.below(1500);
    expect(new Set(refused)).to.deep.equal(
      new Set([
        'pool 10.5.0.1/32 is exhausted: 0 of 1 addresses from 10.5.0.1 to 10.5.0.1 are free, 1 are taken: ' +
          'remove containers or use a larger pool',
      ]),
    );
  });
});
