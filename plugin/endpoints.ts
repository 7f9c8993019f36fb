/**
 * CreateEndpoint and DeleteEndpoint: the record that ties an endpoint to its address and MAC, and its end.
 *
 * INVARIANTS
 * - One small write on the way of a container: the record, before the reply; it must survive a kill of the daemon,
 *   not a power cut. The link is made in Join.
 * - After a CreateEndpoint that failed the engine sends ReleaseAddress, but no DeleteEndpoint.
 * - DeleteEndpoint may come without Leave, after a reboot (link gone), or for an endpoint never heard of.
 *
 * Must not: ask the Engine API (it holds the container's lock), or return an address (the engine chose it).
 * Source: moby libnetwork/docs/remote.md#create-endpoint, #delete-endpoint.
 */
import { isDeepStrictEqual } from 'node:util';
import { type Deadline, within } from '../core/deadline.ts';
import { Conflict, InvalidRequest, NotFound } from '../core/errors.ts';
import { failpoint } from '../core/failpoint.ts';
import { linkNameOf, shortId } from '../core/ids.ts';
import { type Cidr, cidrHas, formatIp, parseCidr } from '../core/ip.ts';
import { type MacPrefix, macOf, parseMac } from '../core/mac.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import { limitTexts } from './limit-options.ts';
import { inTime, knownNetwork } from './networks.ts';
import { parseEndpointOptions } from './options.ts';
import type { Call, NetworkDriverDependencies, NetworkDriverOptions } from './ports.ts';
import { undoing } from './undo.ts';
import type { InterfaceAddress } from './wire/fields.ts';
import {
  type CreateEndpointReply,
  type CreateEndpointRequest,
  type EndpointRequest,
  PORTMAP_OPTION,
  portmap,
} from './wire/network.ts';

export class Endpoints {
  readonly #options: NetworkDriverOptions;
  readonly #deps: NetworkDriverDependencies;

  constructor(options: NetworkDriverOptions, deps: NetworkDriverDependencies) {
    this.#options = options;
    this.#deps = deps;
  }

  /**
   * Confirms the leases of the endpoint's addresses and remembers it. The same request again gets the same answer.
   * @throws NotFound (network), InvalidRequest, Conflict (address or id in other hands)
   */
  async create(request: CreateEndpointRequest, { deadline, logger }: Call): Promise<CreateEndpointReply> {
    const network = knownNetwork(this.#deps, request.NetworkID);
    const addresses = addressesOf(request, network);
    refusePublishing(request, addresses[0]);
    const options = limitTexts(parseEndpointOptions(request.Options), '--driver-opt', network.enforce);
    const pool = await this.#deps.addresses.poolSettings(addresses[0].subnet, deadline);
    const prefix = pool.macPrefix ?? this.#options.macPrefix;
    const shared = await this.#sharedMac(request, network, deadline);
    const record = this.#recordOf(request, addresses[0], prefix, shared, options);
    const planned = macOf(prefix, addresses[0].address);
    const standing = this.#deps.endpoints.get(request.EndpointID);
    if (standing !== undefined && !isSame(standing, record)) {
      throw new Conflict(
        `endpoint ${shortId(request.EndpointID)} is known already with other parameters: start the container again`,
      );
    }
    await Promise.all(
      addresses.map(({ subnet, address }, index) => {
        const fixed = index === 0 && record.macAddress !== planned ? record.macAddress : undefined;
        return this.#deps.addresses.confirmLease(subnet, address, request.EndpointID, deadline, fixed);
      }),
    );
    if (standing === undefined) await this.#remember(record, { deadline, logger });
    const { ownMac } = this.#deps.attachments.modeOf(network);
    return isSet(request.Interface?.MacAddress) || !ownMac
      ? {}
      : { Interface: { MacAddress: record.macAddress } };
  }

  /**
   * Forgets the endpoint; one that is gone is forgotten already. Its link is deleted behind the reply: the kernel
   * takes some 20 ms for that, and nothing depends on it any more (the engine has taken it down and its address away).
   * A link that a crash or the kernel leaves standing bears our mark and no endpoint, by which reconciliation finds it.
   */
  async delete({ EndpointID }: EndpointRequest, { deadline, logger }: Call): Promise<void> {
    const { attachments, endpoints, holders, limits, sandboxes } = this.#deps;
    holders.left(EndpointID);
    sandboxes.left(EndpointID);
    await within(endpoints.delete(EndpointID), deadline, 'deleting the endpoint record');
    limits.left(EndpointID);
    failpoint('endpoint.before-link-delete');
    attachments.detach(EndpointID).catch((err: unknown) => {
      logger.error('the link of an endpoint that ended could not be deleted; reconciliation tries again', {
        endpointId: EndpointID,
        link: linkNameOf(EndpointID),
        err,
      });
    });
  }

  async #remember(record: EndpointRecord, { deadline, logger }: Call): Promise<void> {
    const { endpoints } = this.#deps;
    failpoint('endpoint.before-record');
    await undoing(logger, async (undo) => {
      undo.push('the endpoint record', () => endpoints.delete(record.endpointId));
      await endpoints.put(record.endpointId, record);
      inTime(deadline, 'CreateEndpoint');
      undo.commit();
    });
    failpoint('endpoint.after-record');
  }

