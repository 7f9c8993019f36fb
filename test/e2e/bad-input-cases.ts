/**
 * Bad input of users, and the exact words that docker prints for it: tables for bad-input.test.ts. Words of Lanius
 * are the same on every engine; the engines differ in how they wrap them, and in what they refuse themselves.
 */
import { atStart, engineSays } from '../support/docker-words.ts';
import type { EngineVersion } from '../support/machine.ts';

export const FLAT = { subnet: '10.77.30.0/24', gateway: '10.77.30.1' };
export const SUBNET = ['--subnet', '10.77.31.0/24'];
export const PARENT = ['-o', 'parent=eth0'];
export const DRIVERS = ['-d', 'lanius', '--ipam-driver', 'lanius'];

export type Words = string | ((engine: EngineVersion) => string);
export const create = (text: string, code = 'invalid'): string =>
  `NetworkDriver.CreateNetwork: ${text} (${code}, req ID)`;
export const pool = (text: string, code = 'invalid'): string =>
  `IpamDriver.RequestPool: ${text} (${code}, req ID)`;
const address = (text: string, code = 'invalid') => `IpamDriver.RequestAddress: ${text} (${code}, req ID)`;
const endpoint = (text: string) =>
  `failed to create endpoint bad on network flat: NetworkDriver.CreateEndpoint: ${text} (invalid, req ID)`;
const notCidr = (text: string) =>
  engineSays(
    `Invalid subnet ${text} : invalid CIDR address: ${text}`,
    `invalid network config:\ninvalid subnet ${text}: invalid CIDR block notation`,
  );
const vlan = (value: string) => create(`option vlan: "${value}" is not a whole number from 1 to 4094`);
const mtu = (value: string) => create(`option mtu: "${value}" is not a whole number from 68 to 65535`);
const LIMITS =
  'net_in, net_in_burst, net_in_min, net_in_peak, net_out, net_out_burst, net_out_min, net_out_peak';
const unknown = (key: string, guess: string) =>
  create(
    `unknown network option "${key}": ${guess}known: adopt_address, arp, bridge, enforce, host_access, macvlan_mode, mode, mtu, ${LIMITS}, parent, probe, responder, vlan`,
  );
/** Rates that are none, and why. */
const RATES: readonly (readonly [string, string])[] = [
  ['10mbps', '"10mbps" may mean bits or bytes a second'],
  ['-5', '"-5" is no number with a unit'],
  ['1e9', '"1e9" is no number with a unit'],
  ['abc', '"abc" is no number with a unit'],
  ['5mbit1kbit', '"5mbit1kbit" is no number with a unit'],
  ['9'.repeat(10_000), `"${'9'.repeat(37)}..." is no number with a unit`],
];
const rate = (option: string, why: string) =>
  `${option}: rate ${why}: write 500 (kbit/s), 100mbit, 1.5gbit or none`;
const noLink = (name: string) => create(`option parent: "${name}" cannot be the name of a link`);
const overlap = (subnet: string) =>
  pool(
    `subnet ${subnet} overlaps pool 10.77.30.0/24, which is in use: choose that subnet itself (with --ip-range for a part of it), or one beside it`,
    'conflict',
  );
const edge = (ip: string, subnet: string) =>
  address(`address ${ip} is the network or broadcast address of subnet ${subnet}: choose another`);
const noSubnet = pool(
  'no subnet given and no pool fits this host by itself: add --subnet, or make a pool with lanius pool add, or set ipam.defaultPool (configured pools: none)',
);

