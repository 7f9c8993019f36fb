import { expect } from 'chai';
import { Unsupported } from '../../../core/errors.ts';
import { formatIp, parseCidr, parseIp } from '../../../core/ip.ts';
import { DEFAULT_MAC_PREFIX, macOf } from '../../../core/mac.ts';
import { type PreloadPool, planOf } from '../../../links/arp-preload.ts';
import type { NeighbourPlan } from '../../../net/neighbour-plan.ts';

const pool: PreloadPool = {
  subnet: parseCidr('10.1.0.0/28'),
  ranges: [],
  excludes: [],
  macPrefix: DEFAULT_MAC_PREFIX,
  fixedMacs: new Map(),
};
const network = { subnets: [{ subnet: '10.1.0.0/28', gateway: '10.1.0.1' }] };
const endpoint = { address: '10.1.0.7/28' };

/** What the kernel would be told: address → MAC. */
function table({ runs }: NeighbourPlan): Map<string, string> {
  const entries = new Map<string, string>();
  for (const { family, upper, first, last, macHead, macXor } of runs) {
    for (let low = first; low <= last; low++) {
      const value = family === 4 ? BigInt(low) : (BigInt(`0x${upper}`) << 32n) | BigInt(low);
      const digits =
        macHead.toString(16).padStart(4, '0') + ((low ^ macXor) >>> 0).toString(16).padStart(8, '0');
      const address = formatIp({ family, value });
      expect(entries.has(address), `${address} twice`).to.equal(false);
      entries.set(address, digits.replace(/..(?=.)/g, '$&:'));
    }
  }
  return entries;
}

describe('links/arp-preload', () => {
  it('plans every usable address but the gateway and the own one, with MAC = f(IP)', () => {
    const entries = table(planOf(network, endpoint, [pool]));
    expect([...entries.keys()]).to.have.members(
      [2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14].map((n) => `10.1.0.${n}`),
    );
    for (const [address, mac] of entries) expect(mac).to.equal(macOf(DEFAULT_MAC_PREFIX, parseIp(address)));
  });

  it('is a few runs, however large the range', () => {
    const large = { ...pool, subnet: parseCidr('10.1.0.0/16') };
    const plan = planOf({ subnets: [{ subnet: '10.1.0.0/16' }] }, { address: '10.1.9.9/16' }, [large]);
    expect(plan.runs).to.have.length(2);
    expect(table(plan).size).to.equal(65_533);
  });

  it('leaves out what is excluded', () => {
    const { family, value } = parseIp('10.1.0.8');
    const excludes = [{ family, first: value, last: value + 100n }];
    const entries = table(planOf(network, endpoint, [{ ...pool, excludes }]));
    expect([...entries.keys()]).to.deep.equal([2, 3, 4, 5, 6].map((n) => `10.1.0.${n}`));
  });

  it('gives a fixed MAC to its address, also outside of the ranges and for high bytes', () => {
    const { family, value } = parseIp('10.1.0.8');
    const ranges = [{ family, first: value, last: value + 2n }];
    const fixedMacs = new Map([
      ['10.1.0.9', 'fe:dc:ba:98:76:54'],
      ['10.1.0.3', '02:00:00:00:00:03'],
      ['10.9.9.9', '02:00:00:00:00:04'],
    ]);
    expect([...table(planOf(network, endpoint, [{ ...pool, ranges, fixedMacs }]))]).to.deep.equal([
      ['10.1.0.3', '02:00:00:00:00:03'],
      ['10.1.0.8', '02:4c:0a:01:00:08'],
      ['10.1.0.9', 'fe:dc:ba:98:76:54'],
      ['10.1.0.10', '02:4c:0a:01:00:0a'],
    ]);
  });

  it('never plans gateway or own address, even with a fixed MAC', () => {
    const fixedMacs = new Map([
      ['10.1.0.1', '02:00:00:00:00:01'],
      ['10.1.0.7', '02:00:00:00:00:07'],
    ]);
    const entries = table(planOf(network, endpoint, [{ ...pool, fixedMacs }]));
    expect(entries.has('10.1.0.1') || entries.has('10.1.0.7')).to.equal(false);
  });

  it('takes each pool with its own prefix', () => {
    const other = { ...pool, subnet: parseCidr('10.2.0.0/30'), macPrefix: { bytes: [0x0a, 0xff] } as const };
    const entries = table(planOf(network, endpoint, [other, pool]));
    expect(entries.get('10.2.0.1')).to.equal('0a:ff:0a:02:00:01');
    expect(entries.get('10.1.0.2')).to.equal('02:4c:0a:01:00:02');
  });

  it('plans IPv6 only where MACs follow from it, and only small ranges', () => {
    const small = { ...pool, subnet: parseCidr('fd00::7:ffff:fff0/123') };
    const ipv6 = { subnets: [{ subnet: 'fd00::7:ffff:ffe0/123' }] };
    expect(planOf(ipv6, { addressIpv6: 'fd00::7:ffff:fff2/123' }, [small]).runs).to.deep.equal([]);
    const entries = table(
      planOf(ipv6, { addressIpv6: 'fd00::7:ffff:fff2/123' }, [{ ...small, ipv6Only: true }]),
    );
    expect(entries.size).to.equal(30);
    for (const [address, mac] of entries) expect(mac).to.equal(macOf(DEFAULT_MAC_PREFIX, parseIp(address)));
    const large = { ...pool, subnet: parseCidr('fd00::/64'), ipv6Only: true };
    expect(planOf(ipv6, {}, [large]).runs).to.deep.equal([]);
  });

  it('splits an IPv6 range at the border of a /96', () => {
    const { family, value } = parseIp('fd00::7:ffff:fffe');
    const ranges = [{ family, first: value, last: value + 3n }];
    const across = { ...pool, subnet: parseCidr('fd00::/64'), ranges, ipv6Only: true };
    const plan = planOf({ subnets: [] }, {}, [across]);
    expect(plan.runs).to.have.length(2);
    for (const [address, mac] of table(plan)) {
      expect(mac).to.equal(macOf(DEFAULT_MAC_PREFIX, parseIp(address)));
    }
  });

  it('refuses a table that would take too much memory', () => {
    const huge = { ...pool, subnet: parseCidr('10.0.0.0/8') };
    expect(() => planOf({ subnets: [] }, {}, [huge])).to.throw(Unsupported, 'choose arp=responder');
  });
});
