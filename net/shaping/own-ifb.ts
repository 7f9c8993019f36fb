/**
 * The ifb that what a link receives is handed to: a link of the endpoint's own, with a name and a mark of ours, so that what
 * nobody needs any more is found. Over a socket that is handed in.
 */
import { KernelError } from '../../core/errors.ts';
import { linkGet } from '../macvlan.ts';
import type { LinkInfo } from '../port.ts';
import { EEXIST, ENODEV, kernelError } from '../rtnetlink/errno.ts';
import { ifbCreate } from '../rtnetlink/ifb.ts';
import { linkDelete, linkUp } from '../rtnetlink/link.ts';
import type { RtnetlinkSocket } from '../rtnetlink/socket.ts';

export interface IfbSpec {
  readonly name: string;
  readonly alias: string;
}

/** @param found the link of its name, whatever it is. @returns it, if it is an ifb of ours */
export function ownIfb(found: LinkInfo | undefined, { alias }: Pick<IfbSpec, 'alias'>): LinkInfo | undefined {
  return found?.kind === 'ifb' && found.alias === alias ? found : undefined;
}

/**
 * The ifb, up; made if it is missing, also in the place of another link that has its name.
 * @returns its index, and what was wrong
 * @throws KernelError
 */
export function readyIfb(
  socket: RtnetlinkSocket,
  spec: IfbSpec,
  found: LinkInfo | undefined,
): { readonly linkIndex: number; readonly mended?: string } {
  const { name } = spec;
  const own = ownIfb(found, spec);
  if (own?.up === true) return { linkIndex: own.linkIndex };
  if (own !== undefined) {
    socket.request(linkUp(name, `set the ifb "${name}" up`));
    return { linkIndex: own.linkIndex, mended: 'the ifb was down' };
  }
  const operation = `make the ifb "${name}"`;
  if (found !== undefined) {
    socket.request(linkDelete(found.linkIndex, `${operation}: remove the link that has its name`));
  }
  // The second request keeps IPv6 off it: a kernel without IPv6 refuses that, and needs it not.
  const refusals = socket.batch(ifbCreate(name, spec.alias, operation)).filter((_, index) => index !== 1);
  const refused = refusals.find((refusal) => refusal !== undefined);
  const made = linkGet(socket, name);
  if (refused !== undefined) {
    if (made !== undefined && refused.errno !== EEXIST) {
      socket.batch([linkDelete(made.linkIndex, `${operation}: remove it again`)]);
    }
    throw refused;
  }
  if (made === undefined) throw kernelError(operation, ENODEV, undefined, 'somebody deleted it at once');
  return {
    linkIndex: made.linkIndex,
    mended: found === undefined ? 'the ifb was missing' : 'another link had the name of the ifb',
  };
}

/** Idempotent. @returns whether there was one */
export function ownIfbDelete(socket: RtnetlinkSocket, spec: IfbSpec): boolean {
  const found = ownIfb(linkGet(socket, spec.name), spec);
  if (found === undefined) return false;
  try {
    socket.request(linkDelete(found.linkIndex, `delete the ifb "${spec.name}"`));
    return true;
  } catch (error) {
    if (error instanceof KernelError && error.errno === ENODEV) return false;
    throw error;
  }
}