  /**
   * The MAC of the parent, if the links of the network's mode have that.
   * @throws InvalidRequest if another was asked for; NotFound
   */
  async #sharedMac(
    request: CreateEndpointRequest,
    network: NetworkRecord,
    deadline: Deadline,
  ): Promise<string | undefined> {
    const { attachments, net } = this.#deps;
    if (attachments.modeOf(network).ownMac) return undefined;
    if (isSet(request.Interface?.MacAddress)) {
      throw new InvalidRequest(
        `--mac-address ${request.Interface.MacAddress}: a container on a network with mode=${network.mode} has the MAC of the parent ${network.parent}: leave it out, or use mode=macvlan`,
      );
    }
    const { parent } = network;
    const link = await within(net.linkGet(parent), deadline, `looking up the link ${parent}`);
    if (link?.macAddress !== undefined) return link.macAddress;
    throw new NotFound(`parent link ${parent} does not exist on this host: create it, or remove the network`);
  }

  #recordOf(
    request: CreateEndpointRequest,
    first: PlacedAddress,
    prefix: MacPrefix,
    shared: string | undefined,
    options: EndpointRecord['options'],
  ): EndpointRecord {
    const given = request.Interface;
    const own = isSet(given?.MacAddress) ? parseMac(given.MacAddress) : macOf(prefix, first.address);
    const macAddress = shared ?? own;
    return {
      v: 1,
      endpointId: request.EndpointID,
      networkId: request.NetworkID,
      ...(given?.Address === undefined ? {} : { address: textOf(given.Address) }),
      ...(given?.AddressIPv6 === undefined ? {} : { addressIpv6: textOf(given.AddressIPv6) }),
      macAddress,
      linkName: linkNameOf(request.EndpointID),
      options,
      createdAt: this.#deps.clock.wall(),
      instance: this.#options.instance,
    };
  }
}

/** An address with the network's subnet that it is in. */
type PlacedAddress = InterfaceAddress;

/** IPv4 first. @throws InvalidRequest if there is none, or one is outside of the network's subnets */
function addressesOf(
  request: CreateEndpointRequest,
  network: NetworkRecord,
): [PlacedAddress, ...PlacedAddress[]] {
  const given = [request.Interface?.Address, request.Interface?.AddressIPv6].filter(
    (one) => one !== undefined,
  );
  const subnets = network.subnets.map(({ subnet }) => parseCidr(subnet));
  const [first, ...rest] = given.map(({ address }) => {
    const subnet = subnets.find((one) => cidrHas(one, address));
    if (subnet !== undefined) return { address, subnet };
    throw new InvalidRequest(
      `address ${formatIp(address)} is in no subnet of network ${shortId(network.networkId)}: use one of ${network.subnets.map((one) => one.subnet).join(', ')}`,
    );
  });
  if (first !== undefined) return [first, ...rest];
  throw new InvalidRequest(
    `the endpoint has no address: network ${shortId(network.networkId)} must be created with our --ipam-driver`,
  );
}

/**
 * Nothing is published on a flat network, and Docker would say nothing. `-P` (host port 0) asks for "whatever is
 * exposed" and is let through; a host port or address is a wish that would silently fail. The engine gives the
 * ports to the first endpoint of a sandbox that has none yet, so that with several networks this one may get them
 * where a bridge network could have published them: then too the start fails, instead of publishing by chance.
 * @see moby daemon/network.go buildPortsRelatedCreateEndpointOptions()
 */
function refusePublishing(request: CreateEndpointRequest, { address }: PlacedAddress): void {
  const wishes = portmap.safeParse(request.Options[PORTMAP_OPTION]);
  if (!wishes.success) throw new InvalidRequest(`Options["${PORTMAP_OPTION}"] is not a list of ports`);
  const wish = wishes.data.find(({ HostPort, HostIP }) => (HostPort ?? 0) !== 0 || isSet(HostIP));
  if (wish === undefined) return;
  const host = address.family === 4 ? formatIp(address) : `[${formatIp(address)}]`;
  throw new InvalidRequest(
    `-p/--publish has no effect on a flat network: every container has its own address, reach ${host}:${wish.Port} directly; start it without -p`,
  );
}

/** By what CreateEndpoint brings; the rest is learned later. */
function isSame(a: EndpointRecord, b: EndpointRecord): boolean {
  const identity = (record: EndpointRecord): EndpointRecord => ({
    ...record,
    container: undefined,
    sandboxKey: '',
    createdAt: 0,
    instance: '',
  });
  return isDeepStrictEqual(identity(a), identity(b));
}

function isSet(text: string | null | undefined): text is string {
  return text !== undefined && text !== null && text !== '';
}

function textOf({
  address,
  subnet,
}: {
  readonly address: InterfaceAddress['address'];
  readonly subnet: Cidr;
}): string {
  return `${formatIp(address)}/${subnet.prefixLength}`;
}
