/**
 * Recorded plugin calls (test/fixtures/dockerd), and what they would have been had the engine talked to Lanius: ids
 * of pools and automatic addresses are answers of the plugin that come back in later calls, so they are replaced by
 * the answers of the handlers under test.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { checkoutFolder } from '../support/checkout.ts';

export interface RecordedCall {
  readonly method: string;
  /** null: the body was empty. */
  readonly request: Fields | null;
  readonly status: number;
  readonly reply: Fields;
}
export type Fields = Readonly<Record<string, unknown>>;

export interface Recording {
  readonly engine: string;
  readonly scenario: string;
  readonly host: string;
  readonly calls: readonly RecordedCall[];
}

const FOLDER = `${checkoutFolder}/test/fixtures/dockerd`;

export function recordings(): Recording[] {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith('.jsonl'));
  return files.sort().map((name) => {
    const lines = readFileSync(`${FOLDER}/${name}`, 'utf8').trim().split('\n');
    const [head, ...calls] = lines.map((line) => JSON.parse(line) as Fields);
    const { engine, scenario, headers } = head as {
      engine: string;
      scenario: string;
      headers: { host: string };
    };
    return { engine, scenario, host: headers.host, calls: calls as unknown as RecordedCall[] };
  });
}

/** The recording plugin refused it: what follows is what the engine does after a refusal. */
export function wasRefused({ status, reply }: RecordedCall): boolean {
  return status !== 200 || reply.Err !== undefined || reply.Error !== undefined;
}

/** A network of the engine's own IPAM, which the recording plugin took and Lanius refuses. */
export function isForeignNetwork({ method, request }: RecordedCall): boolean {
  const [first] = (request?.IPv4Data ?? []) as Fields[];
  return method === 'NetworkDriver.CreateNetwork' && first?.AddressSpace === 'LocalDefault';
}

/** Options that the recording plugin took and Lanius refuses: `-o`, `--ipam-opt`, `--driver-opt`. */
const REFUSED_OPTIONS = new Set(['vlan', 'k', 'k2', 'net_in']);
const MAC_OPTION = 'com.docker.network.endpoint.macaddress';
const GENERIC_OPTION = 'com.docker.network.generic';
const PORTMAP_OPTION = 'com.docker.network.portmap';

/** Follows the answers of the handlers under test through one recording. */
export class Translation {
  /** Ours by recorded PoolID, the newest last: the recording plugin gave equal pools equal ids. */
  readonly #pools = new Map<string, string[]>();
  /** Ours by recorded bare address. */
  readonly #addresses = new Map<string, string>();

  /** The body to send. */
  request({ method, request }: RecordedCall): Fields | '' {
    if (request === null) return '';
    const verb = method.split('.')[1] ?? '';
    const changed: Record<string, unknown> = { ...request };
    if ('AddressSpace' in request) changed.AddressSpace = 'lanius';
    if ('PoolID' in request) changed.PoolID = this.#poolOf(String(request.PoolID), verb);
    if (verb === 'ReleaseAddress') changed.Address = this.addressOf(String(request.Address));
    if ('IPv4Data' in request) changed.IPv4Data = this.#dataOf(request.IPv4Data);
    if ('IPv6Data' in request) changed.IPv6Data = this.#dataOf(request.IPv6Data);
    if ('Options' in request) changed.Options = optionsFor(verb, request.Options);
    if (verb === 'CreateEndpoint') changed.Interface = this.#interfaceOf(request);
    return changed;
  }

  /** Learns what our answer stands for in later calls. */
  learn({ method, reply }: RecordedCall, ours: Fields): void {
    if (method === 'IpamDriver.RequestPool') {
      const recorded = String(reply.PoolID);
      this.#pools.set(recorded, [...(this.#pools.get(recorded) ?? []), String(ours.PoolID)]);
    }
    if (method === 'IpamDriver.RequestAddress') {
      this.#addresses.set(bare(reply.Address), bare(ours.Address));
    }
  }

  #poolOf(recorded: string, verb: string): string {
    const ids = this.#pools.get(recorded) ?? [];
    const id = ids.at(-1) ?? '10.255.0.0/16#9';
    if (verb === 'ReleasePool') ids.pop();
    return id;
  }

  /** Ours for a recorded bare address. */
  addressOf(recorded: string): string {
    return this.#addresses.get(recorded) ?? recorded;
  }

  #dataOf(data: unknown): unknown {
    if (!Array.isArray(data)) return data;
    return data.map((one: Fields) => ({
      ...one,
      AddressSpace: one.AddressSpace === 'labnetlocal' ? 'lanius' : one.AddressSpace,
      ...('Gateway' in one ? { Gateway: this.#interfaceTextOf(String(one.Gateway)) } : {}),
    }));
  }

  #interfaceTextOf(recorded: string): string {
    const [address = '', length = ''] = recorded.split('/');
    return address === '' ? '' : `${this.addressOf(address)}/${length}`;
  }

  /** Without RequiresMACAddress the engine sends a MAC only if the user gave one, and then says so in an option. */
  #interfaceOf(request: Fields): Fields {
    const given = request.Interface as Fields;
    const options = request.Options as Fields;
    return {
      ...given,
      Address: this.#interfaceTextOf(String(given.Address)),
      MacAddress: MAC_OPTION in options ? given.MacAddress : '',
    };
  }
}

function optionsFor(verb: string, options: unknown): unknown {
  if (typeof options !== 'object' || options === null) return options;
  const kept = Object.entries(options as Fields)
    .filter(([key]) => !REFUSED_OPTIONS.has(key) && !(verb === 'RequestAddress' && key === MAC_OPTION))
    .map(([key, value]) => {
      if (key === GENERIC_OPTION && verb === 'CreateNetwork') return [key, optionsFor(verb, value)] as const;
      return key === PORTMAP_OPTION && verb === 'CreateEndpoint'
        ? ([key, []] as const)
        : ([key, value] as const);
    });
  return Object.fromEntries(kept);
}

function bare(address: unknown): string {
  return String(address).split('/')[0] ?? '';
}