/** Arguments of `docker network create`, without drivers and name; what docker prints. */
export const NETWORKS: readonly (readonly [string, readonly string[], Words])[] = [
  ['a prefix length of 33', ['--subnet', '10.77.31.0/33', ...PARENT], notCidr('10.77.31.0/33')],
  ['a subnet without prefix length', ['--subnet', '10.77.31.0', ...PARENT], notCidr('10.77.31.0')],
  ['a subnet that is none', ['--subnet', 'banana', ...PARENT], notCidr('banana')],
  ['a subnet around a pool in use', ['--subnet', '10.77.0.0/16', ...PARENT], overlap('10.77.0.0/16')],
  ['a subnet inside of a pool in use', ['--subnet', '10.77.30.0/25', ...PARENT], overlap('10.77.30.0/25')],
  ['no subnet', [...PARENT], noSubnet],
  ['IPv6 without a subnet for it', ['--ipv6', ...SUBNET, ...PARENT], noSubnet],
  ...['0', '4095', '4096', '-1', '1.5', 'abc', ''].map(
    (value) => [`VLAN "${value}"`, [...SUBNET, ...PARENT, '-o', `vlan=${value}`], vlan(value)] as const,
  ),
  [
    'a VLAN of a parent that does not exist',
    [...SUBNET, '-o', 'parent=eth77', '-o', 'vlan=100'],
    create(
      'parent link eth77 does not exist on this host: give another as -o parent=LINK (there are eth0, docker0)',
      'not_found',
    ),
  ],
  [
    'a VLAN of the loopback',
    [...SUBNET, '-o', 'parent=lo', '-o', 'vlan=100'],
    create('parent link lo is the loopback: choose an Ethernet link as -o parent=LINK'),
  ],
  [
    'a VLAN of a kernel that has none',
    [...SUBNET, ...PARENT, '-o', 'vlan=100'],
    create(
      'VLAN sub-interface eth0.100 cannot be made, because this kernel has no 802.1Q: modprobe 8021q, or use a kernel with CONFIG_VLAN_8021Q',
      'unsupported',
    ),
  ],
  ...['0', '4095', '4096'].map(
    (id) =>
      [
        `parent eth0.${id}`,
        [...SUBNET, '-o', `parent=eth0.${id}`],
        create(`there is no link eth0.${id}, and ${id} is no VLAN of eth0: VLANs are 1 to 4094`),
      ] as const,
  ),
  [
    'a name that a link of another kind has',
    [...SUBNET, ...PARENT, '-o', 'vlan=7'],
    create(
      'link eth0.7 exists, but is not VLAN 7 of eth0 (it is a macvlan): rename it, or give the right sub-interface as -o parent=',
      'conflict',
    ),
  ],
  ...['0', '67', '65536', '70000', 'abc', '1500.0'].map(
    (value) => [`MTU "${value}"`, [...SUBNET, ...PARENT, '-o', `mtu=${value}`], mtu(value)] as const,
  ),
  [
    'an MTU above that of the parent',
    [...SUBNET, ...PARENT, '-o', 'mtu=1501'],
    create(
      'option mtu: 1501 is more than the 1500 of the parent eth0: raise that first (ip link set eth0 mtu 1501), or take less',
    ),
  ],
  ['a misspelt option', [...SUBNET, '-o', 'parnet=eth0'], unknown('parnet', 'did you mean "parent"? ')],
  ['letters swapped', [...SUBNET, ...PARENT, '-o', 'vlna=5'], unknown('vlna', 'did you mean "vlan"? ')],
  ['an option like no other', [...SUBNET, ...PARENT, '-o', 'zzzzzzzz=5'], unknown('zzzzzzzz', '')],
  [
    'an unknown option with our name',
    [...SUBNET, ...PARENT, '-o', 'lanius.foo=5'],
    unknown('lanius.foo', ''),
  ],
  ...RATES.map(
    ([value, why]) =>
      [
        `net_in ${value.slice(0, 12)}`,
        [...SUBNET, ...PARENT, '-o', `net_in=${value}`],
        create(rate('-o net_in', why)),
      ] as const,
  ),
  [
    'a burst that may be bits',
    [...SUBNET, ...PARENT, '-o', 'net_out=5mbit', '-o', 'net_out_burst=64k'],
    create(
      '-o net_out_burst: burst "64k" may mean bits, and a burst is a size in bytes: write 15140 (bytes), 64kb or 1mb',
    ),
  ],
  [
    'limits on the side of the host where containers reach each other past it',
    [...SUBNET, ...PARENT, '-o', 'enforce=host'],
    create(
      '-o enforce=host needs mode=macvlan with macvlan_mode=private or vepa: in macvlan_mode=bridge containers of one host reach each other past the parent, where the limits would stand: add -o macvlan_mode=private, or leave out enforce=host',
    ),
  ],
  [
    'a macvlan mode that is none',
    [...SUBNET, ...PARENT, '-o', 'macvlan_mode=bride'],
    create('option macvlan_mode: "bride" is not offered, only bridge, private, vepa, passthru'),
  ],
  ...['veth', 'MACVLAN'].map(
    (mode) =>
      [
        `mode ${mode}`,
        [...SUBNET, ...PARENT, '-o', `mode=${mode}`],
        create(`option mode: "${mode}" is not offered, only macvlan, bridge, ipvlan`, 'unsupported'),
      ] as const,
  ),
  [
    'a misspelt IPAM option',
    [...SUBNET, ...PARENT, '--ipam-opt', 'pol=x'],
    pool('unknown IPAM option "pol": did you mean "pool"? known: pool, range, sticky'),
  ],
  [
    'a pool that is not configured',
    [...PARENT, '--ipam-opt', 'pool=x'],
    pool(
      'there is no pool "x": make it with lanius pool add, or add it to ipam.pools, or use --subnet instead',
    ),
  ],
  [
    'a pool name that can be none',
    [...PARENT, '--ipam-opt', 'pool=../x'],
    pool('option pool: "../x" is not the name of a pool'),
  ],
  [
    'no parent',
    [...SUBNET],
    create('the network has no parent link: add -o parent=LINK, for example -o parent=eth0'),
  ],
  ...['', 'a/b', 'abcdefghijklmnop'].map(
    (name) => [`parent "${name}"`, [...SUBNET, '-o', `parent=${name}`], noLink(name)] as const,
  ),
  [
    'a parent that does not exist',
    [...SUBNET, '-o', 'parent=eth77'],
    create(
      'parent link eth77 does not exist on this host: give another as -o parent=LINK (there are eth0, docker0)',
      'not_found',
    ),
  ],
  [
    'the loopback as parent',
    [...SUBNET, '-o', 'parent=lo'],
    create('parent link lo is the loopback: choose an Ethernet link as -o parent=LINK'),
  ],
  [
    'a macvlan as parent',
    [...SUBNET, '-o', 'parent=mv0'],
    create(
      'parent link mv0 is a macvlan itself, and the kernel would use its lower link: choose -o parent=eth0',
    ),
  ],
  ...['10.77.32.0/25', '10.77.0.0/16'].map(
    (range) =>
      [
        `ip-range ${range}`,
        [...SUBNET, ...PARENT, '--ip-range', range],
        `no matching subnet for range ${range}`,
      ] as const,
  ),
  [
    'a gateway outside of the subnet',
    [...SUBNET, ...PARENT, '--gateway', '10.77.32.1'],
    'no matching subnet for gateway 10.77.32.1',
  ],
  ...['10.77.31.0', '10.77.31.255'].map(
    (ip) =>
      [
        `gateway ${ip}`,
        [...SUBNET, ...PARENT, '--gateway', ip],
        `failed to allocate gateway (${ip}): ${edge(ip, '10.77.31.0/24')}`,
      ] as const,
  ),
  [
    'the broadcast address as aux address',
    [...SUBNET, ...PARENT, '--aux-address', 'a=10.77.31.255'],
    `failed to allocate secondary ip address (a:10.77.31.255): ${edge('10.77.31.255', '10.77.31.0/24')}`,
  ],
];

