/** What shaping decides without the kernel: handles, ways of enforcing, queues that are stuck, filters by MAC. */
import { expect } from 'chai';
import {
  lacking,
  type ShapingFeatures,
  wayOfReceiving,
  wayOfSending,
} from '../../../../net/shaping/features.ts';
import { isOurHandle, leafHandle, nextHandle } from '../../../../net/shaping/handles.ts';
import { bucketOf, endpointClass, macKeys } from '../../../../net/shaping/host-tree.ts';
import { StuckWatch } from '../../../../net/shaping/stuck-watch.ts';

const ROOT = 0xffff_ffff;
const ALL: ShapingFeatures = {
  tbf: true,
  htb: true,
  clsact: true,
  ifb: true,
  redirect: true,
  police: true,
  bpf: true,
};
const no = 'Specified qdisc kind is unknown (ENOENT)';
const shape = { rateBitsPerSecond: 1e6, burstBytes: 15_140, limitBytes: 30_000 };

describe('net/shaping, decisions', () => {
  it('takes the handle after the standing one, and none that is in use on the link', () => {
    const root = (handle: number) => ({ handle, parent: ROOT });
    expect(nextHandle([])).to.equal(0x4c00_0000);
    expect(nextHandle([root(0x4c00_0000)])).to.equal(0x4c01_0000);
    expect(nextHandle([root(0x4cff_0000)])).to.equal(0x4c00_0000);
    expect(nextHandle([root(0x0001_0000)])).to.equal(0x4c00_0000);
    const child = { handle: 0x4c01_0000, parent: 0x4c00_0001 };
    expect(nextHandle([root(0x4c00_0000), child])).to.equal(0x4c02_0000);
    expect([0x4c00_0000, 0x4cff_0000, 0x4d00_0000, 0x4c00_0001].map(isOurHandle)).to.deep.equal([
      true,
      true,
      false,
      false,
    ]);
    const inUse = new Set([1, 3]);
    expect([leafHandle(inUse), leafHandle(inUse)]).to.deep.equal([0x2_0000, 0x4_0000]);
  });

  it('falls back in this order, and says why', () => {
    const ways = (less: Partial<ShapingFeatures>) => {
      const features = { ...ALL, ...less };
      return [wayOfSending(features), wayOfReceiving(features)].map(({ how, because }) => [how, because]);
    };
    expect(ways({})).to.deep.equal([
      ['tbf', undefined],
      ['tbf', undefined],
    ]);
    const noTbf = 'the kernel has no qdisc tbf (CONFIG_NET_SCH_TBF)';
    expect(ways({ tbf: no })).to.deep.equal([
      ['htb', noTbf],
      ['htb', noTbf],
    ]);
    expect(ways({ tbf: no, bpf: no })[0]?.[1]).to.include('a process steps around htb');
    expect(ways({ ifb: no })).to.deep.equal([
      ['tbf', undefined],
      ['police', 'the kernel has no link kind ifb (CONFIG_IFB)'],
    ]);
    expect(ways({ tbf: no, htb: no }).map(([how]) => how)).to.deep.equal(['police', 'police']);
    expect(ways({ tbf: no, htb: no, police: no })).to.deep.equal([
      [
        undefined,
        'the kernel has no qdisc tbf (CONFIG_NET_SCH_TBF), no qdisc htb (CONFIG_NET_SCH_HTB), no action police (CONFIG_NET_ACT_POLICE)',
      ],
      [
        undefined,
        'the kernel has no qdisc tbf (CONFIG_NET_SCH_TBF), no qdisc htb (CONFIG_NET_SCH_HTB), no action police (CONFIG_NET_ACT_POLICE)',
      ],
    ]);
    expect(lacking(['tbf', 'ifb'], { ...ALL, ifb: no })).to.equal(
      'the kernel has no link kind ifb (CONFIG_IFB)',
    );
  });

  it('takes a queue for stuck when nothing has left it for as long as two bursts last', () => {
    const watch = new StuckWatch();
    const look = { handle: 7, bytes: 100, backlogBytes: 1514 };
    expect(watch.isStuck('a', look, shape, 0)).to.equal(false);
    expect(watch.isStuck('a', look, shape, 900)).to.equal(false);
    expect(watch.isStuck('b', look, shape, 2000)).to.equal(false);
    expect(watch.isStuck('a', look, shape, 1100)).to.equal(true);
    expect(watch.isStuck('a', { ...look, bytes: 101 }, shape, 2000)).to.equal(false);
    expect(watch.isStuck('a', { ...look, handle: 8, bytes: 101 }, shape, 9000)).to.equal(false);
    expect(watch.isStuck('a', { ...look, backlogBytes: 0 }, shape, 20_000)).to.equal(false);
    expect(watch.isStuck('a', look, shape, 30_000)).to.equal(false);
    const slow = { ...shape, rateBitsPerSecond: 8e3 };
    expect(watch.isStuck('c', look, slow, 0)).to.equal(false);
    expect(watch.isStuck('c', look, slow, 20_000)).to.equal(false);
    expect(watch.isStuck('c', look, slow, 31_000)).to.equal(true);
  });

  it('knows frames by their MAC on either side', () => {
    expect(macKeys('02:4c:0a:4e:00:07', 'destination')).to.deep.equal([
      { at: -16, mask: 0xffff, value: 0x024c },
      { at: -12, mask: 0xffff_ffff, value: 0x0a4e_0007 },
    ]);
    expect(macKeys('f2:4c:0a:4e:ff:07', 'source')).to.deep.equal([
      { at: -8, mask: 0xffff_ffff, value: 0xf24c_0a4e },
      { at: -4, mask: 0xffff_0000, value: 0xff07_0000 },
    ]);
    expect(bucketOf('02:4c:0a:4e:00:a7')).to.equal(0x010a_7000);
  });

  it('gives an endpoint its guarantee, within its limit and the link', () => {
    const of = (least: number, rate: number | undefined) =>
      endpointClass(
        {
          endpointId: 'ab'.repeat(32),
          macAddress: '02:4C:0A:00:00:07',
          plan: rate === undefined ? {} : { out: { ...shape, rateBitsPerSecond: rate } },
          minOutBitsPerSecond: least,
        },
        { linkIndex: 2, mac: 'source', linkBitsPerSecond: 100e6 },
      );
    expect(of(30e6, 50e6)).to.include({
      rateBitsPerSecond: 30e6,
      ceilBitsPerSecond: 50e6,
      macAddress: '02:4c:0a:00:00:07',
    });
    expect(of(60e6, 50e6)).to.include({ rateBitsPerSecond: 50e6, ceilBitsPerSecond: 50e6 });
    expect(of(0, undefined)).to.include({ rateBitsPerSecond: 64e3, ceilBitsPerSecond: 100e6 });
    expect(of(0, 8e3)).to.include({ rateBitsPerSecond: 8e3, ceilBitsPerSecond: 8e3 });
    expect(of(0, 1e9)).to.include({ ceilBitsPerSecond: 100e6 });
  });
});
