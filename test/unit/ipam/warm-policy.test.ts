import { expect } from 'chai';
import { parseCidr, rangeSize, usableRange } from '../../../core/ip.ts';
import { choiceOf, sizeOf } from '../../../ipam/address/choice.ts';
import { sampleOf, stockTarget } from '../../../ipam/warm/warm-policy.ts';
import { shelfKey, WarmShelf } from '../../../ipam/warm/warm-shelf.ts';

const subnet = parseCidr('10.0.0.0/16');
const whole = usableRange(subnet);

describe('ipam/warm-policy', () => {
  it('lets a host keep a tenth of what is free, and nothing of a pool that is short', () => {
    expect(stockTarget(8, 254n, { usable: 254n, taken: 0 })).to.equal(8);
    expect(stockTarget(8, 254n, { usable: 254n, taken: 214 })).to.equal(4);
    expect(stockTarget(8, 254n, { usable: 254n, taken: 229 })).to.equal(0);
    expect(stockTarget(8, 6n, { usable: 6n, taken: 0 })).to.equal(0);
    expect(stockTarget(8, 0n, { usable: 0n, taken: 0 })).to.equal(0);
  });

  it('concludes from a sample to the whole', () => {
    expect(stockTarget(1000, 65_534n, { usable: 4096n, taken: 2048 })).to.equal(1000);
    expect(stockTarget(1000, 8192n, { usable: 4096n, taken: 3600 })).to.equal(99);
  });

  it('samples at most 4096 addresses, inside the ranges, everywhere', () => {
    const small = { family: 4, first: 5n, last: 6n } as const;
    for (const random of [0, 0.3, 0.999999]) {
      const sample = sampleOf([small, whole], () => random);
      const inside = random === 0 ? small : whole;
      expect(sample !== undefined && sample.first >= inside.first).to.equal(true);
      expect(sample !== undefined && sample.last <= inside.last).to.equal(true);
      expect(sample === undefined ? 0n : rangeSize(sample)).to.equal(random === 0 ? 2n : 4096n);
    }
    expect(sampleOf([whole], () => 0)?.first).to.equal(whole.first);
    expect(sampleOf([whole], () => 1 - 2 ** -53)?.last).to.equal(whole.last);
    expect(sampleOf([], () => 0)).to.equal(undefined);
  });

  it('pauses twice as long each time the pool is short, until it was calm', () => {
    const shelf = new WarmShelf(subnet, choiceOf(whole), 0);
    expect(shelf.total).to.equal(sizeOf([whole]));
    shelf.target = 3;
    expect(shelf.missing(0)).to.equal(3);
    shelf.pause(0);
    expect([shelf.pausedUntilMs, shelf.missing(29_000)]).to.deep.equal([30_000, 0]);
    shelf.pause(0);
    expect(shelf.pausedUntilMs).to.equal(60_000);
    shelf.calm();
    shelf.pause(0);
    expect(shelf.pausedUntilMs).to.equal(30_000);
  });

  it('shares a shelf among choices of the same ranges', () => {
    const key = shelfKey(subnet, choiceOf(whole));
    expect(shelfKey(parseCidr('10.0.0.0/16'), { own: [{ ...whole }], borrow: [whole] })).to.equal(key);
    expect(shelfKey(subnet, choiceOf({ ...whole, first: 9n }))).to.not.equal(key);
    expect(shelfKey(parseCidr('10.1.0.0/16'), choiceOf(whole))).to.not.equal(key);
  });
});
