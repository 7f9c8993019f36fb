import { expect } from 'chai';
import { formatIp, parseCidr } from '../../../core/ip.ts';
import { choiceRange, newPoolId, parsePoolId, poolIdOf } from '../../../ipam/claims.ts';

describe('ipam/claims', () => {
  it('gives equal claims different ids and the first one the same id as ever', () => {
    const subnet = parseCidr('10.77.0.0/16');
    const taken = new Set<string>();
    const first = newPoolId(subnet, undefined, (id) => taken.has(id));
    taken.add(first);
    const second = newPoolId(subnet, undefined, (id) => taken.has(id));
    expect([first, second]).to.deep.equal(['10.77.0.0/16#1', '10.77.0.0/16#2']);
  });

  it('reads subnet and range back from an id', () => {
    const id = poolIdOf(parseCidr('10.77.0.0/16'), parseCidr('10.77.4.0/24'), 3);
    const { subnet, range } = parsePoolId(id);
    expect(subnet).to.deep.equal(parseCidr('10.77.0.0/16'));
    expect(range).to.deep.equal(parseCidr('10.77.4.0/24'));
    expect(parsePoolId('fd00::/64#1').subnet).to.deep.equal(parseCidr('fd00::/64'));
  });

  it('refuses ids that it did not make', () => {
    for (const id of ['', '10.0.0.0/16', 'x#1', '10.0.0.0/16#', '10.0.0.0/16,#1', '#1']) {
      expect(() => parsePoolId(id), id).to.throw();
    }
  });

  it('chooses inside range and subnet, without network and broadcast address', () => {
    const ends = (subnet: string, range?: string) => {
      const { family, first, last } = choiceRange(
        parseCidr(subnet),
        range === undefined ? undefined : parseCidr(range),
      );
      return [formatIp({ family, value: first }), formatIp({ family, value: last })];
    };
    expect(ends('10.0.0.0/24')).to.deep.equal(['10.0.0.1', '10.0.0.254']);
    expect(ends('10.0.0.0/24', '10.0.0.0/25')).to.deep.equal(['10.0.0.1', '10.0.0.127']);
    expect(ends('10.0.0.0/16', '10.0.9.0/24')).to.deep.equal(['10.0.9.0', '10.0.9.255']);
    expect(ends('10.0.0.6/31')).to.deep.equal(['10.0.0.6', '10.0.0.7']);
  });
});
