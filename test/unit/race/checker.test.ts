import { expect } from 'chai';
import { formatIp, parseCidr, parseIp } from '../../../core/ip.ts';
import type { KeyValue } from '../../../store/kv.ts';
import { layoutOf } from '../../../store/layout.ts';
import type { LeaseValue } from '../../../store/schema.ts';
import { type Held, heldThroughout, indexFaults, leaks, missing, replay } from '../../race/checker.ts';
import type { RaceEvent } from '../../race/history.ts';

const layout = layoutOf('/test/');
const subnet = parseCidr('10.0.0.0/24');
const A = '10.0.0.7';
const B = '10.0.0.8';

const took = (host: string, call: number, address: string): RaceEvent => ({
  what: 'take answered',
  host,
  call,
  address,
});
const gaveUp = (host: string, call: number, address: string): RaceEvent => ({
  what: 'release asked',
  host,
  call,
  address,
});

function lease(host: string, address: string, more: Partial<LeaseValue> = {}) {
  const value = { v: 1, state: 'bound', host, request: 'i.1', bootId: 'b', at: 0, ...more } as const;
  const kv = (key: string): KeyValue => ({
    key,
    value: JSON.stringify(value),
    createRevision: 5,
    modRevision: 5,
  });
  const ip = parseIp(address);
  return { lease: kv(layout.lease(subnet, ip)), index: kv(layout.byHostLease(host, subnet, ip)) };
}

const heldBy = (...entries: readonly [string, string][]): Held =>
  new Map(entries.map(([address, host], i) => [address, { host, call: i + 1 }]));
const texts = (faults: readonly { readonly address: string; readonly text: string }[]) =>
  faults.map(({ address, text }) => `${address} ${text}`);

describe('race/checker', () => {
  it('finds an address that is given to a second host before its release was asked', () => {
    const { faults } = replay([took('h1', 1, A), took('h2', 2, A)]);
    expect(texts(faults)).to.deep.equal([`${A} given to h2 (call 2) while h1 (call 1) held it`]);
  });

  it('finds an address that one host gives twice, and one of the filler', () => {
    expect(replay([took('h1', 1, A), took('h1', 2, A)]).faults).to.have.length(1);
    expect(replay([took('h1', 1, A)], heldBy([A, 'filler'])).faults).to.have.length(1);
  });

  it('allows an address from the moment that its release was asked, answered or not', () => {
    const { faults, held } = replay([took('h1', 1, A), gaveUp('h1', 2, A), took('h2', 3, A)]);
    expect(faults).to.deep.equal([]);
    expect([...held]).to.deep.equal([[A, { host: 'h2', call: 3 }]]);
  });

  it('holds what was answered and not released, over the death of the host', () => {
    const { held } = replay([took('h1', 1, A), { what: 'host killed', host: 'h1' }, took('h2', 2, B)]);
    expect([...held.keys()]).to.deep.equal([A, B]);
  });

  it('does not count as held throughout what was released and taken again meanwhile', () => {
    const before: Held = new Map([[A, { host: 'h1', call: 1 }]]);
    expect(heldThroughout(before, new Map([[A, { host: 'h1', call: 9 }]])).size).to.equal(0);
    expect(heldThroughout(before, before).size).to.equal(1);
  });

  it('finds held addresses that etcd gives to nobody or to another host', () => {
    const held = heldBy([A, 'h1'], [B, 'h1']);
    const snapshot = { leases: [lease('h2', B).lease], index: [] };
    expect(texts(missing(held, snapshot, layout))).to.deep.equal([
      `${A} held by h1 (call 1), but in etcd nobody has it`,
      `${B} held by h1 (call 2), but in etcd h2 has it`,
    ]);
  });

  it('finds leases that nobody holds', () => {
    const snapshot = { leases: [lease('h1', A).lease, lease('h1', B).lease], index: [] };
    expect(texts(leaks(heldBy([A, 'h1']), snapshot, layout))).to.deep.equal([
      `${B} nobody holds it, but in etcd h1 has it`,
    ]);
  });

  it('finds nothing where the index is the leases, reserved ones aside', () => {
    const [one, two] = [lease('h1', A), lease('h2', B, { state: 'reserved', role: 'gateway' })];
    expect(indexFaults({ leases: [one.lease, two.lease], index: [one.index] }, layout)).to.deep.equal([]);
  });

  it('finds an index entry without a lease, one of another host, one with other bytes, and one that is missing', () => {
    const [one, other] = [lease('h1', A), lease('h2', A)];
    const changed = { ...one.index, value: one.index.value.replace('i.1', 'i.2') };
    const found = (leases: KeyValue[], index: KeyValue[]) =>
      indexFaults({ leases, index }, layout).map(({ text }) => text.replace(/:.*/, ''));
    const key = layout.byHostLease('h1', subnet, parseIp(A));
    expect(found([], [one.index])).to.deep.equal([`${key} stands for no lease`]);
    expect(found([one.lease], [changed])).to.deep.equal([`${key} differs from its lease`]);
    expect(found([one.lease], [])).to.deep.equal([`${key} is missing`]);
    expect(found([one.lease], [other.index])).to.have.length(2);
    expect(formatIp(layout.addressOf(key).address)).to.equal(A);
  });
});
