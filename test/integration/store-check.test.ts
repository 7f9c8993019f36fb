import { expect } from 'chai';
import { systemClock as clock } from '../../core/clock.ts';
import { formatIp, type IpAddress, parseCidr, parseIp } from '../../core/ip.ts';
import { silentLogger as logger } from '../../core/log.ts';
import { StoreChecker } from '../../ipam/upkeep/store-checker.ts';
import { StoreRepair } from '../../ipam/upkeep/store-repair.ts';
import type { KeyValue, Operation } from '../../store/kv.ts';
import type { LeaseValue } from '../../store/schema.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { IpamHost, layout, soon } from '../support/ipam-host.ts';
import { need } from '../support/require.ts';

const subnet = parseCidr('10.40.0.0/24');
const ip = (text: string): IpAddress => parseIp(text);
const leaseKey = (text: string): string => layout.lease(subnet, ip(text));
const indexKey = (host: string, text: string): string => layout.byHostLease(host, subnet, ip(text));

describe('ipam/store-check', function () {
  this.timeout(60_000);
  let etcd: EtcdProcess;
  let a1: IpamHost;
  let a2: IpamHost;
  let poolId: string;
  let checker: StoreChecker;
  let repair: StoreRepair;

  const write = async (...success: Operation[]): Promise<void> => {
    expect((await a1.kv.txn({ compare: [], success })).succeeded).to.equal(true);
  };
  const put = (key: string, value: unknown): Operation => ({ do: 'put', key, value: JSON.stringify(value) });
  const drop = (key: string): Operation => ({ do: 'delete', range: { key } });
  const stand = async (key: string): Promise<KeyValue | undefined> => (await a1.kv.range({ key })).kvs[0];
  const any = async (host: IpamHost): Promise<IpAddress> =>
    (await host.addresses.requestAddress({ poolId, gateway: false }, soon())).address;
  /** Two that no corruption names. */
  const two = async (): Promise<[string, string]> => {
    for (const [host, text] of [
      [a1, '10.40.0.11'],
      [a2, '10.40.0.12'],
    ] as const)
      await host.addresses.requestAddress({ poolId, gateway: false, address: parseIp(text) }, soon());
    return ['10.40.0.11', '10.40.0.12'];
  };
  const leaseOf = (host: string, more: Partial<LeaseValue> = {}): LeaseValue => ({
    v: 1,
    state: 'bound',
    host,
    request: 'seeded.1',
    bootId: 'boot',
    at: 1,
    ...more,
  });

  before(async function () {
    need(this, 'etcd');
    etcd = await EtcdProcess.start();
  });
  beforeEach(async () => {
    a1 = await IpamHost.start({ etcd: etcd.host, name: 'a1' });
    a2 = await IpamHost.start({ etcd: etcd.host, name: 'a2' });
    for (const host of [a1, a2]) {
      poolId = (await host.addresses.requestPool({ subnet, family: 4, options: {} }, soon())).poolId;
      await host.addresses.requestAddress({ poolId, gateway: true }, soon());
      await host.addresses.attachNetwork({ networkId: `n-${host.session.host}`, subnets: [{ subnet }] });
    }
    checker = new StoreChecker({ kv: a1.kv, layout, clock });
    repair = new StoreRepair({ kv: a1.kv, checker, committer: a1.committer, clock, logger });
  });
  afterEach(async () => {
    await a1.kv.txn({ compare: [], success: [{ do: 'delete', range: { prefix: layout.prefix } }] });
    await a1.stop();
    await a2.stop();
  });
  after(async () => {
    await etcd?.stop();
  });

  it('finds nothing on a store that is as it must be, and counts it', async () => {
    for (let i = 0; i < 5; i += 1) await Promise.all([any(a1), any(a2)]);
    const { findings, counts } = await checker.check();
    expect(findings).to.deep.equal([]);
    expect(counts).to.deep.include({
      pools: 1,
      hosts: 2,
      leases: 11,
      inUse: 10,
      reserved: 1,
      indexed: 10,
      holds: 2,
    });
  });

  /** Each makes one fault, given a lease of a1 and one of a2. */
  const corruptions: readonly [
    code: string,
    object: RegExp,
    make: (first: string, second: string) => Promise<void>,
  ][] = [
    ['lease-without-index', /^10\.40\.0\./, (first) => write(drop(indexKey('a1', first)))],
    ['index-without-lease', /^10\.40\.0\./, (first) => write(drop(leaseKey(first)))],
    [
      'index-differs',
      /^10\.40\.0\./,
      (first) => write(put(indexKey('a1', first), leaseOf('a1', { containerName: 'other' }))),
    ],
    ['address-twice', /^10\.40\.0\./, (first) => write(put(indexKey('a2', first), leaseOf('a2')))],
    ['reserved-in-index', /^10\.40\.0\.1 /, () => write(put(indexKey('a1', '10.40.0.1'), leaseOf('a1')))],
    [
      'damaged-value',
      /^10\.40\.0\./,
      (first) => write({ do: 'put', key: leaseKey(first), value: '{"v":1,' }),
    ],
    [
      'outside-pool',
      /^10\.41\.0\.9 /,
      () =>
        write(put(leaseKey('10.41.0.9'), leaseOf('a1', { state: 'reserved', role: 'operator', name: 'x' }))),
    ],
    ['no-pool', /^pool 10\.40\.0\.0\/24$/, () => write(drop(layout.pool(subnet)))],
    [
      'pool-key-differs',
      /^pool 10\.40\.0\.0\/24$/,
      () => write(put(layout.pool(subnet), { v: 1, subnet: '10.50.0.0/24', madeBy: 'a1', at: 1 })),
    ],
    [
      'reservation-without-hold',
      /^10\.40\.0\.200 /,
      () => write(put(leaseKey('10.40.0.200'), leaseOf('a1', { state: 'reserved', role: 'aux' }))),
    ],
    ['hold-without-reservation', /^10\.40\.0\.1 /, () => write(drop(leaseKey('10.40.0.1')))],
    [
      'name-without-lease',
      /^name "web" /,
      () => write(put(layout.name(subnet, 'web'), { v: 1, address: '10.40.0.77' })),
    ],
    [
      'name-differs',
      /^10\.40\.0\.78 /,
      () =>
        write(
          put(leaseKey('10.40.0.78'), leaseOf('a1', { state: 'reserved', role: 'operator', name: 'db' })),
        ),
    ],
    [
      'name-twice',
      /^10\.40\.0\.8[01] /,
      () => {
        const kept = leaseOf('a1', { state: 'reserved', role: 'sticky', name: 'db', keepSeconds: 60 });
        return write(
          put(leaseKey('10.40.0.80'), kept),
          put(leaseKey('10.40.0.81'), kept),
          put(layout.name(subnet, 'db'), { v: 1, address: '10.40.0.80' }),
        );
      },
    ],
    [
      'nameless',
      /^10\.40\.0\.82 /,
      () => write(put(leaseKey('10.40.0.82'), leaseOf('a1', { state: 'reserved', role: 'operator' }))),
    ],
    [
      'use-without-pool',
      /^pool 10\.60\.0\.0\/24$/,
      () => write(put(layout.use(parseCidr('10.60.0.0/24'), 'a1'), { v: 1 })),
    ],
    ['unregistered-host', /^host a2$/, () => write(drop(layout.host('a2')))],
  ];

  for (const [code, object, make] of corruptions) {
    it(`finds, names and repairs: ${code}`, async () => {
      const [first, second] = await two();
      const living = await stand(leaseKey(second));
      await make(first, second);
      const found = (await checker.check()).findings;
      expect(found.map((finding) => finding.code)).to.include(code);
      const finding = found.find((one) => one.code === code);
      expect(finding?.object).to.match(object);
      expect(finding?.problem).not.to.include('\n');
      expect(finding?.repair?.edits).not.to.have.length(0);
      const result = await repair.repair();
      expect(result.outcomes).to.include('repaired').and.not.include('left').and.not.include('changed');
      const after = await checker.check();
      expect(after.findings).to.deep.equal([]);
      expect(await stand(leaseKey(second)), 'a living lease is untouched').to.deep.equal(living);
      expect((await stand(leaseKey(first)))?.value, 'and so is the other').to.include('"host":"a1"');
    });
  }

  it('leaves to a person what only a person can decide', async () => {
    const [first] = await two();
    const bound = leaseOf('a1', { endpointId: 'e'.repeat(64) });
    const both = (text: string): Operation[] => [
      put(leaseKey(text), bound),
      put(indexKey('a1', text), bound),
    ];
    await write(
      put(`${layout.prefix}elsewhere/x`, {}),
      ...both('10.40.0.90'),
      ...both('10.40.0.91'),
      put(layout.pool(parseCidr('10.40.0.128/25')), { v: 1, subnet: '10.40.0.128/25', madeBy: 'x', at: 1 }),
      put(layout.pool(parseCidr('10.61.0.0/24')), {
        v: 1,
        subnet: '10.61.0.0/24',
        gateway: '10.62.0.1',
        madeBy: 'x',
        at: 1,
        ranges: [{ first: '10.61.0.9', last: '10.61.0.3' }],
      }),
      { do: 'put', key: layout.pool(parseCidr('10.63.0.0/24')), value: 'rubbish' },
      drop(leaseKey(first)),
      put(indexKey('a2', first), leaseOf('a2')),
    );
    const result = await repair.repair();
    expect(result.findings.map(({ code }) => code)).to.have.members([
      'pools-overlap',
      'bad-range',
      'bad-range',
      'damaged-value',
      'address-twice',
      'endpoint-twice',
      'unknown-key',
    ]);
    expect(new Set(result.outcomes)).to.deep.equal(new Set(['left']));
    for (const finding of result.findings) expect(finding.advice, finding.code).to.match(/^[^\n]{10,}$/);
    expect((await checker.check()).findings).to.have.length(7);
  });

  it('changes nothing that has moved since it was looked at', async () => {
    const address = formatIp(await any(a1));
    await write(drop(indexKey('a1', address)));
    const seen = await checker.check();
    await write(drop(leaseKey(address)));
    const late = new StoreRepair({
      kv: a1.kv,
      checker: { check: async () => seen },
      committer: a1.committer,
      clock,
      logger,
    });
    expect((await late.repair()).outcomes).to.deep.equal(['changed']);
    expect(await stand(leaseKey(address)), 'it stays free').to.equal(undefined);
    expect((await checker.check()).findings).to.deep.equal([]);
  });

  it('gives no false alarm while four hosts allocate and release', async () => {
    const others = await Promise.all(['a3', 'a4'].map((name) => IpamHost.start({ etcd: etcd.host, name })));
    const hosts = [a1, a2, ...others];
    for (const host of others) {
      await host.addresses.requestPool({ subnet, family: 4, options: {} }, soon());
      await host.addresses.attachNetwork({ networkId: `n-${host.session.host}`, subnets: [{ subnet }] });
    }
    let going = true;
    let started = 0;
    let done = 0;
    const churn = async (host: IpamHost): Promise<void> => {
      while (going) {
        const address = await any(host);
        started += 1;
        if (started % 3 === 0)
          host.leases.noteHolder(subnet, address, {
            endpointId: `e${started}`,
            networkId: 'n',
            macAddress: '02:4c:00:00:00:01',
          });
        await host.addresses.releaseAddress(poolId, address, soon());
        done += 1;
      }
    };
    const churning = Promise.all(hosts.flatMap((host) => [churn(host), churn(host)]));
    try {
      for (let i = 0; i < 20; i += 1) {
        const { findings } = await checker.check();
        expect(findings).to.deep.equal([]);
      }
    } finally {
      going = false;
      await churning;
    }
    expect(done).to.be.above(100);
    await Promise.all(others.map((host) => host.stop()));
  });
});
