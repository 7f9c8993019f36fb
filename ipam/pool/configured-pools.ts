/** Pools from the configuration: for requests without `--subnet`, and for `--ipam-opt pool=NAME`. */
import { InvalidRequest } from '../../core/errors.ts';
import { type Cidr, formatCidr, type IpAddress, type IpFamily } from '../../core/ip.ts';

export interface ConfiguredPool {
  readonly name: string;
  readonly subnet: Cidr;
  readonly range?: Cidr;
  readonly gateway?: IpAddress;
}

export interface PoolWish {
  readonly family: IpFamily;
  /** `--ipam-opt pool=` */
  readonly name?: string;
  /** `ipam.defaultPool` of the configuration. */
  readonly defaultName?: string;
  /** `--subnet` beside the name: must agree. */
  readonly subnet?: Cidr;
  /** Names that are not configured, but may be meant: of the operators' pools. */
  readonly known?: readonly string[];
}

/** @throws InvalidRequest with the remedy if no configured pool fits */
export function chooseConfiguredPool(pools: readonly ConfiguredPool[], wish: PoolWish): ConfiguredPool {
  const names = pools.map((pool) => pool.name).join(', ') || 'none';
  const name = wish.name ?? wish.defaultName;
  if (name === undefined) {
    throw new InvalidRequest(
      'no subnet given and no pool fits this host by itself: add --subnet, or make a pool with lanius pool add, or set ' +
        `ipam.defaultPool (configured pools: ${names})`,
    );
  }
  const pool = pools.find((candidate) => candidate.name === name);
  if (pool === undefined) {
    const all = [...(wish.known ?? []), ...pools.map((one) => one.name)].join(', ');
    const remedy =
      all === '' ? 'make it with lanius pool add, or add it to ipam.pools' : `choose one of ${all}`;
    throw new InvalidRequest(`there is no pool "${name.slice(0, 64)}": ${remedy}, or use --subnet instead`);
  }
  checkAgrees(pool, wish);
  return pool;
}

/** @throws InvalidRequest if the pool that was named is not what else was asked for */
export function checkAgrees({ name, subnet }: ConfiguredPool, wish: PoolWish): void {
  if (wish.subnet !== undefined && formatCidr(wish.subnet) !== formatCidr(subnet)) {
    throw new InvalidRequest(
      `pool "${name}" is ${formatCidr(subnet)}, not ${formatCidr(wish.subnet)}: leave out --subnet or --ipam-opt pool`,
    );
  }
  if (subnet.family !== wish.family) {
    throw new InvalidRequest(
      `pool "${name}" is IPv${subnet.family} but IPv${wish.family} is asked: add --subnet of that family`,
    );
  }
}
