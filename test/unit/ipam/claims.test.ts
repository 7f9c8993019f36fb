import { expect } from 'chai';
import { parseCidr } from '../../../core/ip.ts';
import { claimOf, newPoolId, parsePoolId, poolIdOf } from '../../../ipam/pool/claims.ts';

describe('ipam/claims', () => {
  it('gives equal claims different ids and the first one the same id as ever', () => {
    const subnet = parseCidr('10.77.0.0/16');
    const taken = new Set<string>();
    const first = newPoolId({ subnet }, (id) => taken.has(id));
    taken.add(first);
    const second = newPoolId({ subnet }, (id) => taken.has(id));
    expect([first, second]).to.deep.equal(['10.77.0.0/16#1', '10.77.0.0/16#2']);
  });

  it('reads subnet and range back from an id', () => {
    const id = poolIdOf({ subnet: parseCidr('10.77.0.0/16'), range: parseCidr('10.77.4.0/24') }, 3);
    const { subnet, range } = parsePoolId(id);
    expect(subnet).to.deep.equal(parseCidr('10.77.0.0/16'));
    expect(range).to.deep.equal(parseCidr('10.77.4.0/24'));
    expect(parsePoolId('fd00::/64#1').subnet).to.deep.equal(parseCidr('fd00::/64'));
  });

  it('refuses ids that it did not make', () => {
    for (const id of [
      '',
      '10.0.0.0/16',
      'x#1',
      '10.0.0.0/16#',
      '10.0.0.0/16,#1',
      '#1',
      '10.0.0.0/16;range=#1',
      '10.0.0.0/16;sticky=1#1',
    ]) {
      expect(() => parsePoolId(id), id).to.throw();
    }
  });

  it('reads range name and stickiness back from an id, and makes the record from it', () => {
    const terms = {
      subnet: parseCidr('10.77.0.0/16'),
      range: parseCidr('10.77.4.0/24'),
      rangeName: 'web.1',
      sticky: false,
    };
    const id = poolIdOf(terms, 2);
    expect(id).to.equal('10.77.0.0/16,10.77.4.0/24;range=web.1;sticky=false#2');
    expect(parsePoolId(id)).to.deep.equal(terms);
    expect(claimOf(id, 7)).to.deep.equal({
      v: 1,
      poolId: id,
      subnet: '10.77.0.0/16',
      range: '10.77.4.0/24',
      rangeName: 'web.1',
      sticky: false,
      held: [],
      createdAt: 7,
    });
    expect(parsePoolId('fd00::/64;sticky=true#1').sticky).to.equal(true);
  });
});
