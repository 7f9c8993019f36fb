import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { main } from '../../cli/main.ts';
import { systemClock } from '../../core/clock.ts';
import { StoreUnavailable } from '../../core/errors.ts';
import { parseCidr } from '../../core/ip.ts';
import { silentLogger } from '../../core/log.ts';
import { type AdminDependencies, createAdminApp } from '../../daemon/admin-server.ts';
import { type Listener, listenOn } from '../../daemon/listen.ts';
import { HostFigures } from '../../ipam/people/host-figures.ts';
import { PoolBook } from '../../ipam/pool/pool-book.ts';
import type { BandwidthFigures } from '../../plugin/wire/admin-mesos.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { IpamHost, layout, soon } from '../support/ipam-host.ts';
import { readAttributes, readResources } from '../support/mesos-grammar.ts';
import { need } from '../support/require.ts';

describe('lanius mesos resources on a real etcd', function () {
  this.timeout(30_000);
  let etcd: EtcdProcess;
  let host: IpamHost;
  let other: IpamHost;
  let folder: string;
  let socket: string;
  let listener: Listener | undefined;
  let bandwidth: readonly BandwidthFigures[] = [];

  before(async function () {
    need(this, 'etcd');
    etcd = await EtcdProcess.start();
    folder = mkdtempSync(join(tmpdir(), 'lanius-mesos-'));
    socket = join(folder, 'admin.sock');
    host = await IpamHost.start({ etcd: etcd.host, name: 'h1', labels: { rack: 'r1' } });
    other = await IpamHost.start({ etcd: etcd.host, name: 'h2', labels: { rack: 'r2' } });
    const figures = figuresOn(host.book);
    const parts = {
      figures: { addresses: () => figures.addresses(), bandwidthFigures: () => bandwidth },
      logger: silentLogger,
    } as unknown as AdminDependencies;
    listener = await listenOn(createServer(createAdminApp(parts)), { path: socket });
  });
  after(async () => {
    await listener?.close(100);
    await other?.stop();
    await host?.stop();
    await etcd?.stop();
    if (folder !== undefined) rmSync(folder, { recursive: true });
  });

  function figuresOn(pools: PoolBook, waitMs = 5000): HostFigures {
    const { kv, claims, leases } = host;
    return new HostFigures(
      { labels: { rack: 'r1' }, waitMs },
      { kv, layout, claims, pools, leases, clock: systemClock },
    );
  }
  async function lanius(line: string): Promise<string> {
    let [out, err] = ['', ''];
    const streams = {
      out: (text: string) => {
        out += text;
      },
      err: (text: string) => {
        err += text;
      },
    };
    const status = await main(line.split(' '), { LANIUS_ADMIN_SOCKET: socket }, streams);
    return `${status} ${out}${err}`;
  }
  const claim = async (of: IpamHost, subnet: string): Promise<string> =>
    (await of.addresses.requestPool({ subnet: parseCidr(subnet), family: 4, options: {} }, soon())).poolId;
  const take = (of: IpamHost, poolId: string) =>
    of.addresses.requestAddress({ poolId, gateway: false }, soon());

  it('says that there is nothing to tell as long as the host has no network', async () => {
    expect(await lanius('mesos resources')).to.equal(
      '1 lanius: this host has no Lanius network yet, so it has no addresses: make one first\n',
    );
  });

  it('counts what is left to this host: by its ranges, its quota, and what others have', async () => {
    const range = '10.70.0.10-10.70.0.19,rack=r1';
    await host.poolAdmin.add('flat', '10.70.0.0/24', { ranges: [range, '10.70.0.20-10.70.0.99,rack=r2'] });
    const mine = await claim(host, '10.70.0.0/24');
    const theirs = await claim(other, '10.70.0.0/24');
    await take(host, mine);
    await take(host, mine);
    await take(other, theirs);
    expect(await lanius('mesos resources')).to.equal('0 ips(*):8\n');
    expect(await lanius('mesos resources --total --ips addresses --role prod')).to.equal(
      '0 addresses(prod):10\n',
    );
    // Two networks on one pool share it.
    await claim(host, '10.70.0.0/24');
    expect(await lanius('mesos resources')).to.equal('0 ips(*):8\n');
    await host.poolAdmin.set('flat', { quota: '5' });
    expect(await lanius('mesos resources')).to.equal('0 ips(*):3\n');
    expect(await lanius('mesos resources --total')).to.equal('0 ips(*):5\n');
    await host.poolAdmin.set('flat', { quota: '2' });
    const attributes = await lanius('mesos resources --attributes');
    expect(attributes).to.equal('0 lanius_flat:full\n');
    expect(readAttributes(attributes.slice(2, -1))).to.deep.equal([
      { name: 'lanius_flat', value: { text: 'full' } },
    ]);
  });

  it('adds up pools and links, or takes those that are named', async () => {
    await host.poolAdmin.add('db', '10.71.0.0/29', {});
    await claim(host, '10.71.0.0/29');
    const link = {
      capacityInBitsPerSecond: 1e9,
      capacityOutBitsPerSecond: 5e8,
      declaredInBitsPerSecond: 1e9,
      committedInBitsPerSecond: 1e8,
    };
    bandwidth = [
      { parent: 'eth0', ...link, committedOutBitsPerSecond: 0 },
      { parent: 'eth1', ...link, committedOutBitsPerSecond: 1e8 },
    ];
    const all = await lanius('mesos resources');
    expect(all).to.equal('0 net_in(*):1800;net_out(*):900;ips(*):6\n');
    expect(readResources(all.slice(2, -1))).to.have.length(3);
    expect(await lanius('mesos resources --parent eth1 --pool flat --net-in rx --net-out tx')).to.equal(
      '0 rx(*):900;tx(*):400;ips(*):0\n',
    );
    expect(await lanius('mesos resources --pool 10.71.0.0/29 --total')).to.equal(
      '0 net_in(*):2000;ips(*):6\n',
    );
    expect(JSON.parse((await lanius('mesos resources -o json')).slice(2))[0]).to.deep.equal({
      name: 'net_in',
      type: 'SCALAR',
      scalar: { value: 1800 },
    });
    expect(await lanius('mesos resources --pool no')).to.match(
      /^1 lanius: no network of this host is on pool "no"/,
    );
    expect(await lanius('mesos resources --parent no')).to.match(
      /^1 lanius: link "no" has no network of this host, or no known capacity/,
    );
  });

  it('writes a file all at once, without a line feed, and only if it has changed', async () => {
    const path = join(folder, 'resources');
    expect(await lanius(`mesos resources --file ${path}`)).to.equal('0 ');
    expect(readResources(readFileSync(path, 'utf8'))).to.have.length(3);
    const { ino } = statSync(path);
    await lanius(`mesos resources --file ${path}`);
    expect(statSync(path).ino).to.equal(ino);
    bandwidth = [];
    await lanius(`mesos resources --file ${path}`);
    expect(readFileSync(path, 'utf8')).to.equal('ips(*):6');
    expect(readdirSync(folder).toSorted()).to.deep.equal(['admin.sock', 'resources']);
    expect(await lanius('mesos resources --file /nowhere/x')).to.match(
      /^1 lanius: cannot write \/nowhere\/x: ENOENT/,
    );
  });

  it('waits until the pools were read, and says that they were not rather than guess', async () => {
    const book = new PoolBook({ coolingSeconds: 0 }, { kv: host.kv, layout, logger: silentLogger });
    const failure = await figuresOn(book, 50)
      .addresses()
      .catch((error: Error) => error);
    expect(failure).to.be.instanceOf(StoreUnavailable);
    const waiting = figuresOn(book).addresses();
    await book.load();
    expect((await waiting).map(({ name, total }) => [name, total])).to.deep.equal([
      ['flat', 2],
      ['db', 6],
    ]);
    await book.close();
  });

  it('tries again for as long as it is told, while etcd does not answer', async () => {
    etcd.freeze();
    setTimeout(() => etcd.thaw(), 1500);
    const begun = Date.now();
    expect(await lanius('mesos resources --total --wait 20s')).to.equal('0 ips(*):8\n');
    expect(Date.now() - begun).to.be.greaterThan(1000);
    expect(await lanius('mesos resources --pool no --wait 20s'), 'at once').to.match(/^1 lanius: no network/);
    expect(await lanius('mesos resources --wait soon')).to.match(/^1 lanius: "soon" is not a span of time/);
  });

  it('leaves the file alone and says why while etcd does not answer', async () => {
    const path = join(folder, 'resources');
    etcd.freeze();
    const said = await lanius(`mesos resources --file ${path}`).finally(() => etcd.thaw());
    expect(said).to.match(/^1 lanius: .*etcd/);
    expect(readFileSync(path, 'utf8')).to.equal('ips(*):6');
  });
});
