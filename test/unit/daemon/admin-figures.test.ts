import { expect } from 'chai';
import { bandwidthOf } from '../../../daemon/admin-figures.ts';

describe('daemon/admin-figures', () => {
  it('tells what is declared from what a link says, by direction, with the overcommit', () => {
    const of = (capacity?: number) =>
      capacity === undefined ? { committed: 1 } : { capacity, committed: 1 };
    const figures = [
      { parent: 'eth0', in: of(10), out: of(5) },
      { parent: 'eth1', in: of(), out: of() },
      { parent: 'eth2', in: of(7), out: of() },
    ];
    const declared = (parent: string) => (parent === 'eth0' ? { out: 5 } : {});
    const committed = { committedInBitsPerSecond: 1, committedOutBitsPerSecond: 1 };
    expect(bandwidthOf(figures, declared, 2)).to.deep.equal([
      {
        parent: 'eth0',
        capacityInBitsPerSecond: 20,
        capacityOutBitsPerSecond: 10,
        declaredOutBitsPerSecond: 10,
        ...committed,
      },
      { parent: 'eth2', capacityInBitsPerSecond: 14, ...committed },
    ]);
  });
});
