/**
 * Where everything lies in etcd. One place, so that an operator with etcdctl and the code agree.
 *
 *   <prefix>pools/<pool>                       the pool: subnet, gateway, what an operator set
 *   <prefix>poolset                            counter; every change of the set of pools compares and bumps it
 *   <prefix>uses/<pool>/<host>                 a host has networks on the pool
 *   <prefix>leases/<pool>/<address>            the lease, or the reservation of the address
 *   <prefix>names/<pool>/<name>                which address a sticky name or a reservation has
 *   <prefix>cooling/<pool>/<address>           a released address rests (TTL); a wish, no lock
 *   <prefix>holds/<pool>/<address>/<host>      a host's networks need that gateway or aux address
 *   <prefix>macs/<pool>/<address>              its MAC is not the one that follows from the address
 *   <prefix>stations/<host>                    that host's own addresses on the segments of its networks
 *   <prefix>hosts/<host>                       who this host is, for ever
 *   <prefix>by-host/<host>/<pool>/<address>    the host's leases again, so that a start reads one range
 *   <prefix>sessions/<host>                    the living daemon (TTL); its mod revision is the fence
 *   <prefix>dead/<host>                        a host with leases and no daemon, noticed
 *   <prefix>dead-wait/<host>                   its grace period (TTL): over when this is gone
 *   <prefix>sweeper                            the daemon that looks for dead hosts (TTL)
 *   <prefix>limits/name/<container>/<in|out>   what people want of the containers of that name, on all hosts
 *   <prefix>limits/host/<host>/<container>/<in|out>   of that host's container of the name; goes before the other
 *   <prefix>bandwidth/<host>                   what is given out and free of its parents, told by itself
 *
 * <pool> is the subnet with `/` as `-`; <address> is hex of fixed width, so that key order = address order.
 */
import { type Cidr, formatCidr, type IpAddress, ipFromHex, ipToHex, parseCidr } from '../core/ip.ts';
import { DIRECTIONS, type Direction } from '../core/limit.ts';

/** Every lease asks for it a dozen times, with the same few subnets. */
const poolKeys = new WeakMap<Cidr, string>();

/** The pool's part of a key, e.g. `10.77.0.0-16`. */
export function poolKeyOf(subnet: Cidr): string {
  const known = poolKeys.get(subnet);
  if (known !== undefined) return known;
  const poolKey = formatCidr(subnet).replace('/', '-');
  poolKeys.set(subnet, poolKey);
  return poolKey;
}

/** Inverse of {@link poolKeyOf}. @throws InvalidRequest */
export function subnetOfPoolKey(poolKey: string): Cidr {
  return parseCidr(poolKey.replace(/-(\d+)$/, '/$1'));
}

/** What a limit that people set is about. */
export interface LimitKey {
  /** Absent: the containers of that name on all hosts. */
  readonly host?: string;
  readonly containerName: string;
  readonly direction: Direction;
}

export interface Layout {
  readonly prefix: string;
  readonly poolset: string;
  readonly pools: string;
  readonly hosts: string;
  readonly sessions: string;
  pool(subnet: Cidr): string;
  uses(subnet: Cidr): string;
  use(subnet: Cidr, host: string): string;
  leases(subnet: Cidr): string;
  lease(subnet: Cidr, address: IpAddress): string;
  holds(subnet: Cidr, address: IpAddress): string;
  names(subnet: Cidr): string;
  /** @param name container name or operator's key: letters, digits, `_.-` */
  name(subnet: Cidr, name: string): string;
  coolings(subnet: Cidr): string;
  cooling(subnet: Cidr, address: IpAddress): string;
  hold(subnet: Cidr, address: IpAddress, host: string): string;
  /** Of all pools. */
  readonly allHolds: string;
  readonly stations: string;
  station(host: string): string;
  /** Of all pools. */
  readonly allMacs: string;
  macs(subnet: Cidr): string;
  mac(subnet: Cidr, address: IpAddress): string;
  holdsOfPool(subnet: Cidr): string;
  /** Address of a hold key. @throws InvalidRequest for any other key */
  addressOfHold(key: string): IpAddress;
  host(host: string): string;
  session(host: string): string;
  readonly deads: string;
  dead(host: string): string;
  deadWait(host: string): string;
  readonly sweeper: string;
  /** Of all containers and hosts. */
  readonly limits: string;
  limit(limit: LimitKey): string;
  /** What a key under `limits` is about; undefined for one that does not fit. */
  limitOf(key: string): LimitKey | undefined;
  readonly bandwidths: string;
  bandwidth(host: string): string;
  byHost(host: string): string;
  byHostLease(host: string, subnet: Cidr, address: IpAddress): string;
  /** Pool and address of a lease, cooling, mac or by-host key. @throws InvalidRequest for any other key */
  addressOf(key: string): { readonly subnet: Cidr; readonly address: IpAddress };
}

