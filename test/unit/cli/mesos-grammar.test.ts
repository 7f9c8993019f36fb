import { expect } from 'chai';
import fc from 'fast-check';
import {
  attributesOf,
  formatAttributes,
  formatResources,
  type MesosWords,
  resourcesOf,
} from '../../../cli/mesos-grammar.ts';
import type { HostFiguresReply } from '../../../plugin/wire/admin-mesos.ts';
import { readAttributes, readResources } from '../../support/mesos-grammar.ts';

const WORDS: MesosWords = {
  ips: 'ips',
  netIn: 'net_in',
  netOut: 'net_out',
  role: '*',
  total: false,
  named: false,
};
const NEGOTIATED = {
  parent: 'eth0',
  capacityInBitsPerSecond: 1e9,
  capacityOutBitsPerSecond: 1e9,
  committedInBitsPerSecond: 100e6,
  committedOutBitsPerSecond: 500_500,
};
const BANDWIDTH = { ...NEGOTIATED, declaredInBitsPerSecond: 1e9, declaredOutBitsPerSecond: 1e9 };
const FIGURES: HostFiguresReply = {
  addresses: [
    { pool: '10.77.0.0/16', name: 'flat', total: 200, held: 3, free: 37 },
    { pool: '10.78.0.0/24', total: 100, held: 100, free: 0 },
    { pool: 'fd00::/64', total: 10, held: 0, free: 10 },
  ],
  bandwidth: [BANDWIDTH, { ...BANDWIDTH, parent: 'eth1', committedInBitsPerSecond: 2e9 }],
};
const text = (figures: HostFiguresReply, words = WORDS): string =>
  formatResources(resourcesOf(figures, words));

describe('cli/mesos-grammar', () => {
  it('prints what the documented grammar reads as the same', () => {
    expect(text(FIGURES)).to.equal('net_in(*):900;net_out(*):1998.999;ips(*):37');
    expect(readResources(text(FIGURES))).to.deep.equal([
      { name: 'net_in', role: '*', value: { scalar: 900 } },
      { name: 'net_out', role: '*', value: { scalar: 1998.999 } },
      { name: 'ips', role: '*', value: { scalar: 37 } },
    ]);
    const other = { ...WORDS, ips: 'flat/ips', netIn: 'in', netOut: 'out', role: 'prod-1', total: true };
    expect(readResources(text(FIGURES, other))).to.deep.equal([
      { name: 'in', role: 'prod-1', value: { scalar: 2000 } },
      { name: 'out', role: 'prod-1', value: { scalar: 2000 } },
      { name: 'flat/ips', role: 'prod-1', value: { scalar: 300 } },
    ]);
    expect(text({ addresses: FIGURES.addresses })).to.equal('ips(*):37');
  });

  it('gives an agent only the bandwidth that is declared, by direction, whatever a link has negotiated', () => {
    const bandwidth = [
      { ...NEGOTIATED, declaredInBitsPerSecond: 4e8 },
      { ...NEGOTIATED, parent: 'eth1', capacityOutBitsPerSecond: 1e8 },
    ];
    const figures = { addresses: FIGURES.addresses, bandwidth };
    expect(text(figures, { ...WORDS, total: true })).to.equal('net_in(*):400;ips(*):300');
    expect(text(figures)).to.equal('net_in(*):1800;net_out(*):1098.999;ips(*):37');
  });

  it('counts IPv6 pools only where they are named, and prints no number that Mesos cannot read', () => {
    const addresses = [{ pool: 'fd00::/64', total: Number(2n ** 64n), held: 0, free: Number(2n ** 64n) - 5 }];
    const both = { addresses: [...FIGURES.addresses.slice(0, 1), ...addresses] };
    expect(text(both)).to.equal('ips(*):37');
    const named = text(both, { ...WORDS, named: true });
    expect(readResources(named)[0]?.value).to.deep.equal({ scalar: 9_007_199_254_740 });
    expect(text({ addresses }, { ...WORDS, named: true, total: true })).to.equal('ips(*):9007199254740');
  });

  it('has the JSON form that the agent reads', () => {
    expect(resourcesOf({ addresses: FIGURES.addresses }, { ...WORDS, role: 'prod' })).to.deep.equal([
      { name: 'ips', type: 'SCALAR', scalar: { value: 37 }, role: 'prod' },
    ]);
  });

  it('prints attributes that the documented grammar reads as texts', () => {
    const printed = formatAttributes(attributesOf(FIGURES, false));
    expect(printed).to.equal('lanius_flat:free;lanius_10.78.0.0-24:full;lanius_fd00..-64:free');
    expect(readAttributes(printed).map(({ value }) => value)).to.deep.equal([
      { text: 'free' },
      { text: 'full' },
      { text: 'free' },
    ]);
    expect(formatAttributes(attributesOf(FIGURES, true))).to.match(/^lanius_flat:yes;/);
  });

  it('never prints a rate that the grammar cannot read, nor more than there is', () => {
    const bits = fc.integer({ min: 0, max: 200e9 });
    fc.assert(
      fc.property(bits, bits, fc.nat(), (capacity, committed, free) => {
        const figures = {
          addresses: [{ pool: '10.77.0.0/16', total: free, held: 0, free }],
          bandwidth: [
            { ...BANDWIDTH, capacityInBitsPerSecond: capacity, committedInBitsPerSecond: committed },
          ],
        };
        const [netIn, , ips] = readResources(text(figures));
        expect(ips?.value).to.deep.equal({ scalar: free });
        const value = netIn !== undefined && 'scalar' in netIn.value ? netIn.value.scalar : Number.NaN;
        expect(value * 1e6).to.be.at.most(Math.max(0, capacity - committed) + 1e-3);
        expect(value).to.equal(Math.round(value * 1000) / 1000);
      }),
    );
  });

  it('refuses names that Mesos cannot read', () => {
    for (const words of [{ ips: 'a b' }, { netIn: 'a:b' }, { role: 'a;b' }, { netOut: '' }])
      expect(() => text(FIGURES, { ...WORDS, ...words })).to.throw(/for Mesos: use letters/);
  });
});

describe('test/support/mesos-grammar', () => {
  it("reads the examples of Mesos' own documentation, and nothing that does not fit", () => {
    const example =
      'cpus:24;gpus:2;mem:24576;disk:409600;ports:[21000-24000,30000-34000];bugs(debug_role):{a,b,c}';
    expect(readResources(example)).to.have.length(6);
    expect(readResources(example).at(-1)).to.deep.equal({
      name: 'bugs',
      role: 'debug_role',
      value: { set: ['a', 'b', 'c'] },
    });
    const attributes = readAttributes('rack:abc;zone:west;os:centos5;level:10;keys:[1000-1500]');
    expect(attributes.slice(3)).to.deep.equal([
      { name: 'level', value: { scalar: 10 } },
      { name: 'keys', value: { ranges: [[1000, 1500]] } },
    ]);
    for (const wrong of [
      '',
      'ips',
      'ips:',
      'ips:x',
      'ips:-1',
      'ips:1;',
      'ips:1\n',
      'ips(:1',
      'ips(a b):1',
      'ips:1e3',
    ])
      expect(() => readResources(wrong), wrong).to.throw(/is wanted at character/);
  });
});
