/** `KernelShims` against the real kernel: host, container and a machine outside, each a network namespace. */
import { execFileSync, spawnSync } from 'node:child_process';
import { expect } from 'chai';
import { SHIM_MARK } from '../../core/ids.ts';
import { silentLogger } from '../../core/log.ts';
import { KernelWorker } from '../../net/kernel-worker.ts';
import { KernelLinks } from '../../net/links.ts';
import { KernelShims } from '../../net/shim-port.ts';
import { need } from '../support/require.ts';
import { failure } from './kernel-links.ts';
import { TestNamespace } from './namespace.ts';

const SHIM = 'ls0123456789ab';
const SPEC = { name: SHIM, parent: 'eth0', alias: SHIM_MARK };
const MAC = '02:4c:0a:09:10:05';
const HOST = { ipv4: '10.9.0.11', ipv6: 'fd09::11' };
const CONTAINER = { ipv4: '10.9.16.5', ipv6: 'fd09::5' };
const ROUTES = [
  { address: CONTAINER.ipv4, macAddress: MAC, towards: '10.9.0.1' },
  { address: CONTAINER.ipv6, macAddress: MAC, towards: 'fd09::1' },
];

describe('net/shim', function () {
  this.timeout(20_000);
  let host: TestNamespace;
  let container: TestNamespace;
  let outside: TestNamespace;
  let kernel: KernelWorker;
  let shims: KernelShims;
  let links: KernelLinks;

  before(function () {
    need(this, 'root', 'netns');
  });

  beforeEach(() => {
    [host, container, outside] = [new TestNamespace(), new TestNamespace(), new TestNamespace()];
    host.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', outside.name);
    host.ip('link', 'add', 'c0', 'link', 'eth0', 'address', MAC, 'type', 'macvlan', 'mode', 'bridge');
    host.ip('link', 'set', 'c0', 'name', 'eth1', 'netns', container.name);
    const places = [
      [host, 'eth0', HOST],
      [outside, 'eth0', { ipv4: '10.9.0.2', ipv6: 'fd09::2' }],
      [container, 'eth1', CONTAINER],
    ] as const;
    for (const [namespace, link, { ipv4, ipv6 }] of places) {
      namespace.ip('link', 'set', 'lo', 'up');
      namespace.ip('link', 'set', link, 'up');
      namespace.ip('addr', 'add', `${ipv4}/16`, 'dev', link);
      namespace.ip('addr', 'add', `${ipv6}/64`, 'dev', link, 'nodad');
    }
    kernel = new KernelWorker({ namespacePath: host.path }, { log: silentLogger });
    shims = new KernelShims(kernel);
    links = new KernelLinks(kernel);
  });

  afterEach(async () => {
    await kernel.close();
    for (const namespace of [host, container, outside]) namespace.remove();
  });

  const pings = (from: TestNamespace, ip: string): boolean =>
    spawnSync('ip', ['netns', 'exec', from.name, 'ping', '-c1', '-W1', ip]).status === 0;
  const within = (namespace: TestNamespace, ...command: readonly string[]): string =>
    execFileSync('ip', ['netns', 'exec', namespace.name, ...command], { encoding: 'utf8' });
  const macThere = (ip: string): string =>
    (JSON.parse(container.ip('-j', 'neigh', 'show', ip)) as { lladdr?: string }[])[0]?.lladdr ?? '';

  async function stand(): Promise<string> {
    const { link } = await shims.shimAdd(SPEC);
    await shims.hostRoutesChange({ shim: SHIM, put: ROUTES, remove: [] });
    return link.macAddress ?? '';
  }

  it('connects host and container by IPv4, in both directions, without an ARP request of the host', async () => {
    expect(pings(host, CONTAINER.ipv4), 'without a shim').to.equal(false);
    const shimMac = await stand();
    expect(pings(host, CONTAINER.ipv4), 'host to container').to.equal(true);
    expect(pings(container, HOST.ipv4), 'container to host').to.equal(true);
    expect(macThere(HOST.ipv4)).to.equal(shimMac);
    const neighbours = JSON.parse(host.ip('-j', 'neigh', 'show', CONTAINER.ipv4)) as { dev: string }[];
    // The first ping has left one on the NIC that failed.
    const neighbour = neighbours.find(({ dev }) => dev === SHIM);
    expect(neighbour).to.deep.include({ lladdr: MAC, state: ['PERMANENT'] });
  });

  it('connects them by IPv6 once the container knows the MAC of the shim', async () => {
    const macAddress = await stand();
    const { linkIndex = 0 } =
      (await links.linkListIn(container.path))?.find(({ name }) => name === 'eth1') ?? {};
    const entries = Object.values(HOST).map((address) => ({ address, macAddress }));
    const neighbours = { namespacePath: container.path, linkIndex, entries };
    expect(await shims.staticNeighbours(neighbours)).to.equal(true);
    expect(await shims.staticNeighbours(neighbours), 'again').to.equal(true);
    expect(pings(host, CONTAINER.ipv6), 'host to container').to.equal(true);
    expect(pings(container, HOST.ipv6), 'container to host').to.equal(true);
    within(host, 'sh', '-c', 'echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore');
    expect(pings(container, HOST.ipv4), 'IPv4 where the host does not answer').to.equal(true);
  });

  it('leaves it to the parent to answer for the host, and to talk with the segment', async () => {
    const shimMac = await stand();
    for (const ip of Object.values(HOST)) expect(pings(outside, ip), ip).to.equal(true);
    expect(pings(outside, CONTAINER.ipv4)).to.equal(true);
    const table = outside.ip('neigh');
    expect(table).to.contain(host.link('eth0')?.address ?? 'no MAC');
    expect(table).not.to.contain(shimMac);
    expect(host.ip('addr', 'show', 'dev', SHIM)).not.to.contain('inet');
    for (const [family, name, value] of [
      ['ipv4', 'arp_filter', '1'],
      ['ipv4', 'rp_filter', '1'],
      ['ipv6', 'accept_ra', '0'],
      ['ipv6', 'addr_gen_mode', '1'],
    ]) {
      expect(within(host, 'cat', `/proc/sys/net/${family}/conf/${SHIM}/${name}`).trim(), name).to.equal(
        value,
      );
    }
  });

  it('is made once, set up again, and deleted with its routes', async () => {
    const { link, unset } = await shims.shimAdd(SPEC);
    expect(link).to.include({ kind: 'macvlan', macvlanMode: 'bridge', alias: SHIM_MARK, up: true });
    expect(unset).to.deep.equal([]);
    host.ip('link', 'set', SHIM, 'down');
    expect(await shims.hostRoutesChange({ shim: SHIM, put: ROUTES, remove: [] })).to.equal(undefined);
    expect((await shims.shimAdd(SPEC)).link).to.deep.equal(link);
    await shims.hostRoutesChange({ shim: SHIM, put: ROUTES, remove: [] });
    expect(await shims.shimDelete({ name: SHIM, alias: SHIM_MARK })).to.equal(true);
    expect(await shims.shimDelete({ name: SHIM, alias: SHIM_MARK })).to.equal(false);
    expect(host.ip('route', 'show', 'proto', '76') + host.ip('-6', 'route', 'show', 'proto', '76')).to.equal(
      '',
    );
    expect(await shims.hostRoutesFind(SHIM, [])).to.equal(undefined);
    const again = await shims.shimAdd(SPEC);
    expect(again.link.macAddress, 'the same MAC').to.equal(link.macAddress);
  });

  it('finds its routes with their sources, and sets them right when the host gets another address', async () => {
    await stand();
    const towards = ROUTES.map((route) => route.towards);
    const sources = { '10.9.0.1': HOST.ipv4, 'fd09::1': HOST.ipv6 };
    const found = await shims.hostRoutesFind(SHIM, towards);
    expect(found?.sources).to.deep.equal(sources);
    expect(found?.routes).to.have.deep.members([
      { address: CONTAINER.ipv4, source: HOST.ipv4 },
      { address: CONTAINER.ipv6, source: HOST.ipv6 },
    ]);
    host.ip('addr', 'add', '10.9.0.12/16', 'dev', 'eth0');
    host.ip('addr', 'del', '10.9.0.11/16', 'dev', 'eth0');
    if (!host.ip('addr', 'show', 'dev', 'eth0').includes('10.9.0.12'))
      host.ip('addr', 'add', '10.9.0.12/16', 'dev', 'eth0');
    const changed = await shims.hostRoutesChange({ shim: SHIM, put: ROUTES, remove: [] });
    expect(changed).to.deep.equal({ ...sources, '10.9.0.1': '10.9.0.12' });
    expect((await shims.hostRoutesFind(SHIM, []))?.routes).to.deep.include({
      address: CONTAINER.ipv4,
      source: '10.9.0.12',
    });
    expect(pings(host, CONTAINER.ipv4)).to.equal(true);
  });

  it('removes routes one by one, and takes one that is gone as removed', async () => {
    await stand();
    const removal = { shim: SHIM, put: [], remove: [CONTAINER.ipv4, '10.9.77.77'] };
    await shims.hostRoutesChange(removal);
    await shims.hostRoutesChange(removal);
    expect((await shims.hostRoutesFind(SHIM, []))?.routes).to.deep.equal([
      { address: CONTAINER.ipv6, source: HOST.ipv6 },
    ]);
    expect(host.ip('neigh', 'show', 'dev', SHIM)).not.to.contain(CONTAINER.ipv4);
  });

  it('takes the address of the parent where the host has no route to the segment', async () => {
    await shims.shimAdd(SPEC);
    const put = [{ address: '10.66.0.5', macAddress: MAC, towards: '10.66.0.1' }];
    expect(await shims.hostRoutesChange({ shim: SHIM, put, remove: [] })).to.deep.equal({
      '10.66.0.1': HOST.ipv4,
    });
  });

  it('puts no route for a family that the host has no address of', async () => {
    host.ip('addr', 'flush', 'dev', 'eth0', 'scope', 'global');
    await stand();
    expect((await shims.hostRoutesFind(SHIM, ['10.9.0.1']))?.sources).to.deep.equal({});
    expect((await shims.hostRoutesFind(SHIM, []))?.routes).to.deep.equal([]);
  });

  it("does not take over or delete somebody else's link", async () => {
    host.ip('link', 'add', SHIM, 'link', 'eth0', 'type', 'macvlan', 'mode', 'bridge');
    expect((await failure(shims.shimAdd(SPEC))).message).to.contain(`a link named "${SHIM}" exists already`);
    expect(await shims.shimDelete({ name: SHIM, alias: SHIM_MARK })).to.equal(false);
    expect(host.link(SHIM)).not.to.equal(undefined);
    expect((await failure(shims.shimAdd({ ...SPEC, parent: 'eth9' }))).message).to.contain('does not exist');
  });

  it('takes a sandbox or link that is gone as no error', async () => {
    const entries = [{ address: HOST.ipv4, macAddress: MAC }];
    const gone = { linkIndex: 9999, entries };
    expect(await shims.staticNeighbours({ namespacePath: container.path, ...gone })).to.equal(false);
    expect(await shims.staticNeighbours({ namespacePath: '/run/netns/none', ...gone })).to.equal(false);
  });

  it('puts a route in less than 2 ms', async () => {
    await shims.shimAdd(SPEC);
    const times: number[] = [];
    for (let i = 0; i < 50; i++) {
      const start = performance.now();
      await shims.hostRoutesChange({ shim: SHIM, put: ROUTES, remove: [] });
      times.push(performance.now() - start);
    }
    const [best = 0, ...rest] = times.toSorted((a, b) => a - b);
    const median = rest[24] ?? 0;
    console.log(
      `      two routes with their neighbours: ${median.toFixed(2)} ms (median of 50), ${best.toFixed(2)} at best`,
    );
    // The best one: a machine that others use shows in the rest.
    expect(best).to.be.below(2);
  });
});
