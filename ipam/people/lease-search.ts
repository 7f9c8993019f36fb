/**
 * Which container a person means, by its name, an address of its, or the beginning of its id; looked up in the leases of all
 * hosts. Reads them all, page by page: for people only.
 */
import { setImmediate as breathe } from 'node:timers/promises';
import { Conflict, InvalidRequest, NotFound } from '../../core/errors.ts';
import { type IpAddress, parseIp } from '../../core/ip.ts';
import type { KeyValue, KvPort } from '../../store/kv.ts';
import type { Layout } from '../../store/layout.ts';
import { endOfPrefix, pagesOf } from '../../store/pages.ts';
import { decode, type LeaseValue, leaseSchema } from '../../store/schema.ts';
import { poolOf, readPools } from '../pool/pool-lookup.ts';

export interface LeaseSearchDependencies {
  readonly kv: KvPort;
  readonly layout: Layout;
}

/** A lease that a container has, as it was read. */
export interface SeenLease {
  readonly kv: KeyValue;
  readonly value: LeaseValue;
}

export interface FoundContainer {
  readonly containerName: string;
  /** Of all containers of that name, on the wanted host or on all. */
  readonly leases: readonly SeenLease[];
}

/** As the engine has them. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$/;
const ID_PREFIX = /^[0-9a-f]{4,64}$/;
const PAGE = 5000;

/**
 * @param host only its containers; absent: all hosts'
 * @returns with no leases, where no container has that name (yet)
 * @throws NotFound for an address that no container has; Conflict for an id's beginning that several have; InvalidRequest for
 *   what can be none of the three; StoreUnavailable
 */
export async function findContainer(
  deps: LeaseSearchDependencies,
  text: string,
  host: string | undefined,
): Promise<FoundContainer> {
  const address = addressOf(text);
  const name = address === undefined ? text : await nameAt(deps, text, address);
  if (!NAME.test(name)) {
    const shown = name.replace(/[^\x20-\x7e]/g, '?').slice(0, 64);
    throw new InvalidRequest(
      `"${shown}" is no container: give its name, an address, or the beginning of its id`,
    );
  }
  const byName = mark('containerName', `${name}"`);
  const byId = ID_PREFIX.test(text) ? mark('containerId', text) : undefined;
  const found: SeenLease[] = [];
  const ofId: SeenLease[] = [];
  for await (const lease of allLeases(deps)) {
    const { value: stored } = lease;
    // Most leases are not decoded: a quote inside a JSON text is escaped, so these are the fields.
    const [fits, fitsId] = [stored.includes(byName), byId !== undefined && stored.includes(byId)];
    if (!fits && !fitsId) continue;
    const value = readable(lease);
    if (value === undefined || value.state === 'reserved') continue;
    if (host !== undefined && value.host !== host) continue;
    (fits ? found : ofId).push({ kv: lease, value });
  }
  if (found.length > 0 || ofId.length === 0) return { containerName: name, leases: found };
  return ofBeginning(text, ofId);
}

/** @throws Conflict, NotFound */
function ofBeginning(text: string, leases: readonly SeenLease[]): FoundContainer {
  const ids = new Map(leases.map(({ value }) => [value.containerId, value.containerName]));
  const [containerName, ...others] = ids.values();
  if (others.length > 0) {
    const names = [...ids].map(([id, name]) => `${id?.slice(0, 12)} ${name ?? ''}`.trim()).slice(0, 5);
    throw new Conflict(
      `several containers have an id that begins with ${text} (${names.join(', ')}): give more of it`,
    );
  }
  if (containerName === undefined)
    throw new NotFound(
      `the name of container ${text} is not known yet: try again in a moment, or give its name`,
    );
  return { containerName, leases };
}

async function* allLeases({ kv, layout }: LeaseSearchDependencies): AsyncGenerator<KeyValue> {
  const { revision } = await kv.range({ key: layout.poolset });
  const from = `${layout.prefix}leases/`;
  for await (const page of pagesOf(kv, { from, to: endOfPrefix(from), revision, pageSize: PAGE })) {
    yield* page;
    await breathe();
  }
}

/** @throws NotFound, Conflict */
async function nameAt(
  { kv, layout }: LeaseSearchDependencies,
  text: string,
  address: IpAddress,
): Promise<string> {
  const { subnet } = poolOf(await readPools(kv, layout), undefined, address);
  const [lease] = (await kv.range({ key: layout.lease(subnet, address) })).kvs;
  const value = lease && readable(lease);
  if (value === undefined || value.state === 'reserved')
    throw new NotFound(`no container has address ${text}: see lanius ip ls`);
  if (value.containerName !== undefined) return value.containerName;
  throw new NotFound(
    `whose address ${text} is is not known yet: try again in a moment, or give the container's name`,
  );
}

function mark(field: string, beginning: string): string {
  return `"${field}":"${beginning}`;
}

/** One lease that cannot be read must not hide the others. */
function readable({ key, value }: KeyValue): LeaseValue | undefined {
  try {
    return decode(leaseSchema, key, value);
  } catch {
    return undefined;
  }
}

function addressOf(text: string): IpAddress | undefined {
  try {
    return parseIp(text);
  } catch {
    return undefined;
  }
}
