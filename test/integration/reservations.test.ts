import { expect } from 'chai';
import { systemClock as clock } from '../../core/clock.ts';
import { formatIp, parseCidr, parseIp, usableRange } from '../../core/ip.ts';
import { choiceOf } from '../../ipam/address/choice.ts';
import { LeaseSteps } from '../../ipam/lease/lease-steps.ts';
import { Reservations } from '../../ipam/people/reservations.ts';
import { decode, type LeaseValue, leaseSchema } from '../../store/schema.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { IpamHost, layout, soon } from '../support/ipam-host.ts';
import { need } from '../support/require.ts';

const subnet = parseCidr('10.50.0.0/24');
const ip = parseIp;

describe('ipam/reservations on a real etcd', function () {
  this.timeout(20_000);
  let etcd: EtcdProcess;
  let a: IpamHost;
  let b: IpamHost;
  let reservations: Reservations;

  before(async function () {
    need(this, 'etcd');
    etcd = await EtcdProcess.start();
  });
  after(async () => await etcd?.stop());

  beforeEach(async () => {
    a = await IpamHost.start({ etcd: etcd.host, name: 'a1' });
    b = await IpamHost.start({ etcd: etcd.host, name: 'b1' });
    await a.pools.use(subnet, soon());
    reservations = reservationsOf(a);
  });
  afterEach(async () => {
    await a.kv.txn({ compare: [], success: [{ do: 'delete', range: { prefix: layout.prefix } }] });
    await a.stop();
    await b.stop();
  });

  function reservationsOf(host: IpamHost): Reservations {
    const { kv, committer, session } = host;
    return new Reservations(
      { host: session.host, instance: session.instance, bootId: 'boot' },
      { kv, layout, committer, clock },
    );
  }
  const reserve = (address: string, name: string) => reservations.reserve(undefined, address, name, soon());
  const unreserve = (address: string) => reservations.unreserve(undefined, address, soon());
  const refusal = async (work: Promise<unknown>): Promise<string> =>
    await work.then(
      () => expect.fail('it did not fail'),
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
  const leaseOf = async (address: string): Promise<LeaseValue | undefined> => {
    const [kv] = (await a.kv.range({ key: layout.lease(subnet, ip(address)) })).kvs;
    return kv === undefined ? undefined : decode(leaseSchema, kv.key, kv.value);
  };
  const written = async (address: string): Promise<string | undefined> =>
    (await a.kv.range({ key: layout.lease(subnet, ip(address)) })).kvs[0]?.value;
  const addressOf = async (name: string): Promise<string | undefined> => {
    const [kv] = (await a.kv.range({ key: layout.name(subnet, name) })).kvs;
    return kv === undefined ? undefined : JSON.parse(kv.value).address;
  };
  const indexed = async (host: IpamHost, address: string): Promise<string | undefined> => {
    const key = layout.byHostLease(host.session.host, subnet, ip(address));
    return (await a.kv.range({ key })).kvs[0]?.value;
  };

  it('reserves a free address, which nobody else can take then, and ends it again', async () => {
    expect(await reserve('10.50.0.7', 'db')).to.deep.equal({
      pool: '10.50.0.0/24',
      address: '10.50.0.7',
      name: 'db',
      changed: true,
    });
    expect(await leaseOf('10.50.0.7')).to.include({ state: 'reserved', role: 'operator', name: 'db' });
    expect(await addressOf('db')).to.equal('10.50.0.7');
    expect(await indexed(a, '10.50.0.7')).to.equal(undefined);
    const asWeb = b.leases.takeThis(subnet, ip('10.50.0.7'), soon(), 'web');
    expect(await refusal(asWeb)).to.match(/is taken: it is reserved for "db"/);
    expect((await reserve('10.50.0.7', 'db')).changed).to.equal(false);

    expect(await unreserve('10.50.0.7')).to.include({ name: 'db', changed: true });
    expect(await leaseOf('10.50.0.7')).to.equal(undefined);
    expect(await addressOf('db')).to.equal(undefined);
    expect((await unreserve('10.50.0.7')).changed).to.equal(false);
    await b.leases.takeThis(subnet, ip('10.50.0.7'), soon());
  });

  it('says in one line why an address cannot be reserved', async () => {
    await a.pools.reserve(subnet, ip('10.50.0.9'), 'aux', soon());
    await reserve('10.50.0.7', 'db');
    expect(await refusal(reserve('10.50.0.9', 'web'))).to.match(/auxiliary address of a network/);
    expect(await refusal(unreserve('10.50.0.9'))).to.match(/goes with the last network/);
    expect(await refusal(reserve('10.50.0.7', 'web'))).to.match(/is reserved for "db"/);
    expect(await refusal(reserve('10.50.0.8', 'db'))).to.match(
      /"db" has address 10.50.0.7 of pool .* already/,
    );
    expect(await refusal(reserve('10.50.0.0', 'web'))).to.match(/is the network address/);
    expect(await refusal(reserve('10.51.0.7', 'web'))).to.match(/no pool holds 10.51.0.7/);
    expect(await refusal(reserve('10.50.0.8', 'a/b'))).to.match(/is not a name for a reservation/);
    expect(await refusal(reserve('x', 'web'))).to.match(/is not an IP address/);
    const named = reservations.reserve('10.52.0.0/24', '10.50.0.8', 'web', soon());
    expect(await refusal(named)).to.match(/there is no pool "10.52.0.0\/24"/);
    expect(await leaseOf('10.50.0.8')).to.equal(undefined);
  });

  it('is no gateway and no aux address of a network', async () => {
    await reserve('10.50.0.9', 'db');
    for (const role of ['gateway', 'aux'] as const) {
      const held = a.pools.reserve(subnet, ip('10.50.0.9'), role, soon());
      expect(await refusal(held)).to.match(/cannot be the .* of a network .*: it is reserved for "db"$/);
    }
    await a.pools.unreserve(subnet, ip('10.50.0.9'), soon());
    expect(await leaseOf('10.50.0.9')).to.include({ state: 'reserved', role: 'operator', name: 'db' });
  });

  it('reserves an address in use of another host, without ending the use', async () => {
    await b.leases.takeThis(subnet, ip('10.50.0.20'), soon());
    const info = await reserve('10.50.0.20', 'db');
    expect(info).to.include({ name: 'db', changed: true, usedBy: 'a container on host b1 has it' });
    const value = await leaseOf('10.50.0.20');
    expect(value).to.include({ state: 'pending', host: 'b1', role: 'operator', name: 'db' });
    expect(await indexed(b, '10.50.0.20')).to.equal(await written('10.50.0.20'));

    await unreserve('10.50.0.20');
    const without = await leaseOf('10.50.0.20');
    expect(without).to.include({ state: 'pending', host: 'b1' }).and.not.to.have.any.keys('role', 'name');
    expect(await indexed(b, '10.50.0.20')).to.equal(await written('10.50.0.20'));
    expect(await addressOf('db')).to.equal(undefined);
  });

  it('stands when the container that has the address ends, whose daemon knew nothing of it', async () => {
    await b.leases.takeThis(subnet, ip('10.50.0.21'), soon());
    await reserve('10.50.0.21', 'db');
    await b.leases.release(subnet, ip('10.50.0.21'));
    expect(await leaseOf('10.50.0.21')).to.include({ state: 'reserved', role: 'operator', name: 'db' });
    expect(await addressOf('db')).to.equal('10.50.0.21');
    expect(await indexed(b, '10.50.0.21')).to.equal(undefined);
  });

  it('gives the address to a container of the name, again and again', async () => {
    await reserve('10.50.0.24', 'db');
    const keep = { role: 'sticky', keepSeconds: 60 } as const;
    const choice = choiceOf(usableRange(subnet));
    for (const host of [a, b]) {
      const address = await host.leases.takeForName(subnet, 'db', choice, keep, soon());
      expect(formatIp(address)).to.equal('10.50.0.24');
      expect(await leaseOf('10.50.0.24')).to.include({ state: 'pending', role: 'operator', name: 'db' });
      await host.leases.release(subnet, address);
      expect(await leaseOf('10.50.0.24')).to.include({ state: 'reserved', role: 'operator', name: 'db' });
    }
    await b.leases.takeThis(subnet, ip('10.50.0.24'), soon(), 'db');
    expect(await leaseOf('10.50.0.24')).to.include({ host: 'b1', role: 'operator', name: 'db' });
  });

  it('lets the holder be written to a lease that was reserved meanwhile', async () => {
    await b.leases.takeThis(subnet, ip('10.50.0.22'), soon());
    await reserve('10.50.0.22', 'db');
    const holder = { endpointId: 'e', networkId: 'n', macAddress: '02:4c:0a:32:00:16', containerName: 'db' };
    b.leases.noteHolder(subnet, ip('10.50.0.22'), holder);
    const until = Date.now() + 4000;
    while ((await leaseOf('10.50.0.22'))?.containerName !== 'db' && Date.now() < until)
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await leaseOf('10.50.0.22')).to.include({ state: 'bound', role: 'operator', containerName: 'db' });
  });

  it("makes an address that is kept for the name the operator's, without a TTL", async () => {
    const ttlId = await a.kv.ttlGrant(2);
    const kept: LeaseValue = {
      v: 1,
      state: 'reserved',
      role: 'sticky',
      name: 'db',
      keepSeconds: 2,
      host: 'a1',
      request: 'x.1',
      bootId: 'boot',
      at: 7,
    };
    await a.leases.takeThis(subnet, ip('10.50.0.23'), soon());
    const held = a.leases.get(subnet, ip('10.50.0.23'));
    const steps = new LeaseSteps(layout, 'a1', subnet, ip('10.50.0.23'));
    const fate = { fate: 'keep', reserved: kept, ttlId } as const;
    const modRevision = held?.modRevision ?? 0;
    expect((await a.committer.submit(steps.release({ modRevision }, fate))).succeeded).to.equal(true);
    expect(await refusal(reserve('10.50.0.23', 'web'))).to.match(/is kept for the container name "db"/);
    expect((await reserve('10.50.0.23', 'db')).changed).to.equal(true);
    await a.kv.ttlRevoke(ttlId);
    expect(await leaseOf('10.50.0.23'))
      .to.include({ role: 'operator', name: 'db' })
      .and.not.to.have.key('keepSeconds');
    expect(await addressOf('db')).to.equal('10.50.0.23');
  });

  it('gives one address to one of two operators who order at once, and one name one address', async () => {
    const other = reservationsOf(b);
    const one = async (work: Promise<unknown>): Promise<string> =>
      await work.then(
        () => 'done',
        (error: Error) => error.message,
      );
    const first = await Promise.all([
      one(reserve('10.50.0.30', 'x')),
      one(other.reserve(undefined, '10.50.0.30', 'y', soon())),
    ]);
    expect(first.filter((text) => text === 'done')).to.have.length(1);
    expect(first.join()).to.match(/is reserved for "[xy]"/);
    const second = await Promise.all([
      one(reserve('10.50.0.31', 'z')),
      one(other.reserve(undefined, '10.50.0.32', 'z', soon())),
    ]);
    expect(second.filter((text) => text === 'done')).to.have.length(1);
    expect(second.join()).to.match(/"z" has address 10.50.0.3[12]/);
  });

  it('takes over the name of a lease that is gone without it', async () => {
    await reserve('10.50.0.40', 'db');
    const key = layout.lease(subnet, ip('10.50.0.40'));
    await a.kv.txn({ compare: [], success: [{ do: 'delete', range: { key } }] });
    expect((await reserve('10.50.0.41', 'db')).changed).to.equal(true);
    expect(await addressOf('db')).to.equal('10.50.0.41');
    expect((await reserve('10.50.0.40', 'old')).changed).to.equal(true);
  });

  it('changes nothing while etcd is away, and says so', async () => {
    await etcd.kill();
    try {
      expect(await refusal(reserve('10.50.0.50', 'db'))).to.match(/etcd .*does not answer/);
    } finally {
      await etcd.restart();
    }
    expect(await leaseOf('10.50.0.50')).to.equal(undefined);
  });
});
