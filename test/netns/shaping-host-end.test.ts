/** `KernelShaping` at the host's end of veth pairs: what stands there, and that it goes with its endpoint. */
import { expect } from 'chai';
import { hostEndNameOf, hostIfbNameOf, linkAliasOf } from '../../core/ids.ts';
import { Attachments } from '../../links/attachments.ts';
import { KernelLinks } from '../../net/links.ts';
import type { KernelShaping } from '../../net/shaping/kernel-shaping.ts';
import { need } from '../support/require.ts';
import { type Sandbox, ShapedHost, shape } from './shaped-host.ts';

const BOTH = { in: shape(20), out: shape(50) };

describe('net/shaping, host end', () => {
  let host: ShapedHost;
  let shaping: KernelShaping;
  let box: Sandbox;

  before(function () {
    need(this, 'root', 'netns');
  });

  beforeEach(() => {
    host = new ShapedHost();
    shaping = host.shaping();
    box = host.veth();
  });

  afterEach(async () => {
    await host.remove();
  });

  const end = (): string => hostEndNameOf(box.endpointId);
  const ifb = (): string => hostIfbNameOf(box.endpointId);

  it('shapes out of the reach of the container, on an ifb that bears the mark of the endpoint', async () => {
    const outcome = await shaping.apply(box.hostEnd, BOTH);
    expect(outcome).to.include({ in: 'tbf', out: 'tbf' });
    expect(outcome?.mended).to.include('in: the qdisc was missing').and.include('out: the ifb was missing');
    expect(host.tc(host.home, 'qdisc', 'show', 'dev', end())).to.include('rate 20Mbit');
    expect(host.tc(host.home, 'qdisc', 'show', 'dev', ifb())).to.include('rate 50Mbit');
    expect(host.home.link(ifb())).to.include({ ifalias: linkAliasOf(box.endpointId) });
    expect(host.tc(box.namespace, 'qdisc')).to.not.include('tbf');
    expect((await shaping.apply(box.hostEnd, BOTH))?.mended).to.deep.equal([]);
  });

  it('leaves nothing when the limits are taken away', async () => {
    const before = host.tc(host.home, 'qdisc');
    await shaping.apply(box.hostEnd, BOTH);
    await shaping.apply(box.hostEnd, {});
    expect(host.home.link(ifb())).to.equal(undefined);
    expect(host.tc(host.home, 'qdisc').replace(/qdisc clsact.*\n/, '')).to.equal(before);
  });

  it('goes with the endpoint, also when the pair is gone already', async () => {
    const attachments = new Attachments({ net: new KernelLinks(host.worker), modes: {} });
    await shaping.apply(box.hostEnd, BOTH);
    expect(await attachments.detach(box.endpointId)).to.equal(true);
    expect(host.home.links().map(({ ifname }) => ifname)).to.not.include.members([end(), ifb()]);
    const other = host.veth();
    await shaping.apply(other.hostEnd, BOTH);
    host.home.ip('link', 'del', hostEndNameOf(other.endpointId));
    await attachments.detach(other.endpointId);
    expect(host.home.link(hostIfbNameOf(other.endpointId))).to.equal(undefined);
  });

  it('is silent about a host end that is gone or not of an endpoint', async () => {
    host.home.ip('link', 'set', end(), 'alias', 'mine');
    expect(await shaping.apply(box.hostEnd, BOTH)).to.equal(undefined);
    expect(await shaping.apply({ at: 'host-end', linkName: 'lhnothing' }, BOTH)).to.equal(undefined);
    expect(await shaping.traffic([box.hostEnd])).to.deep.equal([undefined]);
  });
});
