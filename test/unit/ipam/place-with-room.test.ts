import { expect } from 'chai';
import fc from 'fast-check';
import { type IpRange, parseCidr, rangeHas, usableRange } from '../../../core/ip.ts';
import { RangeSpace } from '../../../ipam/address/range-space.ts';
import { placeWithRoom } from '../../../ipam/lease/place-with-room.ts';

describe('ipam/lease/place-with-room', () => {
  const overlap = (a: IpRange, first: bigint, last: bigint): number => {
    const [from, to] = [a.first > first ? a.first : first, a.last < last ? a.last : last];
    return to < from ? 0 : Number(to - from + 1n);
  };

  it('finds room in a /12 that is full but for its end, with few counts', async () => {
    const range = usableRange(parseCidr('10.16.0.0/12'));
    const fullTo = range.first + 1_000_000n;
    let counts = 0;
    const count = async (ranges: readonly IpRange[]): Promise<number> => {
      counts += 1;
      return ranges.reduce((sum, part) => sum + overlap(part, range.first, fullTo), 0);
    };
    const space = new RangeSpace([range]);
    for (let i = 0; i < 50; i += 1) {
      const place = (await placeWithRoom(space, { count, random: Math.random })) ?? -1n;
      const end = range.first + place + 255n;
      expect(end > fullTo, `${place}`).to.equal(true);
    }
    expect(counts / 50).to.be.below(16);
  });

  it('says that there is none where all is taken, and finds the only one', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 16_383 }), async (only) => {
        const range = { family: 4, first: 1000n, last: 1000n + 16_383n } as const;
        const space = new RangeSpace([range]);
        const free = { family: 4, value: 1000n + BigInt(only) } as const;
        const taken = async (ranges: readonly IpRange[]): Promise<number> =>
          ranges.reduce(
            (sum, part) => sum + Number(part.last - part.first + 1n) - (rangeHas(part, free) ? 1 : 0),
            0,
          );
        const place = await placeWithRoom(space, { count: taken, random: () => 0.5 });
        expect(place !== undefined && place <= BigInt(only) && BigInt(only) < place + 256n).to.equal(true);
        const all = async (ranges: readonly IpRange[]): Promise<number> =>
          ranges.reduce((sum, part) => sum + Number(part.last - part.first + 1n), 0);
        expect(await placeWithRoom(space, { count: all, random: () => 0.5 })).to.equal(undefined);
      }),
    );
  });
});
