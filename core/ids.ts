/** Names and ids that are derived, not chosen. */
import { randomBytes } from 'node:crypto';

/** Mark on every link of ours (IFLA_IFALIAS); `lanius:<endpoint id>`. At most 256 bytes (IFALIASZ). */
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

/** The endpoint that a link of ours belongs to, or undefined if the alias is not ours. */
export function endpointIdOfAlias(alias: string): string | undefined {
  return alias.startsWith(LINK_ALIAS_PREFIX) ? alias.slice(LINK_ALIAS_PREFIX.length) : undefined;
}

/** First 12 digits, as docker prints ids. */
export function shortId(id: string): string {
  return id.slice(0, 12);
}

/** Random hex, e.g. for request ids (3 bytes) and instance ids (8 bytes). */
export function randomId(bytes: number): string {
  return randomBytes(bytes).toString('hex');
}
