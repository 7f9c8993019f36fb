/**
 * An engine, played: asks in the order in which engines ask for `docker network create` and `docker run`, over the
 * plugin socket, and checks that it is answered.
 */
import { expect } from 'chai';
import { randomId } from '../../core/ids.ts';
import type { Answer } from './plugin-client.ts';
import type { RealStack } from './real-stack.ts';

const GATEWAY_REQUEST = { RequestAddressType: 'com.docker.network.gateway' };

export interface NetworkWishes {
  readonly options?: Readonly<Record<string, string>>;
  readonly subnet?: string;
  readonly internal?: boolean;
  readonly aux?: string;
}

export class PlayedEngine {
  readonly #stack: RealStack;

  constructor(stack: RealStack) {
    this.#stack = stack;
  }

  /** The reply of a call that must succeed. */
  async ok(method: string, body: unknown): Promise<Answer['body']> {
    const answer = await this.#stack.socket.call(method, body);
    expect(answer.body.Err, `${method} ${JSON.stringify(body)}`).to.equal(undefined);
    expect(answer.status).to.equal(200);
    return answer.body;
  }

  /** The `Err` of a call that must fail. */
  async refusal(method: string, body: unknown): Promise<string> {
    const answer = await this.#stack.socket.call(method, body);
    expect(answer.status, JSON.stringify(answer.body)).to.be.at.least(400);
    return String(answer.body.Err);
  }

  /** `docker network create`, as engines do it. */
  async createNetwork(wishes: NetworkWishes = {}) {
    const id = randomId(32);
    const { PoolID, Pool } = (await this.ok('IpamDriver.RequestPool', {
      AddressSpace: 'lanius',
      Pool: wishes.subnet ?? '10.77.3.7/16',
      SubPool: '',
      Options: {},
      V6: false,
    })) as { PoolID: string; Pool: string };
    const { Address } = await this.ok('IpamDriver.RequestAddress', {
      PoolID,
      Address: '',
      Options: GATEWAY_REQUEST,
    });
    if (wishes.aux !== undefined) {
      await this.ok('IpamDriver.RequestAddress', { PoolID, Address: wishes.aux, Options: null });
    }
    const body = networkBody(id, Pool, String(Address), wishes);
    expect(await this.ok('NetworkDriver.CreateNetwork', body)).to.deep.equal({});
    const remove = async (): Promise<void> => {
      await this.ok('IpamDriver.ReleaseAddress', { PoolID, Address: String(Address).split('/')[0] });
      await this.ok('IpamDriver.ReleasePool', { PoolID });
      await this.ok('NetworkDriver.DeleteNetwork', { NetworkID: id });
    };
    return { id, PoolID, Pool, gateway: String(Address), body, remove };
  }

  /** Up to CreateEndpoint. */
  async createEndpoint(network: { id: string; PoolID: string }, mac = '', fixed = '') {
    const EndpointID = randomId(32);
    const { Address } = await this.ok('IpamDriver.RequestAddress', {
      PoolID: network.PoolID,
      Address: fixed,
      Options: { 'com.docker.network.endpoint.name': 'web' },
    });
    const body = {
      NetworkID: network.id,
      EndpointID,
      Interface: { Address, AddressIPv6: '', MacAddress: mac },
      Options: { 'com.docker.network.endpoint.exposedports': [], 'com.docker.network.portmap': [] },
    };
    const reply = await this.ok('NetworkDriver.CreateEndpoint', body);
    const ids = { NetworkID: network.id, EndpointID };
    const join = { ...ids, SandboxKey: '/var/run/docker/netns/0123456789ab', Options: {} };
    const address = String(Address).split('/')[0] ?? '';
    const remove = async (): Promise<void> => {
      await this.ok('NetworkDriver.Leave', ids);
      await this.ok('NetworkDriver.DeleteEndpoint', ids);
      await this.ok('IpamDriver.ReleaseAddress', { PoolID: network.PoolID, Address: address });
    };
    return { ids, body, reply, join, address, remove };
  }
}

/** The body of CreateNetwork. */
export function networkBody(id: string, pool: string, gateway: string, wishes: NetworkWishes = {}) {
  return {
    NetworkID: id,
    Options: {
      'com.docker.network.enable_ipv6': false,
      'com.docker.network.generic': wishes.options ?? {},
      ...(wishes.internal === true ? { 'com.docker.network.internal': true } : {}),
    },
    IPv4Data: [
      {
        AddressSpace: 'lanius',
        Pool: pool,
        Gateway: gateway,
        ...(wishes.aux === undefined ? {} : { AuxAddresses: { router: `${wishes.aux}/16` } }),
      },
    ],
    IPv6Data: [],
  };
}
