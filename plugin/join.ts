/**
 * Join and Leave: the container's link comes into being in the host's namespace, from where the engine moves it.
 *
 * INVARIANTS
 * - Join makes the link and nothing else; addresses, routes and limits would be lost in the move.
 * - What the host cannot carry is refused here, where every engine still waits for us (throttle/admission.ts).
 * - A Join that fails takes its link back: engines differ in whether DeleteEndpoint follows.
 * - Leave makes nothing undone: the link is still in the sandbox, and DeleteEndpoint comes after the engine has
 *   moved it back. If the sandbox died first, the kernel has destroyed it.
 *
 * THE SANDBOX KEY IS ON DISK BEFORE THE REPLY, written while the kernel makes the link, so that it costs a start only
 * what the disk is slower than the kernel. It could be written later: after a crash in between, the engine still
 * lists the endpoint, and the link bears its mark. But reconciliation looks for links in recorded sandboxes, and
 * where the engine has forgotten an endpoint whose container lives, that look alone keeps its address from being
 * given away. A write that fails is therefore logged, but does not fail the start.
 *
 * Source: moby libnetwork/docs/remote.md#join, #leave; libnetwork/sandbox.go populateNetworkResources().
 */
import { within } from '../core/deadline.ts';
import { DeadlineExceeded, NotFound } from '../core/errors.ts';
import { failpoint } from '../core/failpoint.ts';
import { shortId } from '../core/ids.ts';
import { cidrHas, parseCidr, parseInterface } from '../core/ip.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import { inTime, knownNetwork } from './networks.ts';
import type { Call, NetworkDriverDependencies } from './ports.ts';
import { type Undo, undoing } from './undo.ts';
import type { EndpointRequest, JoinReply, JoinRequest } from './wire/network.ts';

export class Joins {
  readonly #deps: NetworkDriverDependencies;

  constructor(deps: NetworkDriverDependencies) {
    this.#deps = deps;
  }

  /**
   * Makes the link; the same request again finds it made.
   * @throws NotFound (network, endpoint or parent), Conflict (link name taken), KernelError, DeadlineExceeded
   */
  async join(request: JoinRequest, call: Call): Promise<JoinReply> {
    const network = knownNetwork(this.#deps, request.NetworkID);
    const endpoint = this.#knownEndpoint(request);
    failpoint('join.before-link');
    const joined = { ...endpoint, sandboxKey: request.SandboxKey };
    const recorded = this.#record(joined, call);
    await undoing(call.logger, async (undo) => {
      const { limits } = this.#deps;
      limits.joining(joined);
      undo.push('its share of the bandwidth', async () => limits.left(endpoint.endpointId));
      const refusal = limits.admit(joined, network, call.deadline).then(
        () => undefined,
        (error: unknown) => error,
      );
      await this.#makeLink(endpoint, network, undo, call);
      throwIfAny(await refusal);
      failpoint('join.after-link');
      await recorded;
      this.#knownEndpoint(request);
      inTime(call.deadline, 'Join');
      undo.commit();
    });
    this.#deps.limits.joined(joined);
    this.#deps.holders.joined(joined);
    this.#deps.sandboxes.joined(joined);
    return {
      InterfaceName: { SrcName: joined.linkName, DstPrefix: 'eth' },
      ...gatewaysOf(network, joined),
      ...staticRoutesOf(this.#deps.attachments.onLink(joined, network)),
      DisableGatewayService: true,
    };
  }

  /** Succeeds for endpoints that never joined. */
  leave({ EndpointID }: EndpointRequest): void {
    this.#deps.holders.left(EndpointID);
    this.#deps.sandboxes.left(EndpointID);
    failpoint('leave.after-undo');
  }

  /** Also undoes a link that the kernel makes after our time is up. */
  async #makeLink(
    endpoint: EndpointRecord,
    network: NetworkRecord,
    undo: Undo,
    { deadline, logger }: Call,
  ): Promise<void> {
    const { attachments } = this.#deps;
    const { endpointId, linkName } = endpoint;
    const making = attachments.attach(endpoint, network);
    try {
      await within(making, deadline, `making the link ${linkName}`);
    } catch (err) {
      if (err instanceof DeadlineExceeded) {
        making
          .then(
            () => attachments.detach(endpointId),
            () => false,
          )
          .catch((late: unknown) =>
            logger.warn('a late link could not be deleted', { link: linkName, err: late }),
          );
      }
      throw err;
    }
    undo.push('the link', () => attachments.detach(endpointId));
  }

  /** Never throws. */
  async #record(joined: EndpointRecord & { readonly sandboxKey: string }, { logger }: Call): Promise<void> {
    const { endpointId, sandboxKey } = joined;
    try {
      await this.#deps.endpoints.put(endpointId, joined);
    } catch (err) {
      logger.warn('the sandbox of an endpoint could not be recorded', { endpointId, sandboxKey, err });
    }
  }

  #knownEndpoint(request: JoinRequest): EndpointRecord {
    const endpoint = this.#deps.endpoints.get(request.EndpointID);
    if (endpoint !== undefined && endpoint.networkId === request.NetworkID) return endpoint;
    throw new NotFound(
      `endpoint ${shortId(request.EndpointID)} is not in the records of this host: start the container again`,
    );
  }
}

function throwIfAny(error: unknown): void {
  if (error !== undefined) throw error;
}

/** Docker does not strip gateways on `--internal` networks, so they are left out here. */
function gatewaysOf(
  network: NetworkRecord,
  endpoint: EndpointRecord,
): Pick<JoinReply, 'Gateway' | 'GatewayIPv6'> {
  if (network.internal) return {};
  const ipv4 = gatewayOf(network, endpoint.address);
  const ipv6 = gatewayOf(network, endpoint.addressIpv6);
  return {
    ...(ipv4 === undefined ? {} : { Gateway: ipv4 }),
    ...(ipv6 === undefined ? {} : { GatewayIPv6: ipv6 }),
  };
}

/** @see moby libnetwork/types/types.go, 1 = CONNECTED: on the link itself */
function staticRoutesOf(destinations: readonly string[]): Pick<JoinReply, 'StaticRoutes'> {
  if (destinations.length === 0) return {};
  return { StaticRoutes: destinations.map((Destination) => ({ Destination, RouteType: 1 })) };
}

function gatewayOf(network: NetworkRecord, interfaceText: string | undefined): string | undefined {
  if (interfaceText === undefined) return undefined;
  const { address } = parseInterface(interfaceText);
  return network.subnets.find(({ subnet }) => cidrHas(parseCidr(subnet), address))?.gateway;
}
