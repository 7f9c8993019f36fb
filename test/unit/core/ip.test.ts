import { expect } from 'chai';
import fc from 'fast-check';
import { InvalidRequest } from '../../../core/errors.ts';
import {
  type Cidr,
  cidrContains,
  cidrHas,
  cidrRange,
  cidrSize,
  cidrsOverlap,
  formatCidr,
  formatIp,
  type IpAddress,
  ipFromHex,
  ipToHex,
  parseCidr,
  parseInterface,
  parseIp,
  rangeHas,
  rangeIntersection,
  rangeSize,
  subnetOf,
  usableRange,
} from '../../../core/ip.ts';

const ipv4: fc.Arbitrary<IpAddress> = fc
  .bigInt({ min: 0n, max: 2n ** 32n - 1n })
  .map((value) => ({ family: 4, value }));
const ipv6: fc.Arbitrary<IpAddress> = fc
  .bigInt({ min: 0n, max: 2n ** 128n - 1n })
  .map((value) => ({ family: 6, value }));
const address = fc.oneof(ipv4, ipv6);
const subnet: fc.Arbitrary<Cidr> = fc.oneof(
  fc.tuple(ipv4, fc.integer({ min: 0, max: 32 })).map(([ip, length]) => subnetOf(ip, length)),
  fc.tuple(ipv6, fc.integer({ min: 0, max: 128 })).map(([ip, length]) => subnetOf(ip, length)),
);
const range = fc
  .tuple(ipv4, ipv4)
  .map(([{ value: a }, { value: b }]) => ({ family: 4 as const, first: a < b ? a : b, last: a < b ? b : a }));

describe('core/ip', () => {
  it('reads what it wrote', () => {
    fc.assert(
      fc.property(address, (ip) => {
        expect(parseIp(formatIp(ip))).to.deep.equal(ip);
      }),
    );
    fc.assert(
      fc.property(subnet, (cidr) => {
        expect(parseCidr(formatCidr(cidr))).to.deep.equal(cidr);
      }),
    );
    fc.assert(
      fc.property(address, (ip) => {
        expect(ipFromHex(ipToHex(ip))).to.deep.equal(ip);
      }),
    );
  });

  it('writes IPv6 as RFC 5952 says', () => {
    for (const [text, canonical] of [
      ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
      ['fd00:0000::7', 'fd00::7'],
      ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ] as const) {
      expect(formatIp(parseIp(text))).to.equal(canonical);
    }
  });

  for (const text of [
    '',
    '1',
    '10.1',
    '010.0.0.1',
    '10.0.0.256',
    '10.0.0.1/8',
    'fe80::1%eth0',
    '1.2.3.4.5',
    'x',
    '0x10.0.0.1',
    ' 10.0.0.1',
    '1::2::3',
  ]) {
    it(`refuses the address "${text}"`, () => {
      expect(() => parseIp(text)).to.throw(InvalidRequest, 'is not an IP address');
    });
  }

  for (const text of [
    '10.0.0.0',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/08',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    'fd00::/129',
    '/8',
  ]) {
    it(`refuses the subnet "${text}"`, () => {
      expect(() => parseCidr(text)).to.throw(InvalidRequest);
    });
  }

  it('never throws anything but InvalidRequest, and never prints control characters', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseCidr(text);
        } catch (error) {
          expect(error).to.be.instanceOf(InvalidRequest);
          expect((error as Error).message).to.match(/^[\x20-\x7e]*$/);
        }
      }),
    );
  });

  it('clears the host bits of a subnet and keeps them in an interface address', () => {
    expect(formatCidr(parseCidr('10.1.2.3/16'))).to.equal('10.1.0.0/16');
    const { address: ip, subnet: cidr } = parseInterface('10.1.2.3/16');
    expect([formatIp(ip), formatCidr(cidr)]).to.deep.equal(['10.1.2.3', '10.1.0.0/16']);
  });

  it('counts as many addresses as the range has, and all of them are inside', () => {
    fc.assert(
      fc.property(subnet, (cidr) => {
        const all = cidrRange(cidr);
        expect(rangeSize(all)).to.equal(cidrSize(cidr));
        expect(cidrHas(cidr, { family: cidr.family, value: all.first })).to.equal(true);
        expect(cidrHas(cidr, { family: cidr.family, value: all.last })).to.equal(true);
        expect(cidrHas(cidr, { family: cidr.family, value: all.last + 1n })).to.equal(false);
      }),
    );
  });

  for (const [text, first, last] of [
    ['10.0.0.0/24', '10.0.0.1', '10.0.0.254'],
    ['10.0.0.0/30', '10.0.0.1', '10.0.0.2'],
    ['10.0.0.0/31', '10.0.0.0', '10.0.0.1'],
    ['10.0.0.7/32', '10.0.0.7', '10.0.0.7'],
    ['fd00::/64', 'fd00::1', 'fd00::ffff:ffff:ffff:ffff'],
    ['fd00::/127', 'fd00::', 'fd00::1'],
    ['fd00::7/128', 'fd00::7', 'fd00::7'],
  ] as const) {
    it(`gives ${first} to ${last} of ${text} to hosts`, () => {
      const usable = usableRange(parseCidr(text));
      const ends = [usable.first, usable.last].map((value) => formatIp({ family: usable.family, value }));
      expect(ends).to.deep.equal([first, last]);
    });
  }

  it('keeps the order of addresses in the order of hex keys', () => {
    fc.assert(
      fc.property(ipv4, ipv4, (a, b) => {
        expect(ipToHex(a) < ipToHex(b)).to.equal(a.value < b.value);
      }),
    );
    fc.assert(
      fc.property(ipv6, ipv6, (a, b) => {
        expect(ipToHex(a) < ipToHex(b)).to.equal(a.value < b.value);
      }),
    );
    for (const hex of ['', 'xyz', '0a0000', '0A000001', `${'0'.repeat(33)}`]) {
      expect(() => ipFromHex(hex)).to.throw(InvalidRequest);
    }
  });

  it('finds an address in the common part of two ranges exactly if both have it', () => {
    fc.assert(
      fc.property(range, range, ipv4, (a, b, ip) => {
        expect(rangeHas(rangeIntersection(a, b), ip)).to.equal(rangeHas(a, ip) && rangeHas(b, ip));
      }),
    );
    const other = { family: 6 as const, first: 0n, last: 9n };
    expect(rangeSize(rangeIntersection({ family: 4, first: 0n, last: 9n }, other))).to.equal(0n);
  });

  it('sees two subnets overlap exactly if one contains the other, in both orders', () => {
    fc.assert(
      fc.property(subnet, subnet, (a, b) => {
        expect(cidrsOverlap(a, b)).to.equal(cidrsOverlap(b, a));
        expect(cidrsOverlap(a, b)).to.equal(rangeSize(rangeIntersection(cidrRange(a), cidrRange(b))) > 0n);
      }),
    );
  });

  it('contains the narrower subnets of an address only', () => {
    fc.assert(
      fc.property(ipv4, fc.integer({ min: 0, max: 32 }), fc.integer({ min: 0, max: 32 }), (ip, a, b) => {
        expect(cidrContains(subnetOf(ip, a), subnetOf(ip, b))).to.equal(a <= b);
      }),
    );
  });

  it('never mixes the families', () => {
    expect(cidrHas(parseCidr('0.0.0.0/0'), parseIp('::1'))).to.equal(false);
    expect(cidrsOverlap(parseCidr('0.0.0.0/0'), parseCidr('::/0'))).to.equal(false);
  });
});
