/**
 * Names of errno values, and the one place that turns a kernel's refusal into a `KernelError` whose text a person
 * can act on. Must not decide which refusals are harmless: the callers know their request.
 */
import { constants } from 'node:os';
import { KernelError, oneLine } from '../../core/errors.ts';

const names = new Map<number, string>();
for (const [name, value] of Object.entries(constants.errno)) if (!names.has(value)) names.set(value, name);
// Two names share a number; these are the ones that the kernel's source uses.
names.set(constants.errno.EAGAIN, 'EAGAIN');
names.set(constants.errno.EOPNOTSUPP, 'EOPNOTSUPP');
// linux/errno.h: meant to stay inside the kernel, but some drivers let it out.
names.set(524, 'ENOTSUPP');

export const { EPERM, EACCES, EINTR, EAGAIN, EBUSY, EEXIST, ENODEV, EINVAL, ENOENT } = constants.errno;
export const { ENOMEM, EOPNOTSUPP, EADDRINUSE, EADDRNOTAVAIL, ENOBUFS, ENOSPC, EMSGSIZE } = constants.errno;

const remedies = new Map<number, string>([
  [EPERM, 'the daemon needs the capability CAP_NET_ADMIN'],
  [EACCES, 'the daemon must run as root'],
  [
    EADDRINUSE,
    'another link on this parent has this MAC address; remove it, or wait until its sandbox is gone',
  ],
  [EBUSY, 'the parent is used in another way (bridge port, bond port, ipvlan or passthru); choose another'],
  [EADDRNOTAVAIL, 'the MAC address is not a unicast address'],
  [ENODEV, 'the link or its parent has gone meanwhile; try again'],
  [EOPNOTSUPP, 'this kernel lacks it; see lanius doctor'],
  [ENOBUFS, 'the answer was lost because the socket buffer was full'],
  [EAGAIN, 'the kernel did not answer in time'],
]);

/** `EEXIST`; `E1234` for a number that has no name. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `E${errno}`;
}

/**
 * @param operation what was asked, with its object: `create macvlan link "ln0" on "eth0"`
 * @param kernelText the kernel's own words (extended ACK), if it gave any
 * @param remedy replaces the general one of this errno
 */
export function kernelError(
  operation: string,
  errno: number,
  kernelText?: string,
  remedy: string | undefined = remedies.get(errno),
): KernelError {
  const parts = [`cannot ${operation}`, errnoName(errno), kernelText, remedy];
  return new KernelError(oneLine(parts.filter((part) => part !== undefined && part !== '').join(': ')), {
    errno,
    errnoName: errnoName(errno),
    details: { operation, ...(kernelText === undefined ? {} : { kernelText }) },
  });
}
