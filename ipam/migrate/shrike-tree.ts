/**
 * What Shrike keeps in etcd v2, read from the JSON that etcd's v2 API answers for a directory (`?recursive=true`):
 *
 *   /talkingdata/hosts/config                   {"Subnet":"10.77.0.0/16","Gateway":"10.77.0.1"}
 *   /talkingdata/hosts/pool/<address>           an address for a physical host, not used yet
 *   /talkingdata/hosts/assigned/<address>       a physical host has it
 *   /talkingdata/containers/<net>/config        {"Ipnet":"10.77.0.0","Mask":"16"}
 *   /talkingdata/containers/<net>/pool/<address>      free
 *   /talkingdata/containers/<net>/assigned/<address>  given to a container; nothing says to which, and on which host
 *
 * Pure. Must not: guess. What is damaged, or of another layout, is refused with the key that shows it.
 * Source: TalkingData/Shrike 2373322, oam-docker-ipam/ipamdriver/server.go, oam-docker-ipam/bridge/bridge.go; etcd 2.3,
 * Documentation/api.md, "Listing a directory".
 */
import { z } from 'zod';
import { InvalidRequest, oneLine } from '../../core/errors.ts';
import {
  type Cidr,
  cidrHas,
  formatCidr,
  formatIp,
  type IpAddress,
  parseCidr,
  parseIp,
} from '../../core/ip.ts';

const ROOT = '/talkingdata';
/** Deeper than any directory of Shrike, so that a tree cannot exhaust the stack. */
const DEEPEST = 16;

/** Addresses of one subnet that Shrike gives to containers. Both lists are in order; none is in both. */
export interface ShrikeNetwork {
  readonly subnet: Cidr;
  readonly free: readonly IpAddress[];
  readonly assigned: readonly IpAddress[];
}

export interface ShrikeTree {
  readonly networks: readonly ShrikeNetwork[];
  /** Of the physical hosts; absent if the tree does not say. */
  readonly gateway?: IpAddress;
  /** Addresses that physical hosts have, in order. */
  readonly hosts: readonly IpAddress[];
  /** Addresses that are kept for physical hosts, in order. */
  readonly hostsToCome: readonly IpAddress[];
}

const nodeSchema = z.object({
  key: z.string().max(1000).optional(),
  dir: z.boolean().optional(),
  value: z.string().optional(),
  nodes: z.array(z.unknown()).optional(),
});
const answerSchema = z.object({ node: z.unknown() });
const failureSchema = z.object({ errorCode: z.number(), message: z.string() });
const hostsConfigSchema = z.object({ Subnet: z.string(), Gateway: z.string() });
const containersConfigSchema = z.object({ Ipnet: z.string(), Mask: z.string() });

/** @param document what JSON.parse gave @throws InvalidRequest: one line that names the key */
export function parseShrikeTree(document: unknown): ShrikeTree {
  const failure = failureSchema.safeParse(document);
  if (failure.success)
    throw refusal(`it is an error of etcd (${printable(oneLine(failure.data.message))}), and no directory`);
  const answer = answerSchema.safeParse(document);
  const reader = new TreeReader();
  reader.read(answer.success ? answer.data.node : document, '', 0);
  return reader.tree();
}

/** What is known of one network while its keys come. */
interface Draft {
  readonly free: Map<string, IpAddress>;
  readonly assigned: Map<string, IpAddress>;
  config?: string;
}

class TreeReader {
  readonly #networks = new Map<string, Draft>();
  readonly #hosts: Draft = { free: new Map(), assigned: new Map() };
  #keys = 0;

  read(value: unknown, parent: string, depth: number): void {
    const parsed = nodeSchema.safeParse(value);
    if (!parsed.success) throw refusal(`what stands under ${printable(parent || '/')} is no node of etcd v2`);
    const { key = '', dir = false, value: text, nodes } = parsed.data;
    const path = key === '/' ? '' : key;
    if (depth > DEEPEST || !path.startsWith(parent === '' ? '' : `${parent}/`) || (depth > 0 && path === ''))
      throw refusal(`key ${printable(key)} does not lie in ${printable(parent || '/')}`);
    this.#keys += 1;
    if (dir || nodes !== undefined) for (const node of nodes ?? []) this.read(node, path, depth + 1);
    else if (path === ROOT || path.startsWith(`${ROOT}/`)) this.#leaf(path, text ?? '');
  }