export const NO_OPTION = (key: string): string =>
  endpoint(`unknown endpoint option "${key}": known: ${LIMITS}`);
const OUTSIDE = engineSays(
  "Invalid address 10.77.31.5: It does not belong to any of this network's subnets",
  'invalid config for network flat: invalid endpoint settings:\nno configured subnet or ip-range contain the IP address 10.77.31.5',
);
const starts =
  (text: string): Words =>
  (engine) =>
    atStart(engine, text);

type Args = readonly string[] | ((engine: EngineVersion) => readonly string[]);
const OWN_IP = { '20.10': '10.77.30.9', '26.1': '10.77.30.10', '28.5': '10.77.30.11' } as const;

/** Arguments of `docker run`; what docker prints. h2 has a container `first` with 10.77.30.77. */
export const RUNS: readonly (readonly [string, Args, Words])[] = [
  [
    'an address that a container of another host, or of this one, has',
    ['--network', 'flat', '--ip', '10.77.30.77'],
    starts(
      address('address 10.77.30.77 of pool 10.77.30.0/24 is taken: first on host h2 has it', 'conflict'),
    ),
  ],
  [
    'the address of the gateway',
    ['--network', 'flat', '--ip', '10.77.30.1'],
    starts(
      address(
        'address 10.77.30.1 of pool 10.77.30.0/24 is taken: it is reserved as gateway of a network',
        'conflict',
      ),
    ),
  ],
  ...['10.77.30.0', '10.77.30.255'].map(
    (ip) => [`address ${ip}`, ['--network', 'flat', '--ip', ip], starts(edge(ip, '10.77.30.0/24'))] as const,
  ),
  ['an address outside of the subnet', ['--network', 'flat', '--ip', '10.77.31.5'], OUTSIDE],
  [
    'a published port',
    (engine) => ['--network', 'flat', '--ip', OWN_IP[engine], '-p', '8080:80'],
    (engine) =>
      atStart(
        engine,
        endpoint(
          `-p/--publish has no effect on a flat network: every container has its own address, reach ${OWN_IP[engine]}:80 directly; start it without -p`,
        ),
      ),
  ],
  [
    'an unknown endpoint option with our name',
    ['--network', 'name=flat,driver-opt=lanius.x=1'],
    starts(NO_OPTION('lanius.x')),
  ],
  ['an unknown endpoint option', ['--network', 'name=flat,driver-opt=speed=1'], starts(NO_OPTION('speed'))],
  ...RATES.map(
    ([value, why]) =>
      [
        `net_out ${value.slice(0, 12)} of an endpoint`,
        ['--network', `name=flat,driver-opt=net_out=${value}`],
        starts(endpoint(rate('--driver-opt net_out', why))),
      ] as const,
  ),
  [
    'a MAC address of a group',
    ['--network', 'flat', '--mac-address', '01:00:00:00:00:01'],
    starts(
      endpoint('the MAC address 01:00:00:00:00:01 cannot be given to a link: it is zero or a group address'),
    ),
  ],
];
