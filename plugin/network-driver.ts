/**
 * NetworkDriver.*: every verb of the network side, in libnetwork's words. The work is in networks.ts (networks),
 * endpoints.ts (endpoints) and join.ts (links).
 *
 * INVARIANTS
 * - Every verb is idempotent and ends within its call's deadline; the engine puts no limit of its own on us.
 * - Release-type verbs succeed for ids never heard of; the engine never repeats them.
 * - No verb asks the Engine API, nor starts a process: the engine holds locks while it waits.
 * - Nothing depends on RevokeExternalConnectivity, nor on ProgramExternalConnectivity, having come: neither is
 *   reliable over the engine's versions.
 *
 * Source: moby libnetwork/docs/remote.md.
 */
import { within } from '../core/deadline.ts';
import { Endpoints } from './endpoints.ts';
import { Joins } from './join.ts';
import { Networks } from './networks.ts';
import type { Call, NetworkDriverDependencies, NetworkDriverOptions } from './ports.ts';
import type {
  AllocateNetworkReply,
  CreateEndpointReply,
  CreateEndpointRequest,
  CreateNetworkRequest,
  EndpointOperInfoReply,
  EndpointRequest,
  GwAllocCheckReply,
  JoinReply,
  JoinRequest,
  NetworkCapabilitiesReply,
  NetworkRequest,
} from './wire/network.ts';

type Nothing = Record<string, never>;

export class NetworkDriver {
  readonly #networks: Networks;
  readonly #endpoints: Endpoints;
  readonly #joins: Joins;
  readonly #sandboxes: NetworkDriverDependencies['sandboxes'];

  constructor(options: NetworkDriverOptions, deps: NetworkDriverDependencies) {
    this.#networks = new Networks(options, deps);
    this.#endpoints = new Endpoints(options, deps);
    this.#joins = new Joins(deps);
    this.#sandboxes = deps.sandboxes;
  }

  /** Local: each host creates its own networks, without swarm managers; the segment itself spans hosts. */
  getCapabilities(): NetworkCapabilitiesReply {
    return { Scope: 'local', ConnectivityScope: 'global' };
  }

  /** Not announced, so no engine asks; a gateway address is always reserved. */
  gwAllocCheck(): GwAllocCheckReply {
    return { SkipIPv4: false, SkipIPv6: false };
  }

  async createNetwork(request: CreateNetworkRequest, call: Call): Promise<Nothing> {
    await this.#networks.create(request, call);
    return {};
  }

  async deleteNetwork(request: NetworkRequest, call: Call): Promise<Nothing> {
    await this.#networks.delete(request.NetworkID, call);
    return {};
  }

  /** Only for drivers of global scope; answered all the same. */
  allocateNetwork(): AllocateNetworkReply {
    return { Options: {} };
  }

  freeNetwork(): Nothing {
    return {};
  }

  createEndpoint(request: CreateEndpointRequest, call: Call): Promise<CreateEndpointReply> {
    return this.#endpoints.create(request, call);
  }

  /** Always empty, also for unknown endpoints: to engine 27 an error here ends the start of the container. */
  endpointOperInfo(): EndpointOperInfoReply {
    return { Value: {} };
  }

  async deleteEndpoint(request: EndpointRequest, call: Call): Promise<Nothing> {
    await this.#endpoints.delete(request, call);
    return {};
  }

  join(request: JoinRequest, call: Call): Promise<JoinReply> {
    return this.#joins.join(request, call);
  }

  leave(request: EndpointRequest): Nothing {
    this.#joins.leave(request);
    return {};
  }

  /**
   * From engine 28 on: the link is in the sandbox, and the container's process does not run yet. Older engines call
   * it before the move, when there is nothing to do yet.
   */
  async programExternalConnectivity({ EndpointID }: EndpointRequest, { deadline }: Call): Promise<Nothing> {
    await within(this.#sandboxes.program(EndpointID), deadline, 'setting up the sandbox');
    return {};
  }

  revokeExternalConnectivity(): Nothing {
    return {};
  }

  discoverNew(): Nothing {
    return {};
  }

  discoverDelete(): Nothing {
    return {};
  }
}
