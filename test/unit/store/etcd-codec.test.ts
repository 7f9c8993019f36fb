import { expect } from 'chai';
import fc from 'fast-check';
import { InternalError } from '../../../core/errors.ts';
import { revisionOf, wireRangeOf } from '../../../store/etcd-codec.ts';

describe('store/etcd-codec', () => {
  const inside = (key: Buffer, range: { key: Buffer; range_end?: Buffer }): boolean =>
    range.range_end === undefined
      ? key.equals(range.key)
      : Buffer.compare(key, range.key) >= 0 && Buffer.compare(key, range.range_end) < 0;

  it('makes a prefix the range of exactly the keys that start with it', () => {
    const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(text, text, (prefix, other) => {
        const range = wireRangeOf({ prefix });
        const starts = Buffer.from(other).subarray(0, range.key.length).equals(range.key);
        expect(inside(Buffer.from(other), range)).to.equal(starts);
        expect(inside(Buffer.from(prefix + other), range)).to.equal(true);
      }),
    );
  });

  it('makes the empty prefix everything, as etcd writes it', () => {
    expect(wireRangeOf({ prefix: '' })).to.deep.equal({ key: Buffer.from([0]), range_end: Buffer.from([0]) });
  });

  it('refuses what etcd would read as something else', () => {
    expect(() => wireRangeOf({ key: '' })).to.throw(InternalError);
    expect(() => wireRangeOf({ from: 'a', to: '' })).to.throw(InternalError);
  });

  it('counts revisions up to 2^53', () => {
    expect(revisionOf('9007199254740991')).to.equal(2 ** 53 - 1);
    expect(() => revisionOf('9007199254740993')).to.throw(InternalError, 'beyond 2^53');
  });
});
