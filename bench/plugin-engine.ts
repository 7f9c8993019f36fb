/**
 * The engine, played for the stopwatch: the calls for a network and for the life of one container, in the order and
 * with the headers of engine 28, over connections that are kept. Times each call from the first byte of the request to
 * the last of the answer.
 *
 * @see moby pkg/plugins/client.go, libnetwork/docs/remote.md
 */
import { Agent, request } from 'node:http';
import { randomId } from '../core/ids.ts';

type Reply = Readonly<Record<string, unknown>>;

/** Takes the time of one call, in milliseconds. */
export type Note = (method: string, milliseconds: number) => void;

export interface BenchNetwork {
  readonly id: string;
  readonly poolId: string;
}

export class StopwatchEngine {
  readonly #socketPath: string;
  readonly #agent: Agent;

  /** @param callers connections that are kept */
  constructor(socketPath: string, callers: number) {
    this.#socketPath = socketPath;
    this.#agent = new Agent({ keepAlive: true, maxSockets: callers });
  }

  /** `docker network create --subnet SUBNET -o parent=PARENT`; not timed. */
  async createNetwork(subnet: string, parent: string): Promise<BenchNetwork> {
    const id = randomId(32);
    const asked = { AddressSpace: 'lanius', Pool: subnet, SubPool: '', Options: {}, V6: false };
    const { PoolID, Pool } = await this.#call('IpamDriver.RequestPool', asked);
    const gateway = await this.#call('IpamDriver.RequestAddress', {
      PoolID,
      Address: '',
      Options: { RequestAddressType: 'com.docker.network.gateway' },
    });
    await this.#call('NetworkDriver.CreateNetwork', {
      NetworkID: id,
      Options: { 'com.docker.network.enable_ipv6': false, 'com.docker.network.generic': { parent } },
      IPv4Data: [{ AddressSpace: 'lanius', Pool, Gateway: gateway['Address'] }],
      IPv6Data: [],
    });
    return { id, poolId: String(PoolID) };
  }

  /** `docker run --rm`: the way in and at once the way out. */
  async life({ id, poolId }: BenchNetwork, note: Note): Promise<void> {
    const timed = async (method: string, body: Reply): Promise<Reply> => {
      const start = performance.now();
      const reply = await this.#call(method, body);
      note(method.slice(method.indexOf('.') + 1), performance.now() - start);
      return reply;
    };
    const ids = { NetworkID: id, EndpointID: randomId(32) };
    const { Address } = await timed('IpamDriver.RequestAddress', {
      PoolID: poolId,
      Address: '',
      Options: null,
    });
    await timed('NetworkDriver.CreateEndpoint', {
      ...ids,
      Interface: { Address, AddressIPv6: '', MacAddress: '' },
      Options: { 'com.docker.network.endpoint.exposedports': [], 'com.docker.network.portmap': [] },
    });
    const SandboxKey = `/var/run/docker/netns/${randomId(6)}`;
    await timed('NetworkDriver.Join', { ...ids, SandboxKey, Options: {} });
    await timed('NetworkDriver.ProgramExternalConnectivity', { ...ids, Options: {} });
    await timed('NetworkDriver.EndpointOperInfo', ids);
    await timed('NetworkDriver.RevokeExternalConnectivity', ids);
    await timed('NetworkDriver.Leave', ids);
    await timed('NetworkDriver.DeleteEndpoint', ids);
    await timed('IpamDriver.ReleaseAddress', { PoolID: poolId, Address: String(Address).split('/')[0] });
  }

  /** The pool of a network; not timed. @returns its id */
  async requestPool(subnet: string): Promise<string> {
    const asked = { AddressSpace: 'lanius', Pool: subnet, SubPool: '', Options: {}, V6: false };
    return String((await this.#call('IpamDriver.RequestPool', asked))['PoolID']);
  }

  /** An address and its release. @returns milliseconds until the address was there */
  async lease(poolId: string): Promise<number> {
    const start = performance.now();
    const { Address } = await this.#call('IpamDriver.RequestAddress', {
      PoolID: poolId,
      Address: '',
      Options: null,
    });
    const ms = performance.now() - start;
    const address = String(Address).split('/')[0];
    await this.#call('IpamDriver.ReleaseAddress', { PoolID: poolId, Address: address });
    return ms;
  }

  close(): void {
    this.#agent.destroy();
  }

  /** @throws if it is answered with an error */
  async #call(method: string, body: Reply): Promise<Reply> {
    const text = JSON.stringify(body);
    const { status, reply } = await this.#post(`/${method}`, text);
    if (status !== 200 || reply['Err'] !== undefined) throw new Error(`${method}: ${JSON.stringify(reply)}`);
    return reply;
  }

  #post(path: string, text: string): Promise<{ status: number; reply: Reply }> {
    const headers = {
      Host: 'plugin.moby.localhost',
      Accept: 'application/vnd.docker.plugins.v1.2+json',
      'User-Agent': 'Go-http-client/1.1',
      'Content-Length': Buffer.byteLength(text),
    };
    const where = { socketPath: this.#socketPath, agent: this.#agent, method: 'POST', path, headers };
    return new Promise((resolve, reject) => {
      const outgoing = request(where, (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.on('error', reject);
        incoming.on('end', () => {
          const reply = JSON.parse(Buffer.concat(chunks).toString('utf8')) as Reply;
          resolve({ status: incoming.statusCode ?? 0, reply });
        });
      });
      outgoing.on('error', reject);
      outgoing.end(text);
    });
  }
}
