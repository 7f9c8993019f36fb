/** `KernelShaping` in sandboxes, on real links: that it is written once, told, mended and taken away. */
import { expect } from 'chai';
import { Unsupported } from '../../core/errors.ts';
import { linkAliasOf } from '../../core/ids.ts';
import { KernelSandboxes } from '../../net/sandbox-port.ts';
import type { KernelShaping, ShapingFeatures } from '../../net/shaping/kernel-shaping.ts';
import type { Shape } from '../../net/shaping-port.ts';
import { shapeOf } from '../../throttle/token-bucket.ts';
import { need } from '../support/require.ts';
import { failure } from './kernel-links.ts';
import { type Sandbox, ShapedHost, shape } from './shaped-host.ts';

const BOTH = { in: shape(20), out: shape(50) };
const ALL: ShapingFeatures = {
  tbf: true,
  htb: true,
  clsact: true,
  ifb: true,
  redirect: true,
  police: true,
  bpf: true,
};

describe('net/shaping', () => {
  let host: ShapedHost;
  let shaping: KernelShaping;
  let box: Sandbox;

  before(function () {
    need(this, 'root', 'netns');
  });

  beforeEach(() => {
    host = new ShapedHost();
    shaping = host.shaping();
    box = host.macvlan();
  });

  afterEach(async () => {
    await host.remove();
  });

  const tc = (...words: string[]): string => host.tc(box.namespace, ...words);
  const ifb = (): string => `lnin${box.place.linkIndex}`;

  it('is supported by this kernel', async () => {
    expect(await shaping.supported()).to.equal(true);
  });

  it('shapes both directions, and writes nothing where all is in force', async () => {
    expect(await shaping.apply(box.place, BOTH)).to.deep.equal({
      in: 'tbf',
      out: 'tbf',
      mended: [
        'out: the qdisc was missing',
        'in: the ifb was missing',
        'in: the qdisc was missing',
        'in: the redirect filter was missing',
      ],
    });
    const before = tc('qdisc') + tc('filter', 'show', 'dev', 'eth0', 'ingress');
    expect(before).to.match(/tbf 4c00: dev eth0 root .*rate 50Mbit burst 15137b lat 25ms/);
    expect(before).to.match(/tbf 4c00: dev lnin\d+ root .*rate 20Mbit/);
    expect(before).to.include('protocol all pref 1 u32').and.include('Egress Redirect to device lnin');
    expect(await shaping.apply(box.place, BOTH)).to.deep.equal({ in: 'tbf', out: 'tbf', mended: [] });
    expect(tc('qdisc') + tc('filter', 'show', 'dev', 'eth0', 'ingress')).to.equal(before);
    expect(box.namespace.link(ifb())).to.include({ ifalias: 'lanius:ifb' });
    expect(box.namespace.ip('-6', 'addr', 'show', 'dev', ifb())).to.equal('');
  });

  it('finds every rate and burst as it has written it', async () => {
    const shapes: Shape[] = [8e3, 8001, 64e3, 1e6, 33.3e6, 1e9, 5e9, 34e9, 35e9, 100e9].map(
      (rateBitsPerSecond) => shapeOf({ rateBitsPerSecond }, 1500),
    );
    shapes.push(
      shapeOf({ rateBitsPerSecond: 1e6, burstBytes: 10e6, peakBitsPerSecond: 5e6 }, 1500),
      shapeOf({ rateBitsPerSecond: 36e9, burstBytes: 4e9, peakBitsPerSecond: 90e9 }, 9000),
      shapeOf({ rateBitsPerSecond: 8e3, burstBytes: 4e9, peakBitsPerSecond: 9e3 }, 1500),
    );
    for (const each of shapes) {
      await shaping.apply(box.place, { in: each, out: each });
      const again = await shaping.apply(box.place, { in: each, out: each });
      expect(again?.mended, JSON.stringify(each)).to.deep.equal([]);
    }
  });

  it('gives a new shape a fresh qdisc under another handle, and leaves the other direction alone', async () => {
    await shaping.apply(box.place, BOTH);
    const outcome = await shaping.apply(box.place, { ...BOTH, out: shape(5) });
    expect(outcome?.mended).to.deep.equal(['out: the qdisc had other values']);
    expect(tc('qdisc'))
      .to.match(/tbf 4c01: dev eth0 root/)
      .and.match(/tbf 4c00: dev lnin/);
    await shaping.apply(box.place, { ...BOTH, in: shape(2), out: shape(5) });
    expect(tc('qdisc'))
      .to.match(/tbf 4c01: dev eth0 root/)
      .and.match(/tbf 4c01: dev lnin/);
  });

  it('takes one direction away, then the other, and leaves nothing but the clsact', async () => {
    const before = tc('qdisc');
    await shaping.apply(box.place, BOTH);
    const one = await shaping.apply(box.place, { out: BOTH.out });
    expect(one).to.deep.equal({ out: 'tbf', mended: ['in: the filter is removed'] });
    expect(box.namespace.link(ifb())).to.equal(undefined);
    expect((await shaping.apply(box.place, {}))?.mended).to.deep.equal(['out: the qdisc is removed']);
    expect(tc('qdisc').replace(/qdisc clsact.*\n/, '')).to.equal(before);
    expect(tc('filter', 'show', 'dev', 'eth0', 'ingress')).to.equal('');
    expect((await shaping.apply(box.place, {}))?.mended).to.deep.equal([]);
  });

  const breakages: [string, () => void, string[]][] = [
    [
      'the qdisc of the link',
      () => tc('qdisc', 'del', 'dev', 'eth0', 'root'),
      ['out: the qdisc was missing'],
    ],
    [
      'a changed rate',
      () =>
        tc('qdisc', 'change', 'dev', 'eth0', 'root', 'tbf', 'rate', '1gbit', 'burst', '100k', 'limit', '1m'),
      ['out: the qdisc had other values'],
    ],
    [
      'a qdisc of another kind',
      () => tc('qdisc', 'replace', 'dev', 'eth0', 'root', 'handle', '7:', 'bfifo'),
      ['out: a qdisc bfifo of somebody stood in its place'],
    ],
    ['the qdisc of the ifb', () => tc('qdisc', 'del', 'dev', ifb(), 'root'), ['in: the qdisc was missing']],
    ['the ifb', () => box.namespace.ip('link', 'set', ifb(), 'down'), ['in: the ifb was down']],
    [
      'the filter',
      () => tc('filter', 'del', 'dev', 'eth0', 'ingress'),
      ['in: the redirect filter was missing'],
    ],
    [
      'the clsact',
      () => tc('qdisc', 'del', 'dev', 'eth0', 'clsact'),
      ['in: the redirect filter was missing'],
    ],
    [
      'another filter in its place',
      () => {
        tc('filter', 'del', 'dev', 'eth0', 'ingress');
        tc(...'filter add dev eth0 ingress pref 1 protocol ip u32 match u32 0 0 flowid 1:1'.split(' '));
      },
      ['in: filters of somebody stood in the place of the redirect filter'],
    ],
    [
      'a redirection elsewhere',
      () =>
        tc(
          ...'filter replace dev eth0 ingress pref 1 protocol all handle 800::800 u32 match u32 0 0 action mirred egress redirect dev lo'.split(
            ' ',
          ),
        ),
      ['in: the redirect filter was another one'],
    ],
    [
      'an ifb that is gone',
      () => box.namespace.ip('link', 'del', ifb()),
      ['in: the ifb was missing', 'in: the qdisc was missing', 'in: the redirect filter was another one'],
    ],
    [
      'a link that has taken the name of the ifb',
      () => {
        box.namespace.ip('link', 'del', ifb());
        box.namespace.ip('link', 'add', ifb(), 'type', 'veth', 'peer', 'name', 'other');
      },
      [
        'in: another link had the name of the ifb',
        'in: the qdisc was missing',
        'in: the redirect filter was another one',
      ],
    ],
  ];
  for (const [what, breakIt, mended] of breakages) {
    it(`mends ${what}, and only that`, async () => {
      await shaping.apply(box.place, BOTH);
      breakIt();
      expect((await shaping.apply(box.place, BOTH))?.mended).to.deep.equal(mended);
      expect((await shaping.apply(box.place, BOTH))?.mended).to.deep.equal([]);
    });
  }

  it('leaves the clsact, filters and qdiscs of others alone', async () => {
    tc('qdisc', 'add', 'dev', 'eth0', 'clsact');
    const match = ['protocol', 'arp', 'prio', '19521', 'u32', 'match', 'u32', '0', '0', 'flowid', '1:1'];
    tc('filter', 'add', 'dev', 'eth0', 'egress', ...match);
    tc('filter', 'add', 'dev', 'eth0', 'ingress', ...match);
    tc('qdisc', 'add', 'dev', 'lo', 'root', 'handle', '4c00:', 'bfifo');
    const before = tc('filter', 'show', 'dev', 'eth0', 'egress') + tc('qdisc', 'show', 'dev', 'lo');
    await shaping.apply(box.place, BOTH);
    expect((await shaping.apply(box.place, BOTH))?.mended).to.deep.equal([]);
    expect(tc('filter', 'show', 'dev', 'eth0', 'ingress'))
      .to.include('pref 19521')
      .and.include('pref 1 ');
    await shaping.apply(box.place, {});
    expect(tc('filter', 'show', 'dev', 'eth0', 'egress') + tc('qdisc', 'show', 'dev', 'lo')).to.equal(before);
    expect(tc('filter', 'show', 'dev', 'eth0', 'ingress'))
      .to.include('pref 19521')
      .and.not.include('pref 1 ');
  });

  it('is not confused by a filter of its preference at the other hook, which the kernel lists with its own', async () => {
    tc('qdisc', 'add', 'dev', 'eth0', 'clsact');
    tc(...'filter add dev eth0 egress pref 1 protocol all u32 match u32 0 0 flowid 1:1'.split(' '));
    await shaping.apply(box.place, BOTH);
    expect((await shaping.apply(box.place, BOTH))?.mended).to.deep.equal([]);
    // but a filter that goes before ours in its own table is one too many
    tc(
      ...'filter add dev eth0 ingress pref 1 protocol all handle ::1 u32 match u32 0 0 flowid 1:1'.split(' '),
    );
    expect((await shaping.apply(box.place, BOTH))?.mended).to.have.length(1);
    expect((await shaping.apply(box.place, BOTH))?.mended).to.deep.equal([]);
    expect(tc('filter', 'show', 'dev', 'eth0', 'egress')).to.include('flowid 1:1');
  });

  it('takes away nothing that somebody else has put at the root', async () => {
    tc(
      'qdisc',
      'add',
      'dev',
      'eth0',
      'root',
      'handle',
      '1:',
      'tbf',
      ...'rate 1mbit burst 20k limit 50k'.split(' '),
    );
    const before = tc('qdisc');
    expect((await shaping.apply(box.place, {}))?.mended).to.deep.equal([]);
    expect(tc('qdisc')).to.equal(before);
  });

  it('uses a qdisc ingress that stands there', async () => {
    tc('qdisc', 'add', 'dev', 'eth0', 'ingress');
    expect(await shaping.apply(box.place, BOTH)).to.include({ in: 'tbf', out: 'tbf' });
    expect(tc('filter', 'show', 'dev', 'eth0', 'ingress')).to.include('Redirect to device lnin');
    expect((await shaping.apply(box.place, BOTH))?.mended).to.deep.equal([]);
    await shaping.apply(box.place, {});
    expect(tc('filter', 'show', 'dev', 'eth0', 'ingress')).to.equal('');
  });

  it('takes a sandbox and a link that are gone as done, and an ifb whose link has left away', async () => {
    await shaping.apply(box.place, BOTH);
    box.namespace.ip('link', 'del', 'eth0');
    expect(await shaping.apply(box.place, BOTH)).to.equal(undefined);
    expect(box.namespace.link(ifb())).to.equal(undefined);
    const gone = { ...box.place, namespacePath: '/run/netns/lanius-nothing' };
    expect(await shaping.apply(gone, BOTH)).to.equal(undefined);
    expect(await shaping.traffic([gone, box.place])).to.deep.equal([undefined, undefined]);
    expect(await shaping.removeBypasses(gone)).to.deep.equal([]);
  });

  it('enforces by htb where the kernel has no tbf, says so, and finds it again', async () => {
    const htb = host.shaping({ features: { ...ALL, tbf: 'Specified qdisc kind is unknown' } });
    const outcome = await htb.apply(box.place, BOTH);
    expect(outcome).to.include({ in: 'htb', out: 'htb' });
    expect(outcome?.fallback).to.equal(
      'out: the kernel has no qdisc tbf (CONFIG_NET_SCH_TBF); in: the kernel has no qdisc tbf (CONFIG_NET_SCH_TBF)',
    );
    expect(await htb.supported()).to.equal('the kernel has no qdisc tbf (CONFIG_NET_SCH_TBF)');
    expect(tc('filter', 'show', 'dev', 'eth0', 'egress')).to.include('lanius-prio');
    expect((await htb.apply(box.place, BOTH))?.mended).to.deep.equal([]);
    tc('class', 'change', 'dev', 'eth0', 'parent', '4c00:', 'classid', '4c00:1', 'htb', 'rate', '900mbit');
    expect((await htb.apply(box.place, BOTH))?.mended).to.deep.equal(['out: the qdisc had other values']);
    const back = await shaping.apply(box.place, BOTH);
    expect(back).to.include({ in: 'tbf', out: 'tbf' });
    expect(tc('filter', 'show', 'dev', 'eth0', 'egress')).to.equal('');
  });

  it('says what the kernel lacks where nothing enforces a direction, and writes nothing', async () => {
    const none = { ifb: 'Unknown device type', police: 'no', tbf: 'no', htb: 'no' };
    const poor = host.shaping({ features: { ...ALL, ...none } });
    const before = tc('qdisc');
    const error = await failure(poor.apply(box.place, { in: BOTH.in }));
    expect(error).to.be.instanceOf(Unsupported);
    expect(error.message).to.match(
      /^net_in cannot be enforced: the kernel has no link kind ifb \(CONFIG_IFB\), no/,
    );
    expect(tc('qdisc')).to.equal(before);
    expect(await poor.apply(box.place, {})).to.deep.equal({ mended: [] });
  });

  it('removes links that step around the limit, and no others', async () => {
    const { namespace, place } = box;
    namespace.ip('link', 'add', 'around0', 'link', 'eth0', 'type', 'macvlan', 'mode', 'bridge');
    namespace.ip('link', 'add', 'pair0', 'type', 'veth', 'peer', 'name', 'pair1');
    namespace.ip('link', 'add', 'upon0', 'link', 'pair0', 'type', 'macvlan', 'mode', 'bridge');
    namespace.ip('link', 'add', 'second0', 'link', 'eth0', 'type', 'macvlan', 'mode', 'bridge');
    namespace.ip('link', 'set', 'second0', 'alias', `lanius:${'cd'.repeat(32)}`);
    expect(await shaping.removeBypasses(place)).to.deep.equal(['around0']);
    expect(await shaping.removeBypasses(place)).to.deep.equal([]);
    expect(await shaping.removeBypasses(place, [box.endpointId])).to.deep.equal(['second0']);
    expect(namespace.links().map(({ ifname }) => ifname)).to.include.members(['eth0', 'pair0', 'upon0']);
  });

  it('is not led astray by a link that bears the mark of the limited one', async () => {
    const { namespace, place, endpointId, macAddress } = box;
    const alias = linkAliasOf(endpointId);
    namespace.ip('link', 'add', 'copy0', 'link', 'eth0', 'type', 'macvlan', 'mode', 'bridge');
    namespace.ip('link', 'set', 'copy0', 'alias', alias);
    const { namespacePath, linkIndex } = place;
    const look = async (known: object): Promise<string | undefined> =>
      (await new KernelSandboxes(host.worker).look({ namespacePath, alias, ...known }))?.link.name;
    expect(await look({ linkIndex })).to.equal('eth0');
    expect(await look({ macAddress })).to.equal('eth0');
    expect(await shaping.removeBypasses(place, ['another'])).to.deep.equal(['copy0']);
  });
});
