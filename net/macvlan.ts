/**
 * Making macvlan links, and getting and deleting links by name: what the kernel worker does for `NetPort`, over a
 * socket that is handed in. Says what is wrong in the words of the user's options before the kernel says EINVAL.
 *
 * @see linux/if_link.h IFLA_MACVLAN_*, drivers/net/macvlan.c macvlan_common_newlink
 */
import { Conflict, InvalidRequest, KernelError, NotFound } from '../core/errors.ts';
import type { LinkInfo, MacvlanSpec } from './port.ts';
import { EEXIST, EINVAL, ENODEV, kernelError } from './rtnetlink/errno.ts';
import * as link from './rtnetlink/link.ts';
import type { RtnetlinkSocket } from './rtnetlink/socket.ts';
import { IFALIASZ, IFNAMSIZ } from './rtnetlink/uapi.ts';

/** @see NetPort.macvlanAdd */
export function macvlanAdd(socket: RtnetlinkSocket, asked: MacvlanSpec): LinkInfo {
  const spec: MacvlanSpec = { ...asked, macAddress: asked.macAddress.toLowerCase() };
  checkSpec(spec);
  const parent = findParent(socket, spec);
  const standing = linkGet(socket, spec.name);
  if (standing !== undefined) return takeAsMade(standing, spec, parent);

  const operation = `create macvlan link "${spec.name}" on "${spec.parent}"`;
  const kindData = link.macvlanData(spec.mode);
  const creation = link.linkCreate(
    {
      name: spec.name,
      parentIndex: parent.linkIndex,
      macAddress: spec.macAddress,
      kind: 'macvlan',
      kindData,
      ...(spec.mtuBytes === undefined ? {} : { mtuBytes: spec.mtuBytes }),
    },
    operation,
  );
  // Both in one system call: a kill between two would leave a link that nobody knows to be ours.
  const mark = link.linkAliasSet(spec.name, spec.alias, 'macvlan', kindData, `${operation} and mark it`);
  const [refused, unmarked] = socket.batch([creation, mark]);
  if (refused !== undefined) {
    const faster = isErrno(refused, EEXIST) ? linkGet(socket, spec.name) : undefined;
    if (faster !== undefined) return takeAsMade(faster, spec, parent);
    throw explain(refused, spec);
  }
  if (unmarked !== undefined) {
    linkDelete(socket, spec.name);
    throw unmarked;
  }
  const made = linkGet(socket, spec.name);
  if (made === undefined) throw kernelError(operation, ENODEV, undefined, 'somebody deleted it at once');
  return made;
}

/** @see NetPort.linkDelete */
export function linkDelete(socket: RtnetlinkSocket, name: string): boolean {
  const found = linkGet(socket, name);
  // The kernel finds links by their alternative names, too; deleting is by the name itself only.
  if (found?.name !== name) return false;
  try {
    socket.request(link.linkDelete(found.linkIndex, `delete link "${name}"`));
    return true;
  } catch (error) {
    if (isErrno(error, ENODEV)) return false;
    throw error;
  }
}

/** @see NetPort.linkGet */
export function linkGet(socket: RtnetlinkSocket, name: string): LinkInfo | undefined {
  if (nameFault(name) !== undefined) return undefined;
  try {
    const [answer] = socket.request(link.linkGet(name, `read link "${name}"`));
    return answer === undefined ? undefined : link.readLink(answer.payload);
  } catch (error) {
    if (isErrno(error, ENODEV)) return undefined;
    throw error;
  }
}

/** @see NetPort.linkList */
export function linkList(socket: RtnetlinkSocket): LinkInfo[] {
  return socket
    .dump(link.linkDump('list the links'))
    .map(({ payload }) => link.readLink(payload))
    .filter((found) => found !== undefined);
}

