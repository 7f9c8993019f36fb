/**
 * Links of kind `ifb`: what is received elsewhere is handed to them as if they sent it, so that it can be shaped.
 *
 * @see drivers/net/ifb.c
 */
import { markSet, noOwnIpv6 } from './bridge-link.ts';
import { linkCreate, linkUp } from './link.ts';
import type { NetlinkRequest } from './socket.ts';

/** What makes one, down; EEXIST if the name is taken. The second request is refused by kernels without IPv6. */
export function ifbCreate(name: string, operation: string): NetlinkRequest[] {
  return [linkCreate({ name, kind: 'ifb' }, operation), noOwnIpv6(name, `${operation}: keep IPv6 off it`)];
}

export function ifbMark(name: string, alias: string, operation: string): NetlinkRequest {
  return markSet(name, alias, `${operation}: mark it`);
}

export function ifbUp(name: string, operation: string): NetlinkRequest {
  return linkUp(name, `${operation}: set it up`);
}
