/** The responder's maps in bytes. */
import { expect } from 'chai';
import fc from 'fast-check';
import { InvalidRequest } from '../../../../core/errors.ts';
import {
  answersOf,
  digestOf,
  leasedOf,
  networkEntry,
  prefixesOf,
  readNetworkEntry,
  slotOf,
} from '../../../../net/bpf/responder-layout.ts';
import type { NeighbourRun } from '../../../../net/neighbour-plan.ts';

const LAST = 0xffff_ffff;

function run(first: number, last: number, more: Partial<NeighbourRun> = {}): NeighbourRun {
  return { family: 4, upper: '', first, last, macHead: 0x024c, macXor: 0, ...more };
}

describe('net/bpf/responder-layout', () => {
  it('covers a range with blocks that lie side by side, each at a multiple of its size', () => {
    const address = fc.integer({ min: 0, max: LAST });
    fc.assert(
      fc.property(address, address, (a, b) => {
        let next = Math.min(a, b);
        for (const { first, bits } of prefixesOf(Math.min(a, b), Math.max(a, b))) {
          const size = 2 ** (32 - bits);
          expect(first).to.equal(next);
          expect(first % size).to.equal(0);
          next += size;
        }
        expect(next).to.equal(Math.max(a, b) + 1);
      }),
    );
    expect([...prefixesOf(0, LAST)]).to.deep.equal([{ first: 0, bits: 0 }]);
    expect([...prefixesOf(5, 5)]).to.deep.equal([{ first: 5, bits: 32 }]);
    expect([...prefixesOf(0x0a00_0000, 0x0a00_ffff)]).to.deep.equal([{ first: 0x0a00_0000, bits: 16 }]);
  });

  it('writes an answer as the program reads it', () => {
    const answers = answersOf(0x1234, [run(0x0a4d_0100, 0x0a4d_01ff), run(9, 9, { macXor: 0x0102_0304 })]);
    expect([...answers]).to.deep.equal([
      ['38000000' + '34120000' + '0a4d0100', '024c' + '00000000' + '0000'],
      ['40000000' + '34120000' + '00000009', '024c' + '01020304' + '0000'],
    ]);
    const [key = ''] = answers.keys();
    expect(slotOf('answers', Buffer.from(key, 'hex'))).to.equal(0x1234);
  });

  it('has no answers for IPv6, and no digest of it either', () => {
    const ipv6 = run(1, 9, { family: 6, upper: 'fd'.repeat(12) });
    expect(answersOf(1, [ipv6]).size).to.equal(0);
    expect(digestOf([ipv6, run(1, 2)])).to.equal(digestOf([run(1, 2)]));
    expect(digestOf([run(1, 2)]))
      .to.match(/^[0-9a-f]{32}$/)
      .and.not.equal(digestOf([run(1, 3)]));
  });

  it('reads the network that it wrote, and refuses what is no id', () => {
    const entry = { networkId: 'ab'.repeat(32), digest: '01'.repeat(16), leasedUntilNs: 12_345_678_901n };
    expect(networkEntry(entry).length).to.equal(56);
    expect(readNetworkEntry(networkEntry(entry))).to.deep.equal(entry);
    expect(() => networkEntry({ ...entry, networkId: 'eth0' })).to.throw(InvalidRequest, 'eth0');
  });

  it('has one bit for each leased address, and none for blocks without any', () => {
    const one = leasedOf(7, new Map(), [0x0a4d_0100, 0x0a4d_010a, 0x0a4d_01ff], []);
    expect([...one]).to.deep.equal([['070000000a4d0100', `0104${'00'.repeat(29)}80`]]);
    const two = leasedOf(7, one, [0xc0a8_0001], [0x0a4d_0100, 0x0a4d_010a]);
    expect(Object.fromEntries(two)).to.deep.equal({
      '070000000a4d0100': `${'00'.repeat(31)}80`,
      '07000000c0a80000': `02${'00'.repeat(31)}`,
    });
    expect(leasedOf(7, two, [], [0x0a4d_01ff, 0xc0a8_0001, 5]).size).to.equal(0);
    expect(slotOf('leased', Buffer.from([...one.keys()][0] ?? '', 'hex'))).to.equal(7);
  });

  it('keeps a leased address that is taken and given in one change', () => {
    expect(leasedOf(1, new Map(), [4], [4]).size).to.equal(1);
  });
});
