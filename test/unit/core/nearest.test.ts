import { expect } from 'chai';
import { nearest, suggestion } from '../../../core/nearest.ts';

describe('core/nearest', () => {
  const known = ['parent', 'macPrefix', 'network', 'ip', 'ls'];

  for (const [word, meant] of [
    ['parnet', 'parent'],
    ['paren', 'parent'],
    ['parentt', 'parent'],
    ['PARENT', 'parent'],
    ['mac_prefix', 'macPrefix'],
    ['l', 'ls'],
    ['pi', 'ip'],
  ] as const) {
    it(`takes "${word}" for "${meant}"`, () => {
      expect(nearest(word, known)).to.equal(meant);
    });
  }

  for (const word of ['', 'bridge', 'xyz', 'gateway']) {
    it(`does not guess what "${word}" means`, () => {
      expect(nearest(word, known)).to.equal(undefined);
    });
  }

  it('asks in words', () => {
    expect(suggestion('parnet', known)).to.equal(', did you mean "parent"?');
    expect(suggestion('bridge', known)).to.equal('');
  });
});
