/** Names and ids that are derived, not chosen. */
import { createHash, randomBytes } from 'node:crypto';

/**
 * Beginning of the mark on every link of ours (IFLA_IFALIAS, at most 255 bytes). Behind it stands the endpoint's id, or
 * what the link is for.
 */
export const LINK_ALIAS_PREFIX = 'lanius:';

/**
 * The name of an endpoint's link in the host's namespace: stable, at most 15 characters (IFNAMSIZ − 1).
 * @param endpointId 64 hex digits, as the engine sends it
 */
export function linkNameOf(endpointId: string): string {
  return `ln${endpointId.slice(0, 12)}`;
}

export function linkAliasOf(endpointId: string): string {
  return `${LINK_ALIAS_PREFIX}${endpointId}`;
}

/** The endpoint that a link belongs to, or undefined if its alias is not the mark of an endpoint. */
export function endpointIdOfAlias(alias: string): string | undefined {
  if (!alias.startsWith(LINK_ALIAS_PREFIX)) return undefined;
  const rest = alias.slice(LINK_ALIAS_PREFIX.length);
  return /^[0-9a-f]{64}$/.test(rest) ? rest : undefined;
}

/** The link bears a mark of ours, whatever it is for. */
export function isOurMark(alias: string): boolean {
  return alias.startsWith(LINK_ALIAS_PREFIX);
}

/** The name of the shim on a parent: the same at every start, at most 15 characters. */
export function shimNameOf(parent: string): string {
  return `ls${createHash('sha256').update(parent).digest('hex').slice(0, 12)}`;
}

/** Mark on VLAN sub-interfaces that we made (IFLA_IFALIAS). */
export const VLAN_MARK = 'lanius:vlan';
/** Mark on bridges that we made. */
export const BRIDGE_MARK = 'lanius:bridge';
/** Mark on shims: the host's own link on a parent (`host_access`). */
export const SHIM_MARK = 'lanius:shim';

/**
 * The name of VLAN `vlanId` of a link: `eth0.100`; where that is longer than 15 characters (IFNAMSIZ − 1), `vl`, eight
 * digits of a hash of the lower link's name, and the id: `vl2f9ac1d0.100`. The same on every host.
 */
export function vlanLinkNameOf(lower: string, vlanId: number): string {
  const name = `${lower}.${vlanId}`;
  if (Buffer.byteLength(name) <= 15) return name;
  return `vl${createHash('sha256').update(lower).digest('hex').slice(0, 8)}.${vlanId}`;
}

/** The other end of an endpoint's veth pair, which stays in the host's namespace (mode `bridge`). */
export function hostEndNameOf(endpointId: string): string {
  return `lh${endpointId.slice(0, 12)}`;
}

/**
 * The name of the bridge over a parent, if none is given: `br-eth0`; where that is longer than 15 characters, `br-`, the
 * beginning of the parent's name and four digits of its hash: `br-enp179s-3f0a`. The same on every host.
 */
export function bridgeNameOf(parent: string): string {
  const name = `br-${parent}`;
  if (Buffer.byteLength(name) <= 15) return name;
  const beginning = parent.replaceAll(/[^a-zA-Z0-9.-]/g, '').slice(0, 7);
  return `br-${beginning}-${createHash('sha256').update(parent).digest('hex').slice(0, 4)}`;
}

/** Mark on the ifb of an endpoint inside of its sandbox. It is not the endpoint's mark, by which the link itself is found. */
export const SANDBOX_IFB_MARK = 'lanius:ifb';

/** The name of the ifb for a link in its sandbox. @param linkIndex of that link, there */
export function sandboxIfbNameOf(linkIndex: number): string {
  return `lnin${linkIndex}`;
}

/** The ifb of an endpoint in the host's namespace, for what its host end receives; it bears the endpoint's mark. */
export function hostIfbNameOf(endpointId: string): string {
  return `li${endpointId.slice(0, 12)}`;
}

const PARENT_IFB_PREFIX = 'lanius:parent-ifb:';

/** Mark on the ifb of a parent whose endpoints the host itself shapes (`enforce=host`). */
export function parentIfbMarkOf(parent: string): string {
  return `${PARENT_IFB_PREFIX}${parent}`;
}

/** The parent that an ifb is for, or undefined if its alias is no such mark; the parent itself may be gone. */
export function parentOfIfbMark(alias: string): string | undefined {
  return alias.startsWith(PARENT_IFB_PREFIX) ? alias.slice(PARENT_IFB_PREFIX.length) : undefined;
}

/** The name of the ifb for a parent: the same at every start, at most 15 characters. */
export function parentIfbNameOf(parent: string): string {
  return `lp${createHash('sha256').update(parent).digest('hex').slice(0, 12)}`;
}

/** First 12 digits, as docker prints ids. */
export function shortId(id: string): string {
  return id.slice(0, 12);
}

/** Random hex, e.g. for request ids (3 bytes) and instance ids (8 bytes). */
export function randomId(bytes: number): string {
  return randomBytes(bytes).toString('hex');
}
