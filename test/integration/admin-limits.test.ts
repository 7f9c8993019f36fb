/** Limits from the command line to etcd and back, with a played kernel and a small part of a host that puts them in force. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { main } from '../../cli/main.ts';
import { systemClock as clock } from '../../core/clock.ts';
import { parseCidr, parseIp } from '../../core/ip.ts';
import { silentLogger as logger } from '../../core/log.ts';
import { createAdminApp } from '../../daemon/admin-server.ts';
import { LimitPeople } from '../../daemon/limit-people.ts';
import { type Listener, listenOn } from '../../daemon/listen.ts';
import { EtcdInventory } from '../../ipam/people/etcd-inventory.ts';
import { LimitOrders } from '../../ipam/people/limit-orders.ts';
import { leaseLimitsOf } from '../../throttle/lease-limits.ts';
import type { DirectionState, LimitState } from '../../throttle/limit-state.ts';
import { OverrideBook } from '../../throttle/override-book.ts';
import { Usage } from '../../throttle/usage.ts';
import { type IpamHost, layout, soon } from '../support/ipam-host.ts';
import { until } from '../support/poll.ts';
import { suiteHosts } from '../support/suite-hosts.ts';

const subnet = parseCidr('10.90.0.0/24');
const IDS = { web: 'abcd0001'.repeat(8), db: 'abcd0002'.repeat(8) };

describe('bandwidth limits from the command line to etcd', function () {
  this.timeout(60_000);
  const hosts = suiteHosts({ empty: true });
  let host: IpamHost;
  let other: IpamHost;
  let folder: string;
  let listener: Listener;
  let overrides: OverrideBook;
  let usage: Usage;
  let states: Map<string, LimitState>;
  /** The host puts what it sees in force. */
  let obeys: boolean;
  let passed: number;

  const stateOf = (name: 'web' | 'db'): LimitState => {
    const override = overrides.of(name);
    const of = (direction: 'in' | 'out'): DirectionState => {
      const { limit, problem } = override[direction] ?? {};
      if (problem !== undefined) return { problem };
      if (override[direction] === undefined) {
        const wished = { rateBitsPerSecond: 10e6 };
        return name === 'web' && direction === 'in' ? { wished, source: 'env', how: 'tbf' } : {};
      }
      return limit === undefined
        ? { source: 'override' }
        : { wished: limit, source: 'override', how: direction === 'in' ? 'tbf' : 'police' };
    };
    return {
      endpointId: `e-${name}`,
      networkId: 'n',
      containerId: IDS[name],
      containerName: name,
      netAdmin: false,
      enforce: 'sandbox',
      in: of('in'),
      out: of('out'),
      mended: name === 'db' ? 2 : 0,
    };
  };
  const settle = (): void => {
    if (!obeys) return;
    for (const [index, name] of (['web', 'db'] as const).entries()) {
      const state = stateOf(name);
      states.set(name, state);
      host.addresses.noteLimits(subnet, parseIp(`10.90.0.${index + 2}`), leaseLimitsOf(state));
    }
  };
  const take = async (on: IpamHost, address: string, name: string, containerId: string): Promise<void> => {
    const ip = parseIp(address);
    await on.leases.takeThis(subnet, ip, soon());
    const id = { endpointId: `e-${name}`, networkId: 'n', macAddress: 'm' };
    on.leases.noteHolder(subnet, ip, { ...id, containerId, containerName: name });
    await until('it is bound', () => on.leases.get(subnet, ip)?.value.state === 'bound');
  };

  beforeEach(async () => {
    [host, other] = [await hosts.start('a1'), await hosts.start('a2')];
    await host.pools.use(subnet, soon());
    await take(host, '10.90.0.2', 'web', IDS.web);
    await take(host, '10.90.0.3', 'db', IDS.db);
    await take(other, '10.90.0.9', 'far', 'ffff0001'.repeat(8));
    const { kv, leases, committer } = host;
    states = new Map();
    obeys = true;
    passed = 0;
    overrides = new OverrideBook({ host: 'a1' }, { kv, layout, logger });
    overrides.onChange(settle);
    await overrides.load();
    const inventory = new EtcdInventory({
      kv,
      layout,
      leases,
      clock,
      logger,
      host: 'a1',
      usersOf: async () => [],
    });
    const orders = new LimitOrders({ kv, layout, committer });
    usage = new Usage(
      { askedMs: 100 },
      {
        shaping: {
          traffic: async (places) =>
            places.map((_place, index) => {
              passed += 1000;
              return {
                in: { bytes: passed * (index + 1), packets: passed, drops: 5 },
                out: { bytes: 10, packets: 1, drops: 0 },
              };
            }),
        },
        endpoints: () =>
          ['e-web', 'e-db'].map((endpointId) => ({
            endpointId,
            place: { at: 'sandbox', namespacePath: `/x/${endpointId}`, linkIndex: 2 },
          })),
        clock,
        logger,
      },
    );
    usage.start();
    const people = new LimitPeople({
      host: 'a1',
      states: { states: () => [...states.values()] },
      overrides,
      orders,
      inventory,
      leases,
      usage,
    });
    const app = createAdminApp({
      version: { version: '0', node: 'v20', host: 'a1' },
      inventory,
      reconciler: { run: () => Promise.reject(new Error('not played')), last: undefined },
      networks: () => [],
      doctor: async () => ({ ok: true, checks: [] }),
      limits: { people, orders },
      logger,
    });
    folder = mkdtempSync(join(tmpdir(), 'lanius-limits-'));
    listener = await listenOn(createServer(app), { path: join(folder, 'admin.sock') });
    await until('the limits are known', () => states.size === 2);
  });
  afterEach(async () => {
    usage.close();
    await listener.close(100);
    await overrides.close();
    rmSync(folder, { recursive: true });
  });

  const run = async (line: string): Promise<{ status: number; out: string; err: string }> => {
    const said = { status: 0, out: '', err: '' };
    const streams = {
      out: (text: string) => {
        said.out += text;
      },
      err: (text: string) => {
        said.err += text;
      },
    };
    said.status = await main(line.split(' '), { LANIUS_ADMIN_SOCKET: join(folder, 'admin.sock') }, streams);
    return said;
  };
  const stored = async (key: Parameters<typeof layout.limit>[0]): Promise<string | undefined> =>
    (await host.kv.range({ key: layout.limit(key) })).kvs[0]?.value;

  it('lists what is wished, by whom, and how it stands', async () => {
    const { out, status } = await run('limit ls');
    expect(status).to.equal(0);
    expect(out).to.match(/^CONTAINER +ADDRESS +IN +OUT +SOURCE IN\/OUT +STATE +HOW IN\/OUT +MENDED\n/);
    expect(out).to.match(/\nweb +10\.90\.0\.2 +10mbit +none +env\/- +in force +tbf\/- +0\n/);
    expect(out).to.match(/\ndb +10\.90\.0\.3 +none +none +- +- +- +2\n$/);
  });

  it('sets a limit live, and says what is in force then', async () => {
    const { status, out, err } = await run('limit set web --in 100mbit --out 20mbit --out-burst 64kb --wait');
    expect({ status, err }).to.deep.equal({ status: 0, err: '' });
    expect(out).to.equal(
      'web: in 100mbit; out 20mbit, burst 64kb is set on all hosts\n' +
        '10.90.0.2 on host a1: in 100mbit (override, tbf), out 20mbit (override, police)\n',
    );
    expect(await stored({ containerName: 'web', direction: 'in' })).to.equal('{"v":1,"rate":"100mbit"}');
    expect(await stored({ containerName: 'web', direction: 'out' })).to.equal(
      '{"v":1,"rate":"20mbit","burst":"64kb"}',
    );
    const [web] = JSON.parse((await run('limit ls -o json')).out).limits;
    expect(web).to.deep.include({ containerName: 'web', host: 'a1', addresses: ['10.90.0.2'] });
    expect(web.out).to.deep.include({ rate: '20mbit', source: 'override', limit: '20mbit, burst 64kb' });
    const leases = JSON.parse((await run('ip ls --name web -o json')).out);
    expect(leases[0].limits.in).to.deep.equal({
      rate: '100mbit',
      source: 'override',
      state: 'in force',
      how: 'tbf',
    });
    expect((await run('ip ls --name web -o wide')).out).to.match(/ LIMITS IN\/OUT\n.* 100mbit\/20mbit\n$/);
  });

  it('finds a container by address and by the beginning of its id, on one host only, and lifts a limit', async () => {
    expect((await run('limit set 10.90.0.3 --in 1mbit')).out).to.match(/^db: in 1mbit is set on all hosts\n/);
    expect((await run('limit set abcd0002a --out none --host a1')).out).to.equal(
      'db: out none is set on host a1\n10.90.0.3 on host a1: in 1mbit (override, tbf), out none (override)\n',
    );
    expect(await stored({ host: 'a1', containerName: 'db', direction: 'out' })).to.equal(
      '{"v":1,"rate":"none"}',
    );
    const several = await run('limit set abcd --in 1mbit');
    expect(several.status).to.equal(1);
    expect(several.err).to.match(
      /^lanius: several containers have an id that begins with abcd \(abcd0001abcd web, abcd0002abcd db\)/,
    );
  });

  it('takes away what was set, so that the container counts again', async () => {
    await run('limit set web --in 100mbit --out 20mbit');
    expect((await run('limit rm web --in')).out).to.equal(
      'web: what was set for all hosts is taken away\n10.90.0.2 on host a1: in 10mbit (env, tbf), out 20mbit (override, police)\n',
    );
    expect((await run('limit rm web')).out).to.match(/ out none\n$/);
    expect((await run('limit rm web')).out).to.match(/^web: nothing is set for all hosts\n/);
    expect((await host.kv.range({ prefix: layout.limits })).kvs).to.deep.equal([]);
  });

  it('sets for names that nobody has yet, and lists them', async () => {
    expect(await run('limit set later --in 5mbit')).to.deep.equal({
      status: 0,
      out: 'later: in 5mbit is set on all hosts\nno container has that name now: it counts from its start on\n',
      err: '',
    });
    await run('limit set web --in 7mbit --host a2');
    const key = layout.limit({ containerName: 'torn', direction: 'out' });
    await host.kv.txn({ compare: [], success: [{ do: 'put', key, value: '{"v":1,"rate":"10mbps"}' }] });
    const { out } = await run('limit ls');
    expect(out).to.match(
      /\n\nSet for names that no container has there:\nCONTAINER +HOST +DIRECTION +LIMIT\n/,
    );
    expect(out).to.match(/\nlater +all +in +5mbit\n/);
    expect(out).to.match(/\ntorn +all +out +cannot be read: rate: rate "10mbps" may mean/);
    expect(out).to.not.include('7mbit');
    const far = JSON.parse((await run('limit ls --host a2 -o json')).out);
    expect(far.limits.map((one: { containerName: string }) => one.containerName)).to.deep.equal(['far']);
    expect(far.unused.map((one: { containerName: string }) => one.containerName)).to.include('web');
    const all = (await run('limit ls --all')).out;
    expect(all)
      .to.match(/^HOST +CONTAINER/)
      .and.match(/\na2 +far /)
      .and.match(/\na1 +web /);
  });

  it('says what is not in force, and refuses what is none before anything is written', async () => {
    obeys = false;
    const late = await run('limit set web --in 1mbit');
    expect(late.status).to.equal(0);
    expect(late.out).to.match(/in 10mbit \(env, tbf\), out none\nnot all of it is told to be in force yet/);
    await run('limit rm web');
    for (const [line, complaint] of [
      ['limit set web --in 10mbps', /^lanius: net_in: rate "10mbps" may mean bits or bytes/],
      ['limit set web --in 1mbit --in-burst huge', /burst/],
      ['limit set web --in-burst 64kb', /net_in_burst: it means nothing without a limit: give net_in too/],
      ['limit set web --in 1mbit --in-min 2mbit', /more than the limit/],
      ['limit set a/b --in 1mbit', /"a\/b" is no container/],
      ['limit set web --in 1mbit --host a/b', /is not the name of a host/],
      ['limit set 10.90.0.77 --in 1mbit', /no container has address 10\.90\.0\.77/],
      ['limit set 10.99.0.1 --in 1mbit', /no pool holds 10\.99\.0\.1/],
    ] as const) {
      const { status, out, err } = await run(line);
      expect({ status, out }, line).to.deep.equal({ status: 1, out: '' });
      expect(err, line).to.match(complaint);
      expect(err.trimEnd(), line).to.not.include('\n');
    }
    expect(await run('limit set web')).to.include({ status: 2 });
    expect((await host.kv.range({ prefix: layout.limits })).kvs).to.deep.equal([]);
  });

  it('shows the present rates once, as a table and as JSON, sorted', async () => {
    const { out, status } = await run('top --once --interval 300ms');
    expect(status).to.equal(0);
    expect(out).to.match(
      /^CONTAINER +ADDRESS +IN +LIMIT +OUT +LIMIT +IN 10s +OUT 10s +DROPS IN\/OUT +TOTAL IN\/OUT\n/,
    );
    expect(out).to.match(
      /\ndb +10\.90\.0\.3 +[\d.]+ [kM]bit\/s +none +0 bit\/s +none .* 5\/0 +[\d.]+ kB\/10 B\nweb .* 10\.0 Mbit\/s /,
    );
    const [first] = JSON.parse((await run('top --once --interval 300ms --sort in -o json')).out);
    expect(first).to.deep.include({ endpointId: 'e-db', containerName: 'db' });
    expect(first.in.bitsPerSecondOver1s).to.be.above(0);
    expect((await run('top --sort up')).status).to.equal(2);
    expect((await run('top --interval 1ms')).status).to.equal(2);
  });

  it('prints a table after each interval until the daemon goes', async () => {
    setTimeout(() => void listener.close(0), 700);
    const { status, out, err } = await run('top --interval 100ms');
    expect(status).to.equal(1);
    expect(err).to.match(/the daemon does not answer/);
    expect(out.match(/^CONTAINER/gm)?.length).to.be.within(2, 8);
  });
});
