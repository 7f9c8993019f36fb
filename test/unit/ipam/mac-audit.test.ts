import { expect } from 'chai';
import { formatIp, parseCidr } from '../../../core/ip.ts';
import { DEFAULT_MAC_PREFIX } from '../../../core/mac.ts';
import { type AuditedPool, sharedMacs } from '../../../ipam/mac/mac-audit.ts';

const pool = (subnet: string, fixedMacs: Readonly<Record<string, string>> = {}): AuditedPool => ({
  subnet: parseCidr(subnet),
  macPrefix: DEFAULT_MAC_PREFIX,
  fixedMacs: new Map(Object.entries(fixedMacs)),
});

describe('ipam/mac/mac-audit', () => {
  it('finds nothing where every fixed MAC is somebody’s own', () => {
    const fixed = { '10.1.0.5': '02:aa:00:00:00:01', '10.1.0.6': '02:aa:00:00:00:02' };
    expect(sharedMacs([pool('10.1.0.0/16', fixed), pool('10.2.0.0/16')])).to.deep.equal([]);
  });

  it('finds two that a user gave twice, in one pool or in two of a segment', () => {
    const mac = '02:aa:00:00:00:01';
    const [found] = sharedMacs([
      pool('10.1.0.0/16', { '10.1.0.5': mac }),
      pool('10.2.0.0/16', { '10.2.0.5': mac }),
    ]);
    expect(found).to.deep.equal({ mac, addresses: ['10.1.0.5', '10.2.0.5'], ifLeased: [] });
  });

  it('names the address whose own MAC a user has given to another', () => {
    const [found] = sharedMacs([pool('10.1.0.0/16', { '10.1.0.5': '02:4c:0a:01:00:09' })]);
    expect(found?.addresses).to.deep.equal(['10.1.0.5']);
    expect(found?.ifLeased.map(({ address }) => formatIp(address))).to.deep.equal(['10.1.0.9']);
  });

  it('does not count an address that has another MAC by exception itself', () => {
    const fixed = { '10.1.0.5': '02:4c:0a:01:00:09', '10.1.0.9': '02:4c:0a:01:00:05' };
    expect(sharedMacs([pool('10.1.0.0/16', fixed)])).to.deep.equal([]);
    expect(sharedMacs([pool('10.2.0.0/16', { '10.2.0.5': '02:4c:0a:01:00:09' })])).to.deep.equal([]);
  });
});
