/**
 * The ifb that what a link receives is handed to: a link of the endpoint's own, with a name and a mark of ours, so that what
 * nobody needs any more is found. Over a socket that is handed in.
 */
import { KernelError } from '../../core/errors.ts';
import { SANDBOX_IFB_MARK } from '../../core/ids.ts';
import { linkGet } from '../macvlan.ts';
import type { LinkInfo } from '../port.ts';
import { EEXIST, ENODEV, kernelError } from '../rtnetlink/errno.ts';
import { ifbCreate, ifbMark, ifbUp } from '../rtnetlink/ifb.ts';
import { linkDelete } from '../rtnetlink/link.ts';
import type { NetlinkRequest, RtnetlinkSocket } from '../rtnetlink/socket.ts';

/** Of what `ifbCreate` sends: refused where there is no IPv6. */
const NO_IPV6 = 1;

export interface IfbSpec {
  readonly name: string;
  readonly alias: string;
}

/** @param found the link of its name, whatever it is. @returns it, if it is an ifb of ours */
export function ownIfb(found: LinkInfo | undefined, { alias }: Pick<IfbSpec, 'alias'>): LinkInfo | undefined {
  return found?.kind === 'ifb' && found.alias === alias ? found : undefined;
}

export interface ReadyIfb {
  readonly linkIndex: number;
  /** What sets it up, if it is down: to be sent when its shaper is there, which a link that is down takes at once. */
  readonly raising: readonly NetlinkRequest[];
  /** What was wrong. */
  readonly mended?: string;
}

/**
 * The ifb; made if it is missing, also in the place of another link that has its name.
 *
 * In the host's namespace it is marked in the same system call, so that nobody's kill can leave one that is not known to be
 * ours. In a sandbox, with which it goes anyway, it is marked as it is set up: who listens hears of a marked one that is down
 * only when somebody has set it down.
 * @throws KernelError
 */
export function readyIfb(socket: RtnetlinkSocket, spec: IfbSpec, found: LinkInfo | undefined): ReadyIfb {
  const { name, alias } = spec;
  const operation = `make the ifb "${name}"`;
  const own = ownIfb(found, spec);
  if (own !== undefined) {
    const { linkIndex } = own;
    if (own.up) return { linkIndex, raising: [] };
    return { linkIndex, raising: [ifbUp(name, operation)], mended: 'the ifb was down' };
  }
  if (found !== undefined) {
    socket.request(linkDelete(found.linkIndex, `${operation}: remove the link that has its name`));
  }
  const mark = ifbMark(name, alias, operation);
  const late = alias === SANDBOX_IFB_MARK;
  const refusals = socket.batch([...ifbCreate(name, operation), ...(late ? [] : [mark])]);
  const refused = refusals.find((refusal, index) => refusal !== undefined && index !== NO_IPV6);
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
    raising: [ifbUp(name, operation), ...(late ? [mark] : [])],
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
