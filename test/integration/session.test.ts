import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { EtcdProcess } from '../support/etcd-process.ts';
import { IpamHost, layout } from '../support/ipam-host.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

describe('ipam/session', function () {
  this.timeout(40_000);
  let etcd: EtcdProcess;
  let hosts: IpamHost[];

  before(function () {
    need(this, 'etcd');
  });
  beforeEach(async () => {
    hosts = [];
    etcd = await EtcdProcess.start();
  });
  afterEach(async () => {
    for (const host of hosts) await host.stop();
    await etcd.stop();
  });

  /** A host that gives a sign of life every 1.7 s. */
  const start = async (machineId = 'm1'): Promise<IpamHost> => {
    const host = await IpamHost.start({ etcd: etcd.host, name: 's1', ttlSeconds: 5, machineId });
    hosts.push(host);
    return host;
  };
  const dataDir = () => join(etcd.folder, 'data');
  const copyDir = () => join(etcd.folder, 'copy');
  async function backup(): Promise<void> {
    await etcd.kill();
    await cp(dataDir(), copyDir(), { recursive: true });
    await etcd.restart();
  }
  async function restore(): Promise<void> {
    await etcd.kill();
    await rm(dataDir(), { recursive: true });
    await cp(copyDir(), dataDir(), { recursive: true });
    await etcd.restart();
  }
  const write = (host: IpamHost) =>
    until('a write', async () => {
      const put = { do: 'put', key: `${layout.prefix}somebody-elses`, value: 'x' } as const;
      return (await host.kv.txn({ compare: [], success: [put] })).revision;
    });
  const keyRevision = async (host: IpamHost) =>
    (await host.kv.range({ key: layout.session('s1') })).kvs[0]?.modRevision;

  it('tells that etcd went back to an earlier revision, on a host that writes nothing', async () => {
    const host = await start();
    await backup();
    const seen = await write(host);
    const epoch = host.session.epoch;
    const proven = host.session.provenAtMs ?? 0;
    await until('a sign of life', () => (host.session.provenAtMs ?? 0) > proven + 2000);
    expect(host.storeChanges).to.deep.equal([]);
    await restore();
    await until('it is told', () => host.storeChanges.length > 0);
    expect(host.storeChanges).to.deep.equal(['etcd went back']);
    const renewed = await until('a new epoch', () => host.session.epoch !== epoch && host.session.epoch);
    expect(renewed).to.be.at.most(seen + 1);
    expect(await keyRevision(host)).to.equal(renewed);
  });

  it('takes its session again where the backup has that of an earlier daemon of this machine', async () => {
    const earlier = await start();
    await backup();
    earlier.abandon();
    const host = await start();
    await write(host);
    await restore();
    await until('it is told', () => host.storeChanges.includes('etcd went back'));
    await until('it holds it', async () => (await keyRevision(host)) === host.session.epoch);
    expect(host.superseded).to.equal(undefined);
    hosts.shift();
  });

  it('tells that it had to be taken anew', async () => {
    const host = await start();
    const key = layout.session('s1');
    await host.kv.txn({ compare: [], success: [{ do: 'delete', range: { key } }] });
    await until('it is told', () => host.storeChanges.length > 0);
    expect(host.storeChanges).to.deep.equal(['session taken anew']);
    expect(await keyRevision(host)).to.equal(host.session.epoch);
  });

  it('refuses a second daemon with the same host id, and says which one lives', async () => {
    await start('m1');
    const refused = await start('m2').then(
      () => expect.fail('it did not fail'),
      (error: Error) => error.message,
    );
    expect(refused).to.match(
      /^host id "s1" is held by another living daemon \(s1, machine m1, pid \d+\): give one of the two another host\.name$/,
    );
  });
});
