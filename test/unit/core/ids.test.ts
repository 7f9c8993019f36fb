import { expect } from 'chai';
import fc from 'fast-check';
import {
  BRIDGE_MARK,
  endpointIdOfAlias,
  isOurMark,
  linkAliasOf,
  linkNameOf,
  randomId,
  SHIM_MARK,
  shimNameOf,
  shortId,
  VLAN_MARK,
} from '../../../core/ids.ts';

/** IFNAMSIZ − 1 and IFALIASZ − 1 of linux/if.h */
const LONGEST_NAME = 15;
const LONGEST_ALIAS = 255;

describe('core/ids', () => {
  const endpointId = fc.stringMatching(/^[0-9a-f]{64}$/);

  it('makes link names and marks that the kernel takes', () => {
    fc.assert(
      fc.property(endpointId, (id) => {
        expect(linkNameOf(id)).to.match(/^ln[0-9a-f]{12}$/);
        expect(linkNameOf(id).length).to.be.at.most(LONGEST_NAME);
        expect(linkAliasOf(id).length).to.be.at.most(LONGEST_ALIAS);
      }),
    );
  });

  it('finds the endpoint of a mark, and none in a mark of somebody else', () => {
    fc.assert(
      fc.property(endpointId, (id) => {
        expect(endpointIdOfAlias(linkAliasOf(id))).to.equal(id);
      }),
    );
    const id = 'a'.repeat(64);
    const others = ['', 'uplink', 'Lanius:x', ' lanius:x', 'lanius:vlan', 'lanius:', `lanius:${id}a`];
    for (const alias of [...others, `lanius:${id.toUpperCase()}`, `lanius:shim:${id}`]) {
      expect(endpointIdOfAlias(alias)).to.equal(undefined);
    }
  });

  it('tells our marks from those of others', () => {
    for (const mark of [VLAN_MARK, BRIDGE_MARK, SHIM_MARK, linkAliasOf('a'.repeat(64))])
      expect(isOurMark(mark)).to.equal(true);
    for (const alias of ['', 'uplink', 'Lanius:vlan']) expect(isOurMark(alias)).to.equal(false);
  });

  it('names the shim of a parent, whatever its name, and another for another parent', () => {
    for (const parent of ['eth0', 'eth0.4094', 'ä'.repeat(7)])
      expect(shimNameOf(parent)).to.match(/^ls[0-9a-f]{12}$/);
    expect(shimNameOf('eth0')).to.equal(shimNameOf('eth0')).and.not.equal(shimNameOf('eth1'));
  });

  it('shortens ids as docker does', () => {
    expect(shortId('0123456789abcdef')).to.equal('0123456789ab');
  });

  it('makes random ids of the wanted length that differ', () => {
    expect(randomId(3)).to.match(/^[0-9a-f]{6}$/);
    expect(new Set(Array.from({ length: 100 }, () => randomId(8))).size).to.equal(100);
  });
});
