/** The part of the composition that is about links: what networks stand on, how endpoints get theirs, what is set in sandboxes. */
import type { Logger } from '../core/log.ts';
import { Attachments } from '../links/attachments.ts';
import { MacvlanMode } from '../links/macvlan-mode.ts';
import type { Sandboxes } from '../links/sandbox-setting.ts';
import { Uplinks } from '../links/uplinks.ts';
import type { KernelWorker } from '../net/kernel-worker.ts';
import type { NetPort } from '../net/port.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';

export interface LinkParts {
  readonly kernel: KernelWorker;
  readonly net: NetPort;
  readonly networks: { list(): readonly NetworkRecord[]; get(id: string): NetworkRecord | undefined };
  readonly endpoints: { list(): readonly EndpointRecord[]; get(id: string): EndpointRecord | undefined };
  readonly logger: Logger;
}

export function composeLinks({ net, networks }: LinkParts) {
  const attachments = new Attachments({ net, modes: { macvlan: new MacvlanMode({ net }) } });
  const uplinks = new Uplinks({ parts: [], networks });
  const sandboxes: Sandboxes = { joined: () => {}, program: async () => {}, left: () => {} };
  return { attachments, uplinks, sandboxes };
}
