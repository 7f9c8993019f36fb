/**
 * Calls on the plugin's socket that no engine would make, and their answers: tables for bad-input.test.ts.
 */
const NETWORK = 'a'.repeat(64);
const both = { NetworkID: NETWORK, EndpointID: NETWORK };
const away = { PoolID: 'away', Address: '10.1.2.3' };
const data = { AddressSpace: 'lanius', Pool: '10.250.0.0/24', Gateway: '10.250.0.1/24' };

/** Every method that must have a body. */
export const METHODS = [
  ...['CreateNetwork', 'DeleteNetwork', 'FreeNetwork', 'AllocateNetwork', 'GwAllocCheck'],
  ...['CreateEndpoint', 'DeleteEndpoint', 'EndpointOperInfo', 'Join', 'Leave'],
  ...['ProgramExternalConnectivity', 'RevokeExternalConnectivity'],
]
  .map((name) => `NetworkDriver.${name}`)
  .concat(
    ['RequestPool', 'ReleasePool', 'RequestAddress', 'ReleaseAddress'].map((name) => `IpamDriver.${name}`),
  );

type Call<Answer> = readonly [method: string, body: object, answer: Answer];

/** Calls that end something, or do nothing: they succeed for ids never heard of. */
export const HARMLESS: readonly Call<object>[] = [
  ['NetworkDriver.DeleteNetwork', { NetworkID: NETWORK }, {}],
  ['NetworkDriver.FreeNetwork', { NetworkID: NETWORK }, {}],
  ['NetworkDriver.DeleteEndpoint', both, {}],
  ['NetworkDriver.Leave', both, {}],
  ['NetworkDriver.RevokeExternalConnectivity', both, {}],
  ['NetworkDriver.ProgramExternalConnectivity', both, {}],
  ['NetworkDriver.EndpointOperInfo', both, { Value: {} }],
  ['NetworkDriver.AllocateNetwork', { NetworkID: NETWORK }, { Options: {} }],
  ['NetworkDriver.GwAllocCheck', {}, { SkipIPv4: false, SkipIPv6: false }],
  ['NetworkDriver.DiscoverNew', {}, {}],
  ['NetworkDriver.DiscoverDelete', {}, {}],
  ['IpamDriver.ReleaseAddress', away, {}],
  ['IpamDriver.ReleaseAddress', { ...away, PoolID: '10.250.0.0/24#7' }, {}],
  ['IpamDriver.ReleasePool', { PoolID: 'away' }, {}],
  ['IpamDriver.ReleasePool', { PoolID: '10.250.0.0/24#7' }, {}],
];

const NO_NETWORK =
  'network aaaaaaaaaaaa is not in the records of this host: remove it (docker network rm) and create it again (not_found, req ID)';

/** Calls that need what is not there. */
export const IMPOSSIBLE: readonly Call<string>[] = [
  ['NetworkDriver.CreateEndpoint', { ...both, Interface: { Address: '10.77.30.5/24' } }, NO_NETWORK],
  ['NetworkDriver.Join', { ...both, SandboxKey: '/var/run/docker/netns/x' }, NO_NETWORK],
  [
    'NetworkDriver.CreateNetwork',
    { NetworkID: NETWORK, IPv4Data: [data], Options: { 'com.docker.network.generic': { parent: 'eth0' } } },
    'network on subnet 10.250.0.0/24: no address pool was requested for it here: create it with --ipam-driver of the same name as its driver (not_found, req ID)',
  ],
  [
    'IpamDriver.RequestAddress',
    { PoolID: 'away' },
    'pool id "away" is unknown: it was not made by this plugin (invalid, req ID)',
  ],
  [
    'IpamDriver.RequestPool',
    { AddressSpace: 'away', Pool: '10.250.0.0/24' },
    'address space "away" is not ours, which is "lanius": restart the engine, so that it asks for it anew (invalid, req ID)',
  ],
];
