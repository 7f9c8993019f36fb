/**
 * Which pool a RequestPool means: the subnet that it names, an operator's pool or a configured one by name, or the one
 * that fits this host. Pure.
 *
 * In that order, where nothing is named: the configured default; the operators' pools for hosts with labels that this
 * host has; the operators' pools for everybody. More than one of a kind is refused, never guessed.
 */
import { Conflict, InvalidRequest } from '../../core/errors.ts';
import { type Cidr, formatCidr, parseCidr } from '../../core/ip.ts';
import type { PoolValue } from '../../store/schema.ts';
import type { PoolRequest } from '../address-service.ts';
import { type ConfiguredPool, checkAgrees, chooseConfiguredPool } from './configured-pools.ts';
import { checkMayUse, fitsHost, type Labels, labelsText, namedRange, nameOf } from './pool-policy.ts';

/** What there is to choose from. */
export interface PoolOffer {
  /** All that are in etcd, also those without a name. */
  readonly pools: readonly PoolValue[];
  readonly configured: readonly ConfiguredPool[];
  /** Of the configured ones. */
  readonly defaultName?: string | undefined;
  /** `host.labels` of this host. */
  readonly labels: Labels;
}

export interface ChosenPool {
  readonly subnet: Cidr;
  /** `--ip-range`, or the configured one. */
  readonly range: Cidr | undefined;
}

/** @throws InvalidRequest with the remedy if no pool fits; Conflict if one must not be used, or several fit */
export function choosePool(offer: PoolOffer, request: PoolRequest): ChosenPool {
  const chosen = choose(offer, request);
  const text = formatCidr(chosen.subnet);
  const pool = offer.pools.find(({ subnet }) => subnet === text);
  if (pool !== undefined) checkMayUse(pool, offer.labels);
  const { range } = request.options;
  if (range !== undefined && pool === undefined) {
    throw new InvalidRequest(
      `pool ${text} has no range "${range}": make it first with lanius pool add, or leave out --ipam-opt range`,
    );
  }
  if (range !== undefined && pool !== undefined) namedRange(pool, range, offer.labels);
  return chosen;
}

function choose(offer: PoolOffer, request: PoolRequest): ChosenPool {
  const { pool: name } = request.options;
  if (name !== undefined) return byName(offer, request, name);
  if (request.subnet !== undefined) return { subnet: request.subnet, range: request.range };
  const ownDefault = offer.configured.find((pool) => pool.name === offer.defaultName);
  if (ownDefault !== undefined && ownDefault.subnet.family === request.family)
    return { subnet: ownDefault.subnet, range: request.range ?? ownDefault.range };
  const fitting = byItself(offer, request);
  if (fitting !== undefined) return { subnet: parseCidr(fitting.subnet), range: request.range };
  const pool = chooseConfiguredPool(offer.configured, wishOf(offer, request));
  return { subnet: pool.subnet, range: request.range ?? pool.range };
}

function byName(offer: PoolOffer, request: PoolRequest, name: string): ChosenPool {
  const pool = offer.pools.find((one) => one.name === name);
  const configured = offer.configured.find((one) => one.name === name);
  if (pool === undefined) {
    const known = offer.pools.flatMap((one) => one.name ?? []);
    const chosen = chooseConfiguredPool(offer.configured, { ...wishOf(offer, request), name, known });
    return { subnet: chosen.subnet, range: request.range ?? chosen.range };
  }
  const subnet = parseCidr(pool.subnet);
  if (configured !== undefined && formatCidr(configured.subnet) !== pool.subnet) {
    throw new Conflict(
      `pool "${name}" is ${pool.subnet} in etcd, but ${formatCidr(configured.subnet)} in ipam.pools of this host: ` +
        'rename one of the two',
    );
  }
  checkAgrees({ name, subnet }, wishOf(offer, request));
  return { subnet, range: request.range ?? configured?.range };
}

/** The operator's pool for hosts like this one, if there is exactly one. */
function byItself({ pools, labels }: PoolOffer, { family }: PoolRequest): PoolValue | undefined {
  const open = pools.filter(
    (pool) => pool.name !== undefined && pool.select !== 'none' && parseCidr(pool.subnet).family === family,
  );
  const forLabels = open.filter(
    ({ select }) => select !== undefined && select !== 'none' && fitsHost(select, labels),
  );
  const fitting = forLabels.length > 0 ? forLabels : open.filter(({ select }) => select === undefined);
  if (fitting.length > 1) {
    throw new Conflict(
      `several pools fit this host (${labelsText(labels)}): ${fitting.map(nameOf).join(', ')}: name one with ` +
        '--ipam-opt pool=NAME, or add --subnet',
    );
  }
  return fitting[0];
}

function wishOf(offer: PoolOffer, request: PoolRequest): Parameters<typeof chooseConfiguredPool>[1] {
  return {
    family: request.family,
    ...(offer.defaultName === undefined ? {} : { defaultName: offer.defaultName }),
    ...(request.subnet === undefined ? {} : { subnet: request.subnet }),
  };
}
