/** Token buckets, htb, u32 filters and policers: bytes as `tc` sends them (strace), and what is cut off. */
import { expect } from 'chai';
import fc from 'fast-check';
import {
  bfifoOptions,
  htbClassSet,
  htbOptions,
  isHtbClassOf,
  readHtbClass,
  readHtbDefault,
} from '../../../../net/rtnetlink/htb.ts';
import { isPoliceOf, policeOptions } from '../../../../net/rtnetlink/police.ts';
import { isTimeOf, ticksOf } from '../../../../net/rtnetlink/rate-spec.ts';
import {
  isTokenBucketOf,
  readTokenBucket,
  tokenBucketOptions,
} from '../../../../net/rtnetlink/token-bucket.ts';
import { attributesOf, filterReplace, readFilter, tcmsg } from '../../../../net/rtnetlink/traffic-control.ts';
import { readStatistics } from '../../../../net/rtnetlink/traffic-statistics.ts';
import {
  classOptions,
  hashOptions,
  matchesEverything,
  readU32,
  redirectOptions,
  tableOptions,
} from '../../../../net/rtnetlink/u32-filter.ts';
import { attribute, nested } from '../../../../net/rtnetlink/wire.ts';

const NESTED = 0x8000;
const hex = (bytes: Buffer): string => bytes.toString('hex');
/** tc sets the flag of nested attributes only here and there; kernels do not look at it in these messages. */
const withoutFlags = (bytes: Buffer): string =>
  hex(bytes).replaceAll(/.{8}/g, (word) => word.replace(/80$/, '00'));
const inside = (options: Buffer): Buffer => options.subarray(4);