export function layoutOf(prefix: string): Layout {
  const at = (...parts: readonly string[]): string => prefix + parts.join('/');
  return {
    prefix,
    poolset: at('poolset'),
    pools: at('pools/'),
    hosts: at('hosts/'),
    sessions: at('sessions/'),
    pool: (subnet) => at('pools', poolKeyOf(subnet)),
    uses: (subnet) => at('uses', poolKeyOf(subnet), ''),
    use: (subnet, host) => at('uses', poolKeyOf(subnet), host),
    leases: (subnet) => at('leases', poolKeyOf(subnet), ''),
    lease: (subnet, address) => `${prefix}leases/${poolKeyOf(subnet)}/${ipToHex(address)}`,
    holds: (subnet, address) => at('holds', poolKeyOf(subnet), ipToHex(address), ''),
    names: (subnet) => at('names', poolKeyOf(subnet), ''),
    name: (subnet, name) => at('names', poolKeyOf(subnet), name),
    coolings: (subnet) => at('cooling', poolKeyOf(subnet), ''),
    cooling: (subnet, address) => at('cooling', poolKeyOf(subnet), ipToHex(address)),
    hold: (subnet, address, host) => at('holds', poolKeyOf(subnet), ipToHex(address), host),
    allHolds: at('holds/'),
    stations: at('stations/'),
    station: (host) => at('stations', host),
    allMacs: at('macs/'),
    macs: (subnet) => at('macs', poolKeyOf(subnet), ''),
    mac: (subnet, address) => at('macs', poolKeyOf(subnet), ipToHex(address)),
    holdsOfPool: (subnet) => at('holds', poolKeyOf(subnet), ''),
    addressOfHold: (key) => ipFromHex(key.split('/').at(-2) ?? ''),
    host: (host) => at('hosts', host),
    session: (host) => at('sessions', host),
    deads: at('dead/'),
    dead: (host) => at('dead', host),
    deadWait: (host) => at('dead-wait', host),
    sweeper: at('sweeper'),
    limits: at('limits/'),
    limit: ({ host, containerName, direction }) =>
      host === undefined
        ? at('limits/name', containerName, direction)
        : at('limits/host', host, containerName, direction),
    limitOf: (key) =>
      key.startsWith(`${prefix}limits/`) ? limitOfPath(key.slice(`${prefix}limits/`.length)) : undefined,
    bandwidths: at('bandwidth/'),
    bandwidth: (host) => at('bandwidth', host),
    byHost: (host) => at('by-host', host, ''),
    byHostLease: (host, subnet, address) =>
      `${prefix}by-host/${host}/${poolKeyOf(subnet)}/${ipToHex(address)}`,
    addressOf: (key) => {
      const [poolKey = '', hex = ''] = key.split('/').slice(-2);
      return { subnet: subnetOfPoolKey(poolKey), address: ipFromHex(hex) };
    },
  };
}

/** @param path what follows `limits/` */
export function limitOfPath(path: string): LimitKey | undefined {
  const [kind = '', ...parts] = path.split('/');
  const direction = DIRECTIONS.find((one) => one === parts.at(-1));
  if (direction === undefined || parts.includes('')) return undefined;
  const [first = '', second = ''] = parts;
  if (kind === 'name' && parts.length === 2) return { containerName: first, direction };
  if (kind === 'host' && parts.length === 3) return { host: first, containerName: second, direction };
  return undefined;
}
