/**
 * A container's whole life over the plugin socket, on a real etcd and the real kernel: what the engine asks, in its
 * order, and what must be there (and gone) after each step.
 */
import { expect } from 'chai';
import { randomId } from '../../core/ids.ts';
import { parseCidr, parseIp } from '../../core/ip.ts';
import { networkBody, PlayedEngine } from '../support/played-engine.ts';
import { until } from '../support/poll.ts';
import { PARENT, RealStack } from '../support/real-stack.ts';
import { need } from '../support/require.ts';

describe('plugin (socket, etcd, kernel)', () => {
  let stack: RealStack;
  let engine: PlayedEngine;

  before(async function () {
    need(this, 'root', 'netns', 'etcd');
    const pool = { name: 'main', subnet: parseCidr('10.88.0.0/16'), gateway: parseIp('10.88.255.254') };
    stack = await RealStack.start({ configuredPools: [pool], defaultPool: 'main' });
    engine = new PlayedEngine(stack);
  });
  afterEach(async () => {
    await until('the links of the test are deleted', () => stack.links().length === 0);
  });
  after(async () => stack?.stop());

  it('says what it is', async () => {
    expect(await engine.ok('Plugin.Activate', '')).to.deep.equal({
      Implements: ['NetworkDriver', 'IpamDriver'],
    });
    expect(await engine.ok('NetworkDriver.GetCapabilities', '')).to.deep.equal({
      Scope: 'local',
      ConnectivityScope: 'global',
    });
    expect(await engine.ok('NetworkDriver.GwAllocCheck', { Options: {} })).to.deep.equal({
      SkipIPv4: false,
      SkipIPv6: false,
    });
    const swarm = { NetworkID: randomId(32), Options: null, IPv4Data: null, IPv6Data: null };
    expect(await engine.ok('NetworkDriver.AllocateNetwork', swarm)).to.deep.equal({ Options: {} });
    expect(await engine.ok('NetworkDriver.DiscoverNew', '')).to.deep.equal({});
    expect(await engine.ok('IpamDriver.GetCapabilities', '')).to.deep.equal({
      RequiresMACAddress: false,
      RequiresRequestReplay: false,
    });
    expect(await engine.ok('IpamDriver.GetDefaultAddressSpaces', '')).to.deep.equal({
      LocalDefaultAddressSpace: 'lanius',
      GlobalDefaultAddressSpace: 'lanius',
    });
  });

  it('leads a container in and out, and leaves nothing', async () => {
    const network = await engine.createNetwork();
    expect(network.Pool).to.equal('10.77.0.0/16');
    const endpoint = await engine.createEndpoint(network);
    const bytes = endpoint.address.split('.').map((byte) => Number(byte).toString(16).padStart(2, '0'));
    const mac = `02:4c:${bytes.join(':')}`;
    expect(endpoint.reply).to.deep.equal({ Interface: { MacAddress: mac } });
    expect(stack.links(), 'the link is made in Join').to.deep.equal([]);

    const name = `ln${endpoint.ids.EndpointID.slice(0, 12)}`;
    expect(await engine.ok('NetworkDriver.Join', endpoint.join)).to.deep.equal({
      InterfaceName: { SrcName: name, DstPrefix: 'eth' },
      Gateway: network.gateway.split('/')[0],
      DisableGatewayService: true,
    });
    const link = stack.namespace.link(name);
    expect(link?.address).to.equal(mac);
    expect(link?.ifalias).to.equal(`lanius:${endpoint.ids.EndpointID}`);
    expect(link?.flags).to.not.include('UP');
    expect(link?.linkinfo?.info_data?.mode).to.equal('bridge');
    expect(stack.endpoints.get(endpoint.ids.EndpointID)?.sandboxKey).to.equal(endpoint.join.SandboxKey);

    expect(
      await engine.ok('NetworkDriver.ProgramExternalConnectivity', { ...endpoint.ids, Options: {} }),
    ).to.deep.equal({});
    expect(await engine.ok('NetworkDriver.EndpointOperInfo', endpoint.ids)).to.deep.equal({ Value: {} });
    expect(await engine.ok('NetworkDriver.RevokeExternalConnectivity', endpoint.ids)).to.deep.equal({});
    await endpoint.remove();
    await until('the link is deleted', () => stack.links().length === 0);
    expect(stack.endpoints.list()).to.deep.equal([]);
    expect(stack.leases.list()).to.deep.equal([]);
    await network.remove();
    expect(stack.networks.list()).to.deep.equal([]);
  });

  it('answers a repeated request the same, and refuses the same id with other parameters', async () => {
    const network = await engine.createNetwork();
    expect(await engine.ok('NetworkDriver.CreateNetwork', network.body)).to.deep.equal({});
    const other = networkBody(network.id, network.Pool, network.gateway, {
      options: { macvlan_mode: 'vepa' },
    });
    expect(await engine.refusal('NetworkDriver.CreateNetwork', other)).to.match(
      /known already with other parameters.*\(conflict/,
    );

    const endpoint = await engine.createEndpoint(network);
    expect(await engine.ok('NetworkDriver.CreateEndpoint', endpoint.body)).to.deep.equal(endpoint.reply);
    const otherMac = {
      ...endpoint.body,
      Interface: { ...endpoint.body.Interface, MacAddress: '02:00:00:00:00:01' },
    };
    expect(await engine.refusal('NetworkDriver.CreateEndpoint', otherMac)).to.match(
      /other parameters.*\(conflict/,
    );
    const joined = await engine.ok('NetworkDriver.Join', endpoint.join);
    expect(await engine.ok('NetworkDriver.Join', endpoint.join)).to.deep.equal(joined);
    expect(await engine.ok('NetworkDriver.CreateEndpoint', endpoint.body)).to.deep.equal(endpoint.reply);
    expect(stack.links()).to.have.length(1);
    await endpoint.remove();
    await endpoint.remove();
    await network.remove();
    await network.remove();
  });

  it('lets go of what it never heard of', async () => {
    const ids = { NetworkID: randomId(32), EndpointID: randomId(32) };
    for (const method of ['Leave', 'DeleteEndpoint', 'RevokeExternalConnectivity']) {
      expect(await engine.ok(`NetworkDriver.${method}`, ids), method).to.deep.equal({});
    }
    expect(await engine.ok('NetworkDriver.EndpointOperInfo', ids)).to.deep.equal({ Value: {} });
    expect(await engine.ok('NetworkDriver.DeleteNetwork', { NetworkID: ids.NetworkID })).to.deep.equal({});
    expect(await engine.ok('NetworkDriver.FreeNetwork', { NetworkID: ids.NetworkID })).to.deep.equal({});
    expect(await engine.ok('IpamDriver.ReleasePool', { PoolID: '10.99.0.0/16#1' })).to.deep.equal({});
    expect(
      await engine.ok('IpamDriver.ReleaseAddress', { PoolID: '10.99.0.0/16#1', Address: '10.99.0.9' }),
    ).to.deep.equal({});
  });

  it('returns no MAC and no address that the user fixed', async () => {
    const network = await engine.createNetwork();
    const endpoint = await engine.createEndpoint(network, '02:AA:BB:CC:DD:01', '10.77.200.1');
    expect(endpoint.reply).to.deep.equal({});
    await engine.ok('NetworkDriver.Join', endpoint.join);
    expect(stack.namespace.link(stack.links()[0] ?? '')?.address).to.equal('02:aa:bb:cc:dd:01');
    await endpoint.remove();
    await network.remove();
  });

  it('has no gateway on an internal network', async () => {
    const network = await engine.createNetwork({ internal: true, aux: '10.77.0.9' });
    const endpoint = await engine.createEndpoint(network);
    expect(await engine.ok('NetworkDriver.Join', endpoint.join)).to.not.have.any.keys(
      'Gateway',
      'GatewayIPv6',
    );
    await endpoint.remove();
    await network.remove();
  });

  it('deletes only a link that bears the mark of the endpoint', async () => {
    const EndpointID = randomId(32);
    const name = `ln${EndpointID.slice(0, 12)}`;
    stack.namespace.ip('link', 'add', 'link', PARENT, 'name', name, 'type', 'macvlan', 'mode', 'bridge');
    await engine.ok('NetworkDriver.DeleteEndpoint', { NetworkID: randomId(32), EndpointID });
    expect(stack.namespace.link(name)).to.not.equal(undefined);
    stack.namespace.ip('link', 'set', name, 'alias', `lanius:${EndpointID}`);
    await engine.ok('NetworkDriver.DeleteEndpoint', { NetworkID: randomId(32), EndpointID });
    await until('the link is deleted', () => stack.namespace.link(name) === undefined);
  });

  it('does not join where the name of the link is taken, and touches nothing of it', async () => {
    const network = await engine.createNetwork();
    const endpoint = await engine.createEndpoint(network);
    const name = `ln${endpoint.ids.EndpointID.slice(0, 12)}`;
    stack.namespace.ip('link', 'add', 'link', PARENT, 'name', name, 'type', 'macvlan', 'mode', 'bridge');
    expect(await engine.refusal('NetworkDriver.Join', endpoint.join)).to.match(/\(conflict, req/);
    await endpoint.remove();
    expect(stack.namespace.link(name)).to.not.equal(undefined);
    stack.namespace.ip('link', 'del', name);
    await network.remove();
  });

  it('knows its networks and endpoints after a restart', async () => {
    const network = await engine.createNetwork();
    const before = await engine.createEndpoint(network);
    await stack.stopDaemon();
    await stack.startDaemon();
    expect(await engine.ok('NetworkDriver.Join', before.join)).to.have.property('Gateway');
    const after = await engine.createEndpoint(network);
    expect(after.address).to.not.equal(before.address);
    await before.remove();
    await after.remove();
    await network.remove();
  });

  it('takes many containers at once', async () => {
    const network = await engine.createNetwork();
    const endpoints = await Promise.all(Array.from({ length: 20 }, () => engine.createEndpoint(network)));
    await Promise.all(endpoints.map(({ join }) => engine.ok('NetworkDriver.Join', join)));
    expect(new Set(endpoints.map(({ address }) => address)).size).to.equal(20);
    expect(stack.links()).to.have.length(20);
    await Promise.all(endpoints.map(({ remove }) => remove()));
    await until('the links are deleted', () => stack.links().length === 0);
    expect(stack.leases.list()).to.deep.equal([]);
    await network.remove();
  });

  it('chooses the configured pool and its gateway where no subnet is given', async () => {
    const network = await engine.createNetwork({ subnet: '' });
    expect(network).to.include({ Pool: '10.88.0.0/16', gateway: '10.88.255.254/16' });
    await network.remove();
  });
  it('leads a container with both families', async () => {
    const NetworkID = randomId(32);
    const pools: string[] = [];
    const addresses: string[] = [];
    for (const [Pool, V6] of [
      ['10.79.0.0/16', false],
      ['fd00:79::/64', true],
    ] as const) {
      const { PoolID } = await engine.ok('IpamDriver.RequestPool', { AddressSpace: 'lanius', Pool, V6 });
      const Options = { RequestAddressType: 'com.docker.network.gateway' };
      const gateway = await engine.ok('IpamDriver.RequestAddress', { PoolID, Address: '', Options });
      pools.push(String(PoolID));
      addresses.push(String(gateway.Address));
    }
    const body = networkBody(NetworkID, '10.79.0.0/16', addresses[0] ?? '');
    const IPv6Data = [{ AddressSpace: 'lanius', Pool: 'fd00:79::/64', Gateway: addresses[1] }];
    await engine.ok('NetworkDriver.CreateNetwork', { ...body, IPv6Data });
    const taken = await Promise.all(
      pools.map((PoolID) => engine.ok('IpamDriver.RequestAddress', { PoolID, Address: '', Options: null })),
    );
    const ids = { NetworkID, EndpointID: randomId(32) };
    const [Address, AddressIPv6] = taken.map((grant) => String(grant.Address));
    const Interface = { Address, AddressIPv6, MacAddress: '' };
    const created = await engine.ok('NetworkDriver.CreateEndpoint', { ...ids, Interface, Options: {} });
    expect(JSON.stringify(created)).to.match(/"02:4c:0a:4f:/);
    const join = { ...ids, SandboxKey: '/var/run/docker/netns/0123456789ab', Options: {} };
    expect(await engine.ok('NetworkDriver.Join', join)).to.include({
      Gateway: addresses[0]?.split('/')[0],
      GatewayIPv6: addresses[1]?.split('/')[0],
    });
    await engine.ok('NetworkDriver.DeleteEndpoint', ids);
    for (const [i, PoolID] of pools.entries()) {
      const bare = String(taken[i]?.Address).split('/')[0];
      await engine.ok('IpamDriver.ReleaseAddress', { PoolID, Address: bare });
      await engine.ok('IpamDriver.ReleasePool', { PoolID });
    }
    await engine.ok('NetworkDriver.DeleteNetwork', { NetworkID });
    expect(stack.leases.list()).to.deep.equal([]);
  });

  it('bears two networks on one subnet', async () => {
    const [a, b] = [await engine.createNetwork(), await engine.createNetwork()];
    expect(a.PoolID).to.not.equal(b.PoolID);
    const endpoints = [await engine.createEndpoint(a), await engine.createEndpoint(b)];
    for (const endpoint of endpoints) await endpoint.remove();
    await a.remove();
    const again = await engine.createEndpoint(b);
    await again.remove();
    await b.remove();
  });
});
