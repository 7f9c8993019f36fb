/** The last way to enforce a limit, on a kernel that has the action police; run inside of user-mode Linux. */
import { expect } from 'chai';
import type { KernelShaping, ShapingFeatures } from '../../net/shaping/kernel-shaping.ts';
import { PEER, type Sandbox, ShapedHost, shape } from '../netns/shaped-host.ts';
import { until } from '../support/poll.ts';

const NO = 'Specified qdisc kind is unknown';
const POLICE_ONLY: ShapingFeatures = {
  tbf: NO,
  htb: NO,
  clsact: true,
  ifb: NO,
  redirect: true,
  police: true,
  bpf: true,
};
const BOTH = { in: shape(2), out: shape(4) };

describe('uml/policer', () => {
  let host: ShapedHost;
  let shaping: KernelShaping;
  let box: Sandbox;

  before(() => {
    host = new ShapedHost();
    shaping = host.shaping({ features: POLICE_ONLY });
    box = host.macvlan();
  });
  after(() => host.remove());

  const filters = (hook: string): string => host.tc(box.namespace, 'filter', 'show', 'dev', 'eth0', hook);

  it('is found by trying', async () => {
    expect(await host.shaping().supported()).to.equal(true);
  });

  it('polices both directions, says so, and finds it again', async () => {
    const outcome = await shaping.apply(box.place, BOTH);
    expect(outcome).to.include({ in: 'police', out: 'police' });
    expect(outcome?.fallback).to.match(
      /^out: the kernel has no qdisc tbf .*; in: the kernel has no link kind ifb/,
    );
    expect(filters('egress')).to.match(/police .*rate 4Mbit burst 10\d{4}b .*action drop/s);
    expect(filters('ingress')).to.match(/police .*rate 2Mbit burst 5\d{4}b .*action drop/s);
    expect((await shaping.apply(box.place, BOTH))?.mended).to.deep.equal([]);
  });

  it('drops what is too much, and lets through what is not', async () => {
    const sender = host.prioritySender(box.namespace, PEER, 0);
    await until(
      'it drops',
      () => /dropped [1-9]/.test(host.tc(box.namespace, '-s', 'filter', 'show', 'dev', 'eth0', 'egress')),
      {
        timeoutMs: 30_000,
      },
    );
    await sender.stop();
    expect(host.tc(box.namespace, '-s', 'filter', 'show', 'dev', 'eth0', 'egress')).to.match(
      /Sent [1-9]\d+ bytes/,
    );
  });

  it('is changed, and gives way to a token bucket', async () => {
    const outcome = await shaping.apply(box.place, { ...BOTH, out: shape(8) });
    expect(outcome?.mended).to.deep.equal(['out: the policer was another one']);
    const better = await host.shaping().apply(box.place, BOTH);
    expect(better).to.include({ in: 'tbf', out: 'tbf' });
    expect(filters('egress')).to.equal('');
    expect(filters('ingress')).to.include('mirred').and.not.include('police');
    await shaping.apply(box.place, {});
    expect(filters('ingress')).to.equal('');
  });
});