describe('net/rtnetlink, shaping', () => {
  it('writes a token bucket, without the table of times that old kernels want', () => {
    const shape = { rateBitsPerSecond: 50e6, burstBytes: 15_140, limitBytes: 171_390 };
    const none = '00'.repeat(12);
    expect(withoutFlags(tokenBucketOptions(shape))).to.equal(
      `34000200${'28000100'}${'00010000'}${'00000000'}${'105e5f00'}${none}7e9d0200${'da930000'}00000000${'08000600'}243b0000`,
    );
    const fast = { rateBitsPerSecond: 40e9, burstBytes: 10e6, limitBytes: 20e6 };
    const options = hex(tokenBucketOptions({ ...fast, peakBitsPerSecond: 50e9, peakBurstBytes: 15_000 }));
    expect(options).to.include('ffffffff').and.include(`0c000400${'00f2052a01000000'}`);
    expect(options).to.include(`0c000500${'806e877401000000'}`).and.include(`08000700${'983a0000'}`);
  });

  it('knows its own token bucket, and no other', () => {
    const shape = { rateBitsPerSecond: 1e6, burstBytes: 100_000, limitBytes: 200_000 };
    const peak = { ...shape, peakBitsPerSecond: 5e6, peakBurstBytes: 15_140 };
    const found = readTokenBucket(inside(tokenBucketOptions(peak)));
    expect(found && isTokenBucketOf(found, peak)).to.equal(true);
    for (const other of [
      shape,
      { ...peak, rateBitsPerSecond: 1.1e6 },
      { ...peak, burstBytes: 100_001 },
      { ...peak, limitBytes: 1 },
      { ...peak, peakBurstBytes: 16_000 },
    ]) {
      expect(found && isTokenBucketOf(found, other), JSON.stringify(other)).to.equal(false);
    }
  });

  it('knows times that are longer than the field has room for', () => {
    expect(isTimeOf(ticksOf(15_140, 6_250_000), 15_140, 6_250_000)).to.equal(true);
    const exact = (4e9 * 1e9) / 1000 / 64;
    expect(isTimeOf(exact % 2 ** 32, 4e9, 1000)).to.equal(true);
    expect(ticksOf(4e9, 1000)).to.equal(0xffff_ffff);
  });

  it('writes the redirection of all frames as tc does', () => {
    expect(withoutFlags(redirectOptions(2))).to.equal(
      `60000200${'38000700'}${'34000100'}${'0b000100'}6d69727265640000${'24000200'}${'20000200'}${'00'.repeat(8)}04000000${'00'.repeat(8)}0100000002000000${'24000500'}01000100${'00'.repeat(28)}`
        // ours has the selector first
        .replace(/^(60000200)(.*)(24000500.*)$/, '$1$3$2'),
    );
    const place = { linkIndex: 4, parent: 0xffff_fff2, priority: 1, protocol: 3, handle: 0x8000_0800 };
    const { payload } = filterReplace(place, 'u32', redirectOptions(2), 'x');
    expect(readFilter(payload)).to.include({ ...place, kind: 'u32' });
    const found = readU32(payload);
    expect(found).to.deep.include({ redirectIndex: 2, actions: ['mirred'] });
    expect(matchesEverything(found)).to.equal(true);
  });

  it('writes a hash table, the way to it, and an item as tc does', () => {
    expect(withoutFlags(tableOptions(256))).to.equal('0c000200' + '0800040000010000');
    expect(withoutFlags(hashOptions(0x0100_0000, 0xff, -12))).to.equal(
      `30000200${'0800030000000001'}${'24000500'}${'00000100'}000000000000f4ff000000ff${'00'.repeat(16)}`,
    );
    const keys = [
      { at: -16, mask: 0xffff, value: 0x024c },
      { at: -12, mask: 0xffff_ffff, value: 0x0a4e_0007 },
    ];
    const options = classOptions(keys, 0x07a3_0001, 0x0100_7000);
    expect(withoutFlags(options)).to.equal(
      `48000200${'080001000100a307'}${'0800020000700001'}${'34000500'}${'01000200'}${'00'.repeat(12)}` +
        `0000ffff0000024cf0ffffff00000000ffffffff0a4e0007f4ffffff00000000`,
    );
    const place = { linkIndex: 2, parent: 0x07a3_0000, priority: 1, protocol: 3, handle: 0 };
    expect(readU32(filterReplace(place, 'u32', options, 'x').payload)).to.deep.include({
      keys,
      classId: 0x07a3_0001,
    });
  });

  it('writes an htb, its classes and a leaf as tc does, without tables', () => {
    expect(withoutFlags(htbOptions(0xfff0))).to.equal(
      `1c000200${'18000200'}030000000a000000f0ff00000000000000000000`,
    );
    expect(readHtbDefault(inside(htbOptions(0xfff0)))).to.equal(0xfff0);
    expect(hex(bfifoOptions(140_000))).to.equal('08000200e0220200');
    const spec = {
      linkIndex: 2,
      classId: 0x07a3_0001,
      parent: 0x07a3_0000,
      rateBitsPerSecond: 1e9,
      ceilBitsPerSecond: 1e9,
      burstBytes: 204_800,
    };
    const { type, payload } = htbClassSet(spec, 'x');
    expect(type).to.equal(40);
    const rate = '0001000000000000' + '40597307';
    expect(withoutFlags(payload)).to.equal(
      `00000000020000000100a3070000a30700000000${'0800010068746200'}${'34000200'}${'30000100'}${rate}${rate}0064000000640000${'60ea0000'}0000000000000000`,
    );
    const found = readHtbClass(payload);
    expect(found && isHtbClassOf(found, spec)).to.equal(true);
    expect(found && isHtbClassOf(found, { ...spec, ceilBitsPerSecond: 2e9 })).to.equal(false);
  });

  it('writes a policer with the table that the kernel asks for, and knows it again', () => {
    const shape = { rateBitsPerSecond: 1e6, burstBytes: 102_400, limitBytes: 0 };
    const options = policeOptions(shape);
    const { payload } = filterReplace(
      { linkIndex: 4, parent: 0xffff_fff2, priority: 3, protocol: 3, handle: 0 },
      'u32',
      options,
      'x',
    );
    const found = readU32(payload);
    expect(found.actions).to.deep.equal(['police']);
    // index, action, limit, burst, mtu, rate: but for mtu and cell_log as tc sends it
    expect(hex(found.police ?? Buffer.alloc(0)).slice(0, 32)).to.equal('0000000002000000000000000050c300');
    expect(hex(options)).to.include('04040200');
    expect(isPoliceOf(found.police ?? Buffer.alloc(0), shape)).to.equal(true);
    expect(isPoliceOf(found.police ?? Buffer.alloc(0), { ...shape, rateBitsPerSecond: 2e6 })).to.equal(false);
  });

  it('reads counters', () => {
    const basic = Buffer.alloc(16);
    basic.writeBigUInt64LE(5_000_000_000n, 0);
    basic.writeUInt32LE(7, 8);
    const queue = Buffer.alloc(20);
    queue.writeUInt32LE(1514, 4);
    queue.writeUInt32LE(3, 8);
    const stats = nested(7, attribute(1, basic), attribute(3, queue));
    const payload = Buffer.concat([tcmsg(2, 0x4c00_0000, 0xffff_ffff), stats]);
    expect(readStatistics(attributesOf(payload))).to.deep.equal({
      bytes: 5_000_000_000,
      packets: 7,
      drops: 3,
      backlogBytes: 1514,
    });
  });

  it('takes whatever bytes come without a throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 8 }), (bytes, type) => {
        const wrapped = Buffer.concat([
          tcmsg(2, 0, 0),
          nested(2, attribute(type | NESTED, Buffer.from(bytes))),
        ]);
        readTokenBucket(Buffer.from(bytes));
        readHtbDefault(Buffer.from(bytes));
        readU32(wrapped);
        readHtbClass(wrapped);
        readStatistics(attributesOf(wrapped));
      }),
    );
  });
});
