/** The MAC as a function of the address: exact values, no two alike where that is promised. */
import { expect } from 'chai';
import fc from 'fast-check';
import { InvalidRequest } from '../../../core/errors.ts';
import { parseIp } from '../../../core/ip.ts';
import { DEFAULT_MAC_PREFIX, macOf, parseMac, parseMacPrefix } from '../../../core/mac.ts';

describe('core/mac', () => {
  it('is the prefix and the four bytes of an IPv4 address', () => {
    expect(macOf(DEFAULT_MAC_PREFIX, parseIp('10.0.0.7'))).to.equal('02:4c:0a:00:00:07');
    expect(macOf(parseMacPrefix('A6:FF'), parseIp('255.255.255.255'))).to.equal('a6:ff:ff:ff:ff:ff');
  });

  it('gives two IPv4 addresses two MACs', () => {
    const address = fc.bigInt({ min: 0n, max: 0xffff_ffffn });
    fc.assert(
      fc.property(address, address, (a, b) => {
        const macs = [a, b].map((value) => macOf(DEFAULT_MAC_PREFIX, { family: 4, value }));
        return (macs[0] === macs[1]) === (a === b);
      }),
    );
  });

  it('hashes an IPv6 address the same way for ever', () => {
    expect(macOf(DEFAULT_MAC_PREFIX, parseIp('::7'))).to.equal('02:4c:e2:3c:62:b2');
    expect(macOf(DEFAULT_MAC_PREFIX, parseIp('fd00:77::7'))).to.equal('02:4c:e0:23:92:6a');
  });

  it('gives two IPv6 addresses of one /96 two MACs', () => {
    const low = fc.bigInt({ min: 0n, max: 0xffff_ffffn });
    const high = fc.bigInt({ min: 0n, max: (1n << 96n) - 1n });
    fc.assert(
      fc.property(high, low, low, (upper, a, b) => {
        const macs = [a, b].map((tail) =>
          macOf(DEFAULT_MAC_PREFIX, { family: 6, value: (upper << 32n) | tail }),
        );
        return (macs[0] === macs[1]) === (a === b);
      }),
    );
  });

  it('takes only prefixes that are locally administered and unicast', () => {
    for (const good of ['02:4c', 'fe:00', '0A:01', 'c6:ff']) {
      expect(parseMacPrefix(good).bytes, good).to.have.length(2);
    }
    for (const bad of [
      '00:4c',
      '01:4c',
      '03:4c',
      'ff:ff',
      '2:4c',
      '024c',
      '02:4c:00',
      '',
      'zz:zz',
      '02-4c',
    ]) {
      expect(() => parseMacPrefix(bad), bad).to.throw(InvalidRequest, 'MAC prefix');
    }
  });

  it('takes MACs of users in any case and refuses those that no link can have', () => {
    expect(parseMac('02:AA:bb:CC:dd:01')).to.equal('02:aa:bb:cc:dd:01');
    expect(parseMac('02-aa-bb-cc-dd-01')).to.equal('02:aa:bb:cc:dd:01');
    for (const bad of [
      '',
      '02:aa',
      '02:aa:bb:cc:dd:0g',
      '01:00:5e:00:00:01',
      'ff:ff:ff:ff:ff:ff',
      '00:00:00:00:00:00',
    ]) {
      expect(() => parseMac(bad), bad).to.throw(InvalidRequest);
    }
  });
});