  /** @throws InvalidRequest if it is none of Shrike's, or damaged */
  tree(): ShrikeTree {
    if (this.#networks.size === 0) {
      throw refusal(
        `none of its ${this.#keys} keys lies under ${ROOT}/containers/: export the directory ${ROOT} of the etcd that Shrike uses`,
      );
    }
    const gateway = this.#gateway();
    return {
      networks: [...this.#networks].map(([net, draft]) => networkOf(net, draft)).toSorted(bySubnet),
      ...(gateway === undefined ? {} : { gateway }),
      hosts: inOrder(this.#hosts.assigned),
      hostsToCome: inOrder(this.#hosts.free).filter(({ value }) => !hasValue(this.#hosts.assigned, value)),
    };
  }

  #leaf(path: string, text: string): void {
    const [kind = '', ...rest] = path.slice(ROOT.length + 1).split('/');
    if (kind === 'hosts') {
      this.#entry(this.#hosts, path, rest, text);
      return;
    }
    const [net = '', ...inside] = rest;
    if (kind !== 'containers' || net === '')
      throw refusal(`key ${printable(path)} is none of Shrike's layout`);
    const draft = this.#networks.get(net) ?? { free: new Map(), assigned: new Map() };
    this.#networks.set(net, draft);
    this.#entry(draft, path, inside, text);
  }

  #entry(draft: Draft, path: string, [kind = '', name = '', ...more]: readonly string[], text: string): void {
    if (kind === 'config' && name === '') draft.config = text;
    else if ((kind === 'pool' || kind === 'assigned') && name !== '' && more.length === 0)
      draft[kind === 'pool' ? 'free' : 'assigned'].set(name, addressOf(path, name));
    else throw refusal(`key ${printable(path)} is none of Shrike's layout`);
  }

  #gateway(): IpAddress | undefined {
    const { config } = this.#hosts;
    if (config === undefined) return undefined;
    const { Gateway: gateway } = configOf(`${ROOT}/hosts/config`, config, hostsConfigSchema);
    return gateway === '' ? undefined : addressOf(`${ROOT}/hosts/config`, gateway);
  }
}

function networkOf(net: string, { config, free, assigned }: Draft): ShrikeNetwork {
  const key = `${ROOT}/containers/${printable(net)}`;
  if (config === undefined)
    throw refusal(`${key} has no config, so its mask is not known: export it again, whole`);
  const { Ipnet: base, Mask: mask } = configOf(`${key}/config`, config, containersConfigSchema);
  const subnet = attempt(() => parseCidr(`${base}/${mask}`));
  if (subnet?.family !== 4 || base !== net || formatCidr(subnet) !== `${base}/${mask}`)
    throw refusal(`${key}/config names ${printable(`${base}/${mask}`)}, which is not its subnet`);
  const stray = [...free, ...assigned].find(([, address]) => !cidrHas(subnet, address));
  if (stray !== undefined)
    throw refusal(`address ${stray[0]} under ${key} is not in its subnet ${formatCidr(subnet)}`);
  return {
    subnet,
    // Shrike deletes and writes without a transaction; what is in both may be in use.
    free: inOrder(free).filter((address) => !assigned.has(formatIp(address))),
    assigned: inOrder(assigned),
  };
}

function configOf<T>(key: string, text: string, schema: z.ZodType<T>): T {
  const parsed = schema.safeParse(attempt(() => JSON.parse(text) as unknown));
  if (parsed.success) return parsed.data;
  throw refusal(`the value of ${key} is damaged`);
}

function addressOf(path: string, text: string): IpAddress {
  const address = attempt(() => parseIp(text));
  if (address?.family === 4) return address;
  throw refusal(`"${printable(text)}" of ${printable(path)} is not an IPv4 address`);
}

function inOrder(addresses: ReadonlyMap<string, IpAddress>): IpAddress[] {
  return [...addresses.values()].toSorted((a, b) => (a.value < b.value ? -1 : Number(a.value > b.value)));
}

function hasValue(addresses: ReadonlyMap<string, IpAddress>, value: bigint): boolean {
  return addresses.has(formatIp({ family: 4, value }));
}

function bySubnet(a: ShrikeNetwork, b: ShrikeNetwork): number {
  return a.subnet.base < b.subnet.base ? -1 : Number(a.subnet.base > b.subnet.base);
}

function refusal(reason: string): InvalidRequest {
  return new InvalidRequest(`the file is no tree of Shrike's: ${reason}; nothing was changed`);
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 120);
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
