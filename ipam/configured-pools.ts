/** Pools from the configuration: for requests without `--subnet`, and for `--ipam-opt pool=NAME`. */
import { InvalidRequest } from '../core/errors.ts';
import { type Cidr, formatCidr, type IpAddress, type IpFamily } from '../core/ip.ts';

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
}

/** @throws InvalidRequest with the remedy if no configured pool fits */
export function chooseConfiguredPool(pools: readonly ConfiguredPool[], wish: PoolWish): ConfiguredPool {
  const names = pools.map((pool) => pool.name).join(', ') || 'none';
  const name = wish.name ?? wish.defaultName;
  if (name === undefined) {
    throw new InvalidRequest(
      `no subnet given and no default pool is configured: add --subnet, or set ipam.defaultPool (configured pools: ${names})`,
    );
  }
  const pool = pools.find((candidate) => candidate.name === name);
  if (pool === undefined) {
    const remedy = pools.length === 0 ? 'add it to ipam.pools' : `choose one of ${names}`;
    throw new InvalidRequest(
      `pool "${name.slice(0, 64)}" is not configured: ${remedy}, or use --subnet instead`,
    );
  }
  if (wish.subnet !== undefined && formatCidr(wish.subnet) !== formatCidr(pool.subnet)) {
    throw new InvalidRequest(
      `pool "${name}" is ${formatCidr(pool.subnet)}, not ${formatCidr(wish.subnet)}: leave out --subnet or --ipam-opt pool`,
    );
  }
  if (pool.subnet.family !== wish.family) {
    throw new InvalidRequest(
      `pool "${name}" is IPv${pool.subnet.family} but IPv${wish.family} is asked: add --subnet of that family`,
    );
  }
  return pool;
}
