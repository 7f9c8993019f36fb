/**
 * Everything of ours that stands in this host's kernel, and who owns each: by mark, by name, by route protocol, by pin. Pure.
 * What nobody owns is a leak; `lanius doctor --leaks` shows it, reconciliation and the keeper of uplinks remove it.
 *
 * What is inside a sandbox (neighbours, filters, qdiscs) goes with the sandbox and is not looked for. We make no named
 * network namespaces.
 */
import {
  BRIDGE_MARK,
  bridgeNameOf,
  endpointIdOfAlias,
  hostEndNameOf,
  hostIfbNameOf,
  isOurMark,
  linkNameOf,
  parentIfbNameOf,
  parentOfIfbMark,
  SHIM_MARK,
  shimNameOf,
  shortId,
  VLAN_MARK,
} from '../core/ids.ts';
import { formatIp, parseInterface } from '../core/ip.ts';
import type { LinkInfo } from '../net/port.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';

export type BelongingKind =
  | 'endpoint link'
  | 'host end'
  | 'ifb'
  | 'VLAN'
  | 'bridge'
  | 'shim'
  | 'host route'
  | 'ARP responder'
  | 'pin'
  | 'link';

export interface Belonging {
  readonly kind: BelongingKind;
  /** Its name. */
  readonly object: string;
  /** Who needs it, for people; absent: nobody. */
  readonly owner?: string;
}

export interface HostView {
  /** All of the host's namespace. */
  readonly links: readonly LinkInfo[];
  /** Addresses that the host has a route of ours to. */
  readonly hostRoutes: readonly string[];
  readonly responder: { readonly networkIds: readonly string[]; readonly pins: readonly string[] };
  readonly networks: readonly NetworkRecord[];
  readonly endpoints: readonly EndpointRecord[];
  /** Bridges that have the addresses of their uplink, and must give them back before they go. */
  readonly adoptingBridges: readonly string[];
  /** Endpoints of our networks that the engine knows. */
  readonly engineEndpoints: ReadonlySet<string>;
}

/** Names that only we give, whether or not the link bears a mark. */
const OUR_NAME = /^l[nhsitp][0-9a-f]{12}$/;
const OUR_KINDS = ['macvlan', 'ipvlan', 'veth', 'ifb'];

export function belongingsOf(view: HostView): Belonging[] {
  return [
    ...view.links.flatMap((link) => ofLink(link, view)),
    ...view.hostRoutes.map((address) => belonging('host route', address, ownerOfRoute(address, view))),
    ...ofResponder(view),
  ];
}

/** What nobody owns. */
export function leaksOf(belongings: readonly Belonging[]): Belonging[] {
  return belongings.filter(({ owner }) => owner === undefined);
}

function ofLink(link: LinkInfo, view: HostView): Belonging[] {
  const { name, alias = '', kind = '' } = link;
  const endpointId = endpointIdOfAlias(alias);
  if (endpointId !== undefined) {
    const kinds: Readonly<Record<string, BelongingKind>> = {
      [linkNameOf(endpointId)]: 'endpoint link',
      [hostEndNameOf(endpointId)]: 'host end',
      [hostIfbNameOf(endpointId)]: 'ifb',
    };
    return [belonging(kinds[name] ?? 'link', name, ownerOfEndpoint(endpointId, view))];
  }
  const { networks } = view;
  const shaped = parentOfIfbMark(alias);
  if (shaped !== undefined && name === parentIfbNameOf(shaped)) {
    return [
      belonging(
        'ifb',
        name,
        networkOf(networks, ({ parent, enforce }) => parent === shaped && enforce === 'host'),
      ),
    ];
  }
  switch (alias) {
    case VLAN_MARK:
      return [
        belonging(
          'VLAN',
          name,
          networkOf(networks, ({ parent, vlan }) => [parent, vlan?.lower].includes(name)),
        ),
      ];
    case BRIDGE_MARK:
      return [belonging('bridge', name, ownerOfBridge(name, view))];
    case SHIM_MARK:
      return [
        belonging(
          'shim',
          name,
          networkOf(networks, ({ hostAccess, parent }) => hostAccess === true && shimNameOf(parent) === name),
        ),
      ];
    default:
      return isOurMark(alias) || (OUR_NAME.test(name) && OUR_KINDS.includes(kind))
        ? [{ kind: 'link', object: name }]
        : [];
  }
}

function ofResponder({ responder, networks }: HostView): Belonging[] {
  const { networkIds, pins } = responder;
  const tables = networkIds.map((networkId) =>
    belonging(
      'ARP responder',
      shortId(networkId),
      networkOf(networks, (network) => network.networkId === networkId),
    ),
  );
  const owner = tables.find((table) => table.owner !== undefined)?.owner;
  return [...tables, ...pins.map((pin) => belonging('pin', pin, owner))];
}

function ownerOfEndpoint(
  endpointId: string,
  { endpoints, engineEndpoints }: Pick<HostView, 'endpoints' | 'engineEndpoints'>,
): string | undefined {
  const known = endpoints.some((endpoint) => endpoint.endpointId === endpointId);
  return known || engineEndpoints.has(endpointId) ? `endpoint ${shortId(endpointId)}` : undefined;
}

function ownerOfBridge(name: string, { networks, adoptingBridges }: HostView): string | undefined {
  const network = networkOf(
    networks,
    ({ mode, bridge, parent }) => mode === 'bridge' && (bridge ?? bridgeNameOf(parent)) === name,
  );
  return network ?? (adoptingBridges.includes(name) ? 'the addresses that it has taken over' : undefined);
}

function ownerOfRoute(address: string, { networks, endpoints }: HostView): string | undefined {
  const reached = new Set(
    networks.filter(({ hostAccess }) => hostAccess === true).map(({ networkId }) => networkId),
  );
  const owner = endpoints.find(
    (endpoint) =>
      reached.has(endpoint.networkId) &&
      [endpoint.address, endpoint.addressIpv6].some(
        (text) => text !== undefined && formatIp(parseInterface(text).address) === address,
      ),
  );
  return owner === undefined ? undefined : `endpoint ${shortId(owner.endpointId)}`;
}

function networkOf(
  networks: readonly NetworkRecord[],
  needs: (network: NetworkRecord) => boolean,
): string | undefined {
  const found = networks.filter(needs).map(({ networkId }) => `network ${shortId(networkId)}`);
  return found.length === 0 ? undefined : found.join(', ');
}

function belonging(kind: BelongingKind, object: string, owner: string | undefined): Belonging {
  return owner === undefined ? { kind, object } : { kind, object, owner };
}
