import { expect } from 'chai';
import { parseCidr, parseIp, usableRange } from '../../core/ip.ts';
import { choiceOf } from '../../ipam/address/choice.ts';
import { layout, soon } from '../support/ipam-host.ts';
import { countOf, refusal, takeAny } from '../support/lease-words.ts';
import { until } from '../support/poll.ts';
import { withCalls } from '../support/store-calls.ts';
import { suiteHosts } from '../support/suite-hosts.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const holder = { endpointId: 'e', networkId: 'n', macAddress: '02:00:00:00:00:01' };

describe('ipam/leases: what is written later, on a real etcd', function () {
  this.timeout(30_000);
  const hosts = suiteHosts();

  it('takes into the stock, hands out from memory while etcd is away, and tells etcd when it is back', async () => {
    const proxy = await TcpProxy.start(hosts.etcd.clientPort);
    const host = await hosts.start('a1', { etcd: proxy.host });
    const subnet = parseCidr('10.1.0.0/24');
    const held = await host.leases.takeWarm(subnet, choiceOf(usableRange(subnet)), soon());
    expect(held.value.state).to.equal('warm');
    await proxy.refuse();
    host.leases.bindWarm(held);
    expect(host.leases.get(subnet, held.address)?.value.state).to.equal('pending');
    await host.leases.confirm(subnet, held.address, 'e', soon(100));
    host.leases.noteHolder(subnet, held.address, holder);
    expect(await host.leases.giveBackWarm(held, soon())).to.equal(false);
    expect(await host.leases.releaseIfUnchanged(held, soon())).to.equal(false);
    await proxy.listen();
    await until('it is bound', async () => {
      const kv = (await host.kv.range({ key: layout.lease(subnet, held.address) })).kvs[0];
      return kv?.value.includes('"state":"bound"');
    });
    expect(host.leases.get(subnet, held.address)?.value).to.include({ state: 'bound', endpointId: 'e' });
    await host.leases.release(subnet, held.address);
    expect(await countOf(host, layout.leases(subnet))).to.equal(0);
    await hosts.stop();
    await proxy.stop();
  });

  it('releases what was handed out before etcd has heard of it', async () => {
    const host = await hosts.start('b1');
    const subnet = parseCidr('10.2.0.0/24');
    const held = await host.leases.takeWarm(subnet, choiceOf(usableRange(subnet)), soon());
    host.leases.bindWarm(held);
    await host.leases.release(subnet, held.address);
    expect(await countOf(host, layout.leases(subnet))).to.equal(0);
    expect(await countOf(host, layout.byHost('b1'))).to.equal(0);
    expect(host.leases.list()).to.deep.equal([]);
  });

  it('gives back without cooling, and spares neither what is borrowed nor what cools', async () => {
    const host = await hosts.start('c1', {
      policies: { coolingSeconds: () => 60, quotaPerHost: () => undefined },
    });
    const subnet = parseCidr('10.3.0.0/31');
    const range = usableRange(subnet);
    const held = await host.leases.takeWarm(subnet, choiceOf(range), soon());
    expect(await host.leases.giveBackWarm(held, soon())).to.equal(true);
    expect(await host.leases.giveBackWarm(held, soon())).to.equal(false);
    expect(await countOf(host, layout.coolings(subnet))).to.equal(0);
    await host.leases.release(subnet, parseIp(await takeAny(host, subnet)));
    await host.leases.takeWarm(subnet, choiceOf(range), soon());
    const none = /^pool 10\.3\.0\.0\/31 has no address to spare for the stock of this host/;
    expect(await refusal(host.leases.takeWarm(subnet, choiceOf(range), soon()))).to.match(none);
    const borrowed = { own: [], borrow: [range] };
    expect(await refusal(host.leases.takeWarm(subnet, borrowed, soon()))).to.match(none);
    await takeAny(host, subnet);
  });

  it('writes the holder also when the answer to an earlier note was lost', async () => {
    const proxy = await TcpProxy.start(hosts.etcd.clientPort);
    const host = await hosts.start('d1', { etcd: proxy.host });
    const subnet = parseCidr('10.4.0.0/24');
    const address = parseIp(await takeAny(host, subnet));
    proxy.loseAnswers(true);
    host.leases.noteHolder(subnet, address, holder);
    setTimeout(() => proxy.loseAnswers(false), 300);
    host.leases.noteHolder(subnet, address, { ...holder, containerName: 'web' });
    const direct = await hosts.start('d2');
    await until('it is noted', async () => {
      const kv = (await direct.kv.range({ key: layout.lease(subnet, address) })).kvs[0];
      return kv?.value.includes('"containerName":"web"');
    });
    await until('memory knows', () => host.leases.get(subnet, address)?.value.containerName === 'web');
    await host.leases.release(subnet, address);
    expect(await countOf(direct, layout.leases(subnet))).to.equal(0);
    await hosts.stop();
    await proxy.stop();
  });

  it('looks again once when a lease has changed, and never brings back one that has ended', async () => {
    let notes = 0;
    const host = await hosts.start('e1', {
      wrapKv: (kv) =>
        withCalls(kv, {
          txn: (...given) => {
            if (JSON.stringify(given[0]).includes('bound')) notes += 1;
            return kv.txn(...given);
          },
        }),
    });
    const subnet = parseCidr('10.5.0.0/24');
    const [one, two] = [parseIp(await takeAny(host, subnet)), parseIp(await takeAny(host, subnet))];
    const kv = (await host.kv.range({ key: layout.lease(subnet, one) })).kvs[0];
    const value = JSON.stringify({ ...JSON.parse(kv?.value ?? ''), role: 'operator', name: 'db' });
    const keys = [layout.lease(subnet, one), layout.byHostLease('e1', subnet, one)];
    await host.kv.txn({ compare: [], success: keys.map((key) => ({ do: 'put', key, value })) });
    host.leases.noteHolder(subnet, one, holder);
    await until('it is noted', () => host.leases.get(subnet, one)?.value.state === 'bound');
    expect(notes).to.equal(2);
    expect(host.leases.get(subnet, one)?.value).to.include({ role: 'operator', name: 'db', endpointId: 'e' });
    await host.kv.txn({
      compare: [],
      success: [
        { do: 'delete', range: { key: layout.lease(subnet, two) } },
        { do: 'delete', range: { key: layout.byHostLease('e1', subnet, two) } },
      ],
    });
    notes = 0;
    host.leases.noteHolder(subnet, two, holder);
    await until('it is given up', () => !host.leases.busy(subnet, two));
    expect(notes).to.equal(1);
    expect((await host.kv.range({ key: layout.lease(subnet, two) })).kvs).to.deep.equal([]);
  });
});
