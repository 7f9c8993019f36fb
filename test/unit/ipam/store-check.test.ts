import { expect } from 'chai';
import { checkStore } from '../../../ipam/upkeep/store-check.ts';
import { parseEntry } from '../../../ipam/upkeep/store-format.ts';
import { parseStoreKey } from '../../../ipam/upkeep/store-keys.ts';
import type { KeyValue } from '../../../store/kv.ts';
import { layoutOf } from '../../../store/layout.ts';

const layout = layoutOf('/x/');
const kv = (path: string, value: unknown, modRevision = 1): KeyValue => ({
  key: `/x/${path}`,
  value: typeof value === 'string' ? value : JSON.stringify(value),
  createRevision: 1,
  modRevision,
});
const lease = { v: 1, state: 'bound', host: 'h1', request: 'i.1', bootId: 'b', at: 1 };
const host = kv('hosts/h1', { v: 1, machineId: 'm', hostname: 'h1', version: '0', firstSeenAt: 1 });
const pool = kv('pools/10.0.0.0-24', { v: 1, subnet: '10.0.0.0/24', madeBy: 'h1', at: 1 });
const codes = (...kvs: KeyValue[]): string[] =>
  checkStore(layout, [host, pool, ...kvs], 1).map(({ code }) => code);

describe('ipam/store-check, pure', () => {
  it('finds nothing in an empty store, nor in a whole one', () => {
    expect(checkStore(layout, [], 1)).to.deep.equal([]);
    expect(
      codes(kv('leases/10.0.0.0-24/0a000005', lease), kv('by-host/h1/10.0.0.0-24/0a000005', lease)),
    ).to.deep.equal([]);
  });

  it('compares also the revisions of lease and index entry', () => {
    const found = codes(
      kv('leases/10.0.0.0-24/0a000005', lease, 2),
      kv('by-host/h1/10.0.0.0-24/0a000005', lease, 1),
    );
    expect(found).to.deep.equal(['index-differs']);
  });

  it('takes network and broadcast address for unusable, but not for a gateway', () => {
    for (const hex of ['0a000000', '0a0000ff', '0b000001']) {
      const found = codes(kv(`leases/10.0.0.0-24/${hex}`, lease), kv(`by-host/h1/10.0.0.0-24/${hex}`, lease));
      expect(found).to.deep.equal(['outside-pool']);
    }
    const gateway = { ...lease, state: 'reserved', role: 'gateway' };
    const hold = kv('holds/10.0.0.0-24/0a0000ff/h1', { v: 1 });
    expect(codes(kv('leases/10.0.0.0-24/0a0000ff', gateway), hold)).to.deep.equal([]);
  });

  it('lets an address of another family in two pools be', () => {
    const pool6 = kv('pools/fd00::-64', { v: 1, subnet: 'fd00::/64', madeBy: 'h1', at: 1 });
    const both = { ...lease, endpointId: 'e' };
    const hex6 = 'fd000000000000000000000000000005';
    const found = codes(
      pool6,
      kv('leases/10.0.0.0-24/0a000005', both),
      kv('by-host/h1/10.0.0.0-24/0a000005', both),
      kv(`leases/fd00::-64/${hex6}`, both),
      kv(`by-host/h1/fd00::-64/${hex6}`, both),
    );
    expect(found).to.deep.equal([]);
  });

  it('knows its keys, and nothing else', () => {
    expect(parseStoreKey('leases/10.0.0.0-24/0a000005')).to.deep.equal({
      kind: 'lease',
      pool: '10.0.0.0-24',
      hex: '0a000005',
    });
    for (const path of [
      '',
      'x',
      'leases/10.0.0.0-24',
      'leases/10.0.0.1-24/0a000005',
      'leases/10.0.0.0-24/5',
      'pools/',
      'hosts/a/b',
    ]) {
      expect(parseStoreKey(path), path).to.equal(undefined);
    }
    expect(codes(kv('leases/10.0.0.0-24/zz', lease))).to.deep.equal(['unknown-key']);
  });

  it('finds limits that cannot be read, and keys that are none', () => {
    const limit = (path: string, value: unknown) => kv(`limits/${path}`, value);
    const good = { v: 1, rate: '10mbit' };
    expect(codes(limit('name/web/in', good), limit('host/h1/web/out', { v: 1, rate: 'none' }))).to.deep.equal(
      [],
    );
    const found = checkStore(
      layout,
      [
        limit('name/web/in', { v: 1, rate: '10mbps' }),
        limit('host/h1/web/out', '{'),
        limit('name/web/up', good),
      ],
      1,
    );
    expect(found.map(({ code, object }) => [code, object])).to.deep.equal([
      ['damaged-value', 'limit net_in of web'],
      ['damaged-value', 'limit net_out of web on host h1'],
      ['unknown-key', '/x/limits/name/web/up'],
    ]);
    expect(found[0]?.problem).to.match(/^it is passed over: rate: rate "10mbps" may mean/);
    expect(found[1]?.advice).to.include('lanius limit rm web --out --host h1');
    expect(found[2]?.problem).to.include('no limit has such a key');
    const bandwidth = { v: 1, at: 1, parents: {} };
    expect(codes(kv('bandwidth/h1', bandwidth))).to.deep.equal([]);
    const [damaged] = checkStore(layout, [kv('bandwidth/h1', '5')], 1);
    expect(damaged?.repair?.edits).to.deep.equal([{ key: '/x/bandwidth/h1', before: '5' }]);
  });

  it('takes no line for an entry that is none', () => {
    for (const line of [
      '',
      '{}',
      '{"key":"sessions/h1","value":{"v":1}}',
      '{"key":"hosts/h1","value":{"v":1}}',
    ])
      expect(() => parseEntry(line), line).to.throw(/expected|no key of an export|wrong shape/);
  });
});