function checkSpec(spec: MacvlanSpec): void {
  const fault = nameFault(spec.name);
  if (fault !== undefined) throw new InvalidRequest(`link name "${spec.name}" ${fault}`);
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(spec.macAddress)) {
    throw new InvalidRequest(
      `MAC address "${spec.macAddress}" is not six hex pairs with colons (02:4c:0a:00:00:07)`,
    );
  }
  if (
    (Number.parseInt(spec.macAddress.slice(0, 2), 16) & 1) === 1 ||
    spec.macAddress === '00:00:00:00:00:00'
  ) {
    throw new InvalidRequest(
      `MAC address "${spec.macAddress}" is not a unicast address: its first byte must be even and it must not be zero`,
    );
  }
  const aliasBytes = Buffer.byteLength(spec.alias);
  if (aliasBytes === 0 || aliasBytes >= IFALIASZ || spec.alias.includes('\0')) {
    throw new InvalidRequest(`the alias of link "${spec.name}" must be 1 to ${IFALIASZ - 1} bytes long`);
  }
}

/** The kernel's dev_valid_name. @returns what is wrong with the name */
function nameFault(name: string): string | undefined {
  const bytes = Buffer.byteLength(name);
  if (bytes === 0 || bytes >= IFNAMSIZ) {
    return `has ${bytes} bytes: the kernel takes 1 to ${IFNAMSIZ - 1}`;
  }
  if (name === '.' || name === '..' || /[\s/:\0]/.test(name))
    return 'has a character that the kernel does not take';
  return undefined;
}

function findParent(socket: RtnetlinkSocket, spec: MacvlanSpec): LinkInfo {
  const parent = linkGet(socket, spec.parent);
  if (parent === undefined) {
    throw new NotFound(
      `parent link "${spec.parent}" does not exist on this host: create it or choose another with -o parent=`,
    );
  }
  if (parent.kind === 'macvlan') {
    const lower = linkList(socket).find(({ linkIndex }) => linkIndex === parent.parentIndex);
    throw new InvalidRequest(
      `parent link "${spec.parent}" is a macvlan itself, and the kernel would use its lower link: choose ` +
        (lower === undefined ? 'another with -o parent=' : `-o parent=${lower.name}`),
    );
  }
  // Every namespace has its loopback at index 1.
  if (parent.linkIndex === 1) {
    throw new InvalidRequest(
      `parent link "${spec.parent}" is the loopback: choose an Ethernet link with -o parent=`,
    );
  }
  if (spec.mtuBytes !== undefined && spec.mtuBytes > parent.mtuBytes) {
    throw new InvalidRequest(
      `MTU ${spec.mtuBytes} is above the ${parent.mtuBytes} of parent link "${spec.parent}": lower it or raise the parent's`,
    );
  }
  return parent;
}

function takeAsMade(standing: LinkInfo, spec: MacvlanSpec, parent: LinkInfo): LinkInfo {
  const differences = [
    ['kind', standing.kind ?? 'none', 'macvlan'],
    ['alias', standing.alias ?? 'none', spec.alias],
    ['parent index', standing.parentIndex ?? 'none', parent.linkIndex],
    ['mode', standing.macvlanMode ?? 'none', spec.mode],
    ['MAC', standing.macAddress ?? 'none', spec.macAddress],
  ].filter(([, stands, wanted]) => stands !== wanted);
  if (differences.length === 0) return standing;
  const [property, stands, wanted] = differences[0] ?? [];
  throw new Conflict(
    `a link named "${spec.name}" exists already with ${property} ${stands} instead of ${wanted}: ` +
      `it is not ours to change; remove it (ip link delete ${spec.name})`,
    { details: { link: spec.name, differences } },
  );
}

/** EINVAL comes without any text from macvlan; the reasons it has there are few. */
function explain(refused: KernelError, spec: MacvlanSpec): KernelError {
  if (!isErrno(refused, EINVAL)) return refused;
  const { operation, kernelText } = refused.details;
  return kernelError(
    String(operation),
    EINVAL,
    typeof kernelText === 'string' ? kernelText : undefined,
    spec.mode === 'passthru'
      ? 'mode passthru needs a parent that no other macvlan uses'
      : 'the parent must be an Ethernet link that no macvlan in mode passthru uses',
  );
}

function isErrno(error: unknown, errno: number): boolean {
  return error instanceof KernelError && error.errno === errno;
}
