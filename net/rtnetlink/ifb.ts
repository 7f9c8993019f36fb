/**
 * Links of kind `ifb`: what is received elsewhere is handed to them as if they sent it, so that it can be shaped.
 *
 * @see drivers/net/ifb.c
 */
import { markSet, noOwnIpv6 } from './bridge-link.ts';
import { linkCreate, linkUp } from './link.ts';
import type { NetlinkRequest } from './socket.ts';

/**
 * Makes one, up, with its mark; EEXIST if the name is taken. One system call, so that no kill comes between. The mark comes
 * last: who listens hears of a marked link only when it is up.
 */
export function ifbCreate(name: string, alias: string, operation: string): NetlinkRequest[] {
  return [
    linkCreate({ name, kind: 'ifb' }, operation),
    noOwnIpv6(name, `${operation}: keep IPv6 off it`),
    linkUp(name, `${operation}: set it up`),
    markSet(name, alias, `${operation}: mark it`),
  ];
}
