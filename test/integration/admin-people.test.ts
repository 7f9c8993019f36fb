import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { expect } from 'chai';
import { main } from '../../cli/main.ts';
import { systemClock as clock } from '../../core/clock.ts';
import { parseCidr, parseIp } from '../../core/ip.ts';
import { silentLogger as logger } from '../../core/log.ts';
import { createAdminApp } from '../../daemon/admin-server.ts';
import { type Listener, listenOn } from '../../daemon/listen.ts';
import { TtlBuckets } from '../../ipam/commit/ttl-buckets.ts';
import { HostForgetting } from '../../ipam/host/host-forgetting.ts';
import { Fates } from '../../ipam/lease/afterwards.ts';
import { NO_POLICIES } from '../../ipam/lease/lease-policies.ts';
import { EtcdInventory } from '../../ipam/people/etcd-inventory.ts';
import { KnownHere } from '../../ipam/people/known-here.ts';
import { Reservations } from '../../ipam/people/reservations.ts';
import type { Operation } from '../../store/kv.ts';
import type { LeaseValue } from '../../store/schema.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { IpamHost, layout, soon } from '../support/ipam-host.ts';
import { need } from '../support/require.ts';

const subnet = parseCidr('10.70.0.0/16');

describe('reservations, hosts and lists from the command line to etcd', function () {
  this.timeout(60_000);
  let etcd: EtcdProcess;
  let host: IpamHost;
  let folder: string;
  let listener: Listener;
  let question: string | undefined;

  before(async function () {
    need(this, 'etcd');
    etcd = await EtcdProcess.start();
  });
  after(async () => await etcd?.stop());

  beforeEach(async () => {
    host = await IpamHost.start({ etcd: etcd.host, name: 'a1' });
    await host.pools.use(subnet, soon());
    const { kv, committer, pools, leases, session } = host;
    const ttls = new TtlBuckets({ kv, clock });
    const fates = new Fates({ policies: NO_POLICIES, ttls, clock, logger });
    const inventory = new EtcdInventory({
      kv,
      layout,
      leases,
      clock,
      logger,
      host: 'a1',
      usersOf: async () => [],
    });
    const known = new KnownHere({
      leases,
      pools: { list: () => [{ v: 1, subnet: '10.70.0.0/16', gateway: '10.70.0.1', madeBy: 'a1', at: 0 }] },
    });
    const identity = { host: 'a1', instance: session.instance, bootId: 'boot' };
    const app = createAdminApp({
      version: { version: '0', node: 'v20', host: 'a1' },
      inventory,
      known,
      reservations: new Reservations(identity, { kv, layout, committer, clock }),
      forgetting: new HostForgetting({ kv, layout, committer, pools, fates }),
      reconciler: { run: () => Promise.reject(new Error('not played')), last: undefined },
      networks: () => [],
      doctor: async () => ({ ok: true, checks: [] }),
      logger,
    });
    folder = mkdtempSync(join(tmpdir(), 'lanius-people-'));
    listener = await listenOn(createServer(app), { path: join(folder, 'admin.sock') });
  });
  afterEach(async () => {
    await listener.close(100);
    const all = { do: 'delete', range: { prefix: layout.prefix } } as const;
    await host.kv.txn({ compare: [], success: [all] }, { timeoutMs: 20_000 });
    await host.stop();
    rmSync(folder, { recursive: true });
  });

  interface Said {
    readonly status: number;
    readonly out: string;
    readonly err: string;
  }
  /** @param reply what the person at the terminal says; absent: there is no terminal */
  async function lanius(argv: readonly string[], reply?: string): Promise<Said> {
    let [out, err] = ['', ''];
    question = undefined;
    const ask = async (text: string): Promise<string> => {
      question = text;
      return reply ?? '';
    };
    const status = await main(
      argv,
      { LANIUS_ADMIN_SOCKET: join(folder, 'admin.sock') },
      {
        out: (text) => {
          out += text;
        },
        err: (text) => {
          err += text;
        },
      },
      ...(reply === undefined ? [] : [ask]),
    );
    return { status, out, err };
  }
  const run = (line: string, reply?: string): Promise<Said> => lanius(line.split(' '), reply);

  it('reserves an address, shows it, and ends the reservation', async () => {
    expect(await run('ip reserve 10.70.0.7 db')).to.deep.equal({
      status: 0,
      out: '10.70.0.7 of pool 10.70.0.0/16 is reserved for "db"\n',
      err: '',
    });
    expect((await run('ip reserve 10.70.0.7 db --pool 10.70.0.0/16')).out).to.equal(
      '10.70.0.7 of pool 10.70.0.0/16 is reserved for "db" already\n',
    );
    await host.leases.takeThis(subnet, parseIp('10.70.0.8'), soon());
    expect((await run('ip reserve 10.70.0.8 web')).out).to.equal(
      '10.70.0.8 of pool 10.70.0.0/16 is reserved for "web"; for now a container on host a1 has it\n',
    );
    const { out } = await run('ip ls');
    expect(out).to.match(/^ADDRESS +POOL +STATE +NAME +HOST +CONTAINER /);
    expect(out).to.match(/10\.70\.0\.7 +10\.70\.0\.0\/16 +reserved \(operator\) +db +- /);
    expect(out).to.match(/10\.70\.0\.8 +10\.70\.0\.0\/16 +pending \(operator\) +web +a1 /);
    expect((await run('pool ls')).out).to.match(/10\.70\.0\.0\/16 +- +65534 +1 +1 +65532 +1\n/);

    const addresses = async (filters: string): Promise<string[]> =>
      JSON.parse((await run(`ip ls -o json ${filters}`)).out).map((one: LeaseLine) => one.address);
    expect(await addresses('--name db')).to.deep.equal(['10.70.0.7']);
    expect(await addresses('--state pending')).to.deep.equal(['10.70.0.8']);
    expect(await addresses('--host a1')).to.deep.equal(['10.70.0.8']);
    expect(await addresses('--pool 10.70.0.0/16 --name nobody')).to.deep.equal([]);
    expect((await run('ip ls --pool nowhere')).err).to.equal(
      'lanius: there is no pool "nowhere": see lanius pool ls\n',
    );

    expect((await run('ip release 10.70.0.7')).err).to.equal(
      'lanius: address 10.70.0.7 is held by no container: it is reserved for "db"; end that with lanius ip unreserve 10.70.0.7\n',
    );
    expect((await run('ip unreserve 10.70.0.7')).out).to.equal(
      '10.70.0.7 of pool 10.70.0.0/16 is reserved for "db" no more\n',
    );
    expect((await run('ip unreserve 10.70.0.7')).out).to.equal(
      '10.70.0.7 of pool 10.70.0.0/16 is not reserved\n',
    );
    expect((await run('ip unreserve 10.70.0.8')).out).to.equal(
      '10.70.0.8 of pool 10.70.0.0/16 is reserved for "web" no more; for now a container on host a1 has it\n',
    );
  });

  it('takes no bad input for an order', async () => {
    for (const [line, message] of [
      ['ip reserve 10.70.0.7 a/b', /"a\/b" is not a name for a reservation/],
      ['ip reserve 10.70.0.0 db', /is the network address of pool/],
      ['ip reserve 10.70.255.255 db', /is the broadcast address of pool/],
      ['ip reserve 10.71.0.1 db', /no pool holds 10.71.0.1/],
      ['ip reserve ten db', /"ten" is not an IP address/],
      ['ip reserve fd00::1 db', /no pool holds fd00::1/],
      ['ip reserve 10.70.0.7 db --pool 10.70.0.0/99', /is not a subnet/],
      ['ip unreserve 10.70.0.7 --pool ../../hosts', /is not a/],
      ['host forget ../a1 --yes', /is not the name of a host/],
      ['host forget a1 --yes', /^lanius: host a1 is alive \(pid \d+ on a1\): stop its daemon first\n$/],
      ['host forget h9 --yes', /^lanius: there is no host "h9": see lanius host ls\n$/],
    ] as const) {
      const { status, out, err } = await run(line);
      expect({ status, out }, line).to.deep.equal({ status: 1, out: '' });
      expect(err, line).to.match(message);
      expect(err.trim().split('\n'), line).to.have.length(1);
    }
    expect(await run('ip ls -o json')).to.deep.include({ status: 0, out: '[]\n' });
  });

  it('forgets a dead host after a yes, and shows who is dead', async () => {
    const dead = await IpamHost.start({ etcd: etcd.host, name: 'b1' });
    await dead.pools.use(subnet, soon());
    await dead.leases.takeThis(subnet, parseIp('10.70.1.1'), soon());
    await dead.stop();
    expect((await run('host ls')).out).to.match(/b1 +no +b1 +0 +1 +20/);

    expect(await run('host forget b1')).to.deep.equal({
      status: 2,
      out: '',
      err: 'lanius: host b1 has 1 address, 0 gateway or auxiliary addresses, 1 pool: say --yes to free all of it\n',
    });
    expect(await run('host forget b1', 'no')).to.include({ status: 1, err: 'lanius: nothing was changed\n' });
    expect(question).to.match(/^host b1 has no daemon, and 1 address, .* Free all of it\? \[y\/N\] $/);
    expect(await run('host forget b1', 'y')).to.deep.equal({
      status: 0,
      out: 'host b1 is forgotten: 1 address, 0 gateway or auxiliary addresses, 1 pool freed\n',
      err: '',
    });
    expect((await run('host ls')).out).not.to.contain('b1');
    expect(JSON.parse((await run('ip ls -o json')).out)).to.deep.equal([]);
  });

  it('answers from memory while etcd is away, and says so on stderr', async () => {
    await host.leases.takeThis(subnet, parseIp('10.70.0.8'), soon());
    await etcd.kill();
    try {
      const note = 'etcd does not answer: this is what this host knows, and may be out of date\n';
      const ips = await run('ip ls -o json');
      expect(ips).to.include({ status: 0, err: note });
      expect(JSON.parse(ips.out)[0]).to.include({ address: '10.70.0.8', host: 'a1' });
      expect(JSON.parse((await run('ip ls -o json --state bound')).out)).to.deep.equal([]);
      const pools = await run('pool ls');
      expect(pools).to.include({ status: 0, err: note });
      expect(pools.out).to.match(/10\.70\.0\.0\/16 +10\.70\.0\.1 +65534 +\? +\? +\? +\?\n/);
      expect((await run('network ls')).err).to.equal('');
      const hosts = await run('host ls');
      expect(hosts).to.include({ status: 1, out: '' });
      expect(hosts.err).to.match(/^lanius: etcd .*does not answer/);
    } finally {
      await etcd.restart();
    }
    expect((await run('ip ls -o json')).err).to.equal('');
  });

  it('lists a pool of 60,000 leases without holding up the daemon', async () => {
    const value: LeaseValue = {
      v: 1,
      state: 'bound',
      host: 'h2',
      request: 'i.1',
      bootId: 'boot',
      at: 7,
      endpointId: 'e'.repeat(64),
      networkId: 'n'.repeat(64),
      containerId: 'c'.repeat(64),
      containerName: 'web',
      macAddress: '02:4c:0a:46:00:07',
    };
    const text = JSON.stringify(value);
    for (let first = 1; first <= 60_000; first += 120) {
      const puts = Array.from({ length: 120 }, (_, i): Operation => {
        const address = { family: 4, value: subnet.base + BigInt(first + i) } as const;
        return { do: 'put', key: layout.lease(subnet, address), value: text };
      });
      await host.kv.txn({ compare: [], success: puts }, { timeoutMs: 10_000 });
    }
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    const url = { socketPath: join(folder, 'admin.sock'), path: '/v1/leases', agent: false };
    const { request } = await import('node:http');
    const bytes = await new Promise<string>((resolve, reject) => {
      let answer = '';
      request(url, (response) => {
        response.setEncoding('utf8');
        response.on('data', (part: string) => {
          answer += part;
        });
        response.on('end', () => resolve(answer));
      })
        .on('error', reject)
        .end();
    });
    delay.disable();
    // The reader is in this process, too; what is measured is both.
    expect(delay.max / 1e6).to.be.below(500);
    expect(JSON.parse(bytes)).to.have.length(60_000);
  });
});

interface LeaseLine {
  readonly address: string;
}
