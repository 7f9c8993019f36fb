/**
 * What the plugin refuses, with the one line that `docker run` prints: object, reason, remedy. On a real etcd and the
 * real kernel; after each refusal nothing is left.
 */
import { expect } from 'chai';
import { randomId } from '../../core/ids.ts';
import { parseCidr, parseIp } from '../../core/ip.ts';
import { type NetworkWishes, networkBody, PlayedEngine } from '../support/played-engine.ts';
import { PARENT, RealStack } from '../support/real-stack.ts';
import { need } from '../support/require.ts';

describe('plugin refusals (socket, etcd, kernel)', () => {
  let stack: RealStack;
  let engine: PlayedEngine;

  before(async function () {
    need(this, 'root', 'netns', 'etcd');
    const pool = { name: 'main', subnet: parseCidr('10.88.0.0/16'), gateway: parseIp('10.88.255.254') };
    stack = await RealStack.start({ configuredPools: [pool], defaultPool: 'main' });
    engine = new PlayedEngine(stack);
  });
  after(async () => stack?.stop());

  const create = (wishes: NetworkWishes, space = 'lanius'): [string, unknown] => {
    const body = networkBody(randomId(32), '10.77.0.0/16', '10.77.0.1/16', wishes);
    return [
      'NetworkDriver.CreateNetwork',
      { ...body, IPv4Data: [{ ...body.IPv4Data[0], AddressSpace: space }] },
    ];
  };
  const pool = (fields: object): [string, unknown] => [
    'IpamDriver.RequestPool',
    { AddressSpace: 'lanius', Pool: '', SubPool: '', Options: null, V6: false, ...fields },
  ];
  const refused: readonly (readonly [string, readonly [string, unknown], RegExp])[] = [
    [
      'the engine’s own IPAM',
      create({}, 'LocalDefault'),
      /^network driver lanius needs its own IPAM: add --ipam-driver lanius \(invalid/,
    ],
    [
      'no subnet at all',
      ['NetworkDriver.CreateNetwork', { NetworkID: randomId(32), Options: {} }],
      /needs its own IPAM/,
    ],
    [
      'a parent that is not there',
      create({ options: { parent: 'eth77' } }),
      /^parent link eth77 does not exist on this host: give another as -o parent=LINK .*\(not_found/,
    ],
    [
      'a VLAN of a parent that is not there',
      create({ options: { parent: 'eth77', vlan: '100' } }),
      /^parent link eth77 does not exist on this host: give another as -o parent=LINK .*\(not_found/,
    ],
    [
      'VLAN 4095',
      create({ options: { vlan: '4095' } }),
      /^option vlan: "4095" is not a whole number from 1 to 4094/,
    ],
    [
      'an MTU above the parent’s',
      create({ options: { mtu: '9000' } }),
      /^option mtu: 9000 is more than the 1500 of the parent up0: .*ip link set up0 mtu 9000/,
    ],
    ['a misspelt option', create({ options: { parnet: 'up0' } }), /did you mean "parent"\?/],
    ['another mode', create({ options: { mode: 'vxlan' } }), /only macvlan, bridge, ipvlan \(unsupported/],
    [
      'an ip-range elsewhere',
      pool({ Pool: '10.77.0.0/16', SubPool: '10.78.0.0/24' }),
      /^--ip-range 10\.78\.0\.0\/24 is not inside of --subnet 10\.77\.0\.0\/16/,
    ],
    ['an ip-range alone', pool({ SubPool: '10.78.0.0/24' }), /^--ip-range 10\.78\.0\.0\/24 needs the subnet/],
    [
      'a subnet of the other family',
      pool({ Pool: '10.77.0.0/16', V6: true }),
      /^subnet 10\.77\.0\.0\/16 is not IPv6/,
    ],
    [
      'a foreign address space',
      pool({ AddressSpace: 'LocalDefault', Pool: '10.77.0.0/16' }),
      /"LocalDefault" is not ours/,
    ],
    [
      'an unknown IPAM option',
      pool({ Pool: '10.77.0.0/16', Options: { vlan: '0' } }),
      /^unknown IPAM option "vlan"/,
    ],
    [
      'an endpoint of an unknown network',
      ['NetworkDriver.CreateEndpoint', { NetworkID: randomId(32), EndpointID: randomId(32) }],
      /docker network rm.*create it again \(not_found/,
    ],
  ];
  for (const [what, [method, body], text] of refused) {
    it(`refuses ${what}, with the remedy`, async () => {
      expect(await engine.refusal(method, body)).to.match(text);
      expect(stack.networks.list()).to.deep.equal([]);
    });
  }

  it('refuses a link that has the VLAN’s name, but is none', async () => {
    stack.namespace.ip('link', 'add', 'link', PARENT, 'name', 'up0.7', 'type', 'macvlan', 'mode', 'bridge');
    expect(await engine.refusal(...create({ options: { vlan: '7' } }))).to.match(
      /^link up0\.7 exists, but is not VLAN 7 of up0/,
    );
    stack.namespace.ip('link', 'del', 'up0.7');
  });

  it('refuses to publish ports, and says how to reach the container; -P and --expose pass', async () => {
    const network = await engine.createNetwork();
    const endpoint = await engine.createEndpoint(network);
    const ports = (HostPort: number, HostIP = '') => ({
      ...endpoint.body,
      EndpointID: randomId(32),
      Options: {
        'com.docker.network.endpoint.exposedports': [{ Proto: 6, Port: 80 }],
        'com.docker.network.portmap': [
          { Proto: 6, IP: '', Port: 80, HostIP, HostPort, HostPortEnd: HostPort },
        ],
      },
    });
    const text = await engine.refusal('NetworkDriver.CreateEndpoint', ports(8080));
    expect(text).to.contain(
      `-p/--publish has no effect on a flat network: every container has its own address, reach ${endpoint.address}:80 directly; start it without -p`,
    );
    expect(await engine.refusal('NetworkDriver.CreateEndpoint', ports(0, '127.0.0.1'))).to.contain(
      '-p/--publish',
    );
    const { PoolID } = network;
    const { Address } = await engine.ok('IpamDriver.RequestAddress', { PoolID, Address: '', Options: null });
    const exposed = { ...ports(0), Interface: { Address, AddressIPv6: '', MacAddress: '' } };
    await engine.ok('NetworkDriver.CreateEndpoint', exposed);
    await engine.ok('NetworkDriver.DeleteEndpoint', {
      NetworkID: network.id,
      EndpointID: exposed.EndpointID,
    });
    await engine.ok('IpamDriver.ReleaseAddress', { PoolID, Address: String(Address).split('/')[0] });
    await endpoint.remove();
    await network.remove();
  });

  it('refuses an unknown endpoint option and an address of another subnet, and keeps no record', async () => {
    const network = await engine.createNetwork();
    const body = { NetworkID: network.id, EndpointID: randomId(32), Options: {} };
    const at = (Address: string) => ({ Address, AddressIPv6: '', MacAddress: '' });
    expect(
      await engine.refusal('NetworkDriver.CreateEndpoint', { ...body, Interface: at('10.78.0.9/16') }),
    ).to.match(/^address 10\.78\.0\.9 is in no subnet of network .*use one of 10\.77\.0\.0\/16 \(invalid/);
    expect(await engine.refusal('NetworkDriver.CreateEndpoint', { ...body, Interface: at('') })).to.match(
      /has no address/,
    );
    const options = { ...body, Interface: at('10.77.5.5/16'), Options: { net_inn: '100' } };
    expect(await engine.refusal('NetworkDriver.CreateEndpoint', options)).to.match(
      /^unknown endpoint option "net_inn": did you mean "net_in"/,
    );
    const limits = { ...options, Options: { net_in: '10mbps' } };
    expect(await engine.refusal('NetworkDriver.CreateEndpoint', limits)).to.match(
      /^--driver-opt net_in: rate "10mbps" may mean bits or bytes a second: .* \(invalid/,
    );
    expect(stack.endpoints.list()).to.deep.equal([]);
    await network.remove();
  });
});
