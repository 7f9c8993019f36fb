/**
 * Finds out what this kernel can do by trying it in a network namespace that exists for the time of the attempt.
 * Runs in the kernel worker; starts no process and leaves nothing behind. Must not throw for what is merely lacking.
 */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { DriverError, KernelError } from '../core/errors.ts';
import type { KernelFeatures } from './port.ts';
import { linkCreate, linkGet, macvlanData, readLink, vlanData } from './rtnetlink/link.ts';
import { withSocketInFresh } from './rtnetlink/namespace.ts';
import type { RtnetlinkSocket } from './rtnetlink/socket.ts';
import { CAP_NET_ADMIN, CAP_SYS_ADMIN } from './rtnetlink/uapi.ts';

type LinkKind = keyof KernelFeatures['linkKinds'];
type Finding = true | string;

/** Kinds that can carry others, in the order in which they are tried as a parent. */
const PARENT_KINDS = ['veth', 'dummy', 'bridge', 'ifb'] as const;

/** @see NetPort.probe */
export function probe(): KernelFeatures {
  const capabilities = effectiveCapabilities();
  return {
    kernelRelease: release(),
    netAdmin: has(capabilities, CAP_NET_ADMIN),
    sysAdmin: has(capabilities, CAP_SYS_ADMIN),
    linkKinds: linkKinds(),
  };
}

function linkKinds(): Record<LinkKind, Finding> {
  try {
    return withSocketInFresh((socket) => ({
      macvlan: attempt(() => createOnParent(socket, 'macvlan', macvlanData('bridge'))),
      vlan: attempt(() => createOnParent(socket, 'vlan', vlanData(1))),
      ipvlan: attempt(() => createOnParent(socket, 'ipvlan')),
      veth: attempt(() => create(socket, 'veth', 'try-veth')),
      bridge: attempt(() => create(socket, 'bridge', 'try-bridge')),
      ifb: attempt(() => create(socket, 'ifb', 'try-ifb')),
    }));
  } catch (error) {
    const why = `not tried, for no network namespace can be made: ${reason(error)}`;
    return { macvlan: why, vlan: why, ipvlan: why, veth: why, bridge: why, ifb: why };
  }
}

/** Each kind gets a parent of its own: macvlan and ipvlan exclude each other on one. */
function createOnParent(socket: RtnetlinkSocket, kind: LinkKind, kindData?: Buffer): void {
  const parentName = `on-${kind}`;
  for (const parentKind of PARENT_KINDS) {
    if (attempt(() => create(socket, parentKind, parentName)) !== true) continue;
    const [answer] = socket.request(linkGet(parentName, `read link "${parentName}"`));
    const parent = answer === undefined ? undefined : readLink(answer.payload);
    if (parent !== undefined) create(socket, kind, `try-${kind}`, parent.linkIndex, kindData);
    return;
  }
  throw new DriverError('unsupported', `not tried, for no parent can be made (${PARENT_KINDS.join(', ')})`);
}

function create(
  socket: RtnetlinkSocket,
  kind: string,
  name: string,
  parentIndex?: number,
  kindData?: Buffer,
): void {
  socket.request(
    linkCreate(
      {
        name,
        kind,
        ...(parentIndex === undefined ? {} : { parentIndex }),
        ...(kindData === undefined ? {} : { kindData }),
      },
      `create a link of kind ${kind}`,
    ),
  );
}

function attempt(act: () => void): Finding {
  try {
    act();
    return true;
  } catch (error) {
    return reason(error);
  }
}

/** `Unknown device type (EOPNOTSUPP)`, or the message if the kernel gave no text. */
function reason(error: unknown): string {
  if (error instanceof KernelError) {
    const { kernelText } = error.details;
    if (typeof kernelText === 'string') return `${kernelText} (${error.errnoName})`;
  }
  return error instanceof Error ? error.message : String(error);
}

/** @see proc_pid_status(5) CapEff */
function effectiveCapabilities(): bigint {
  const match = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return BigInt(`0x${match?.[1] ?? '0'}`);
}

function has(capabilities: bigint, bit: number): boolean {
  return ((capabilities >> BigInt(bit)) & 1n) === 1n;
}
