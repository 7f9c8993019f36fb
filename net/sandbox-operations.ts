/** The kernel worker's operations inside sandboxes that are about no table: looks and announcements. */
import { type AnnounceSpec, announce } from './announce.ts';
import type { Handlers, Operation } from './operation.ts';
import { type LinkInSandbox, type SandboxLookSpec, sandboxLook } from './sandbox-look.ts';

export interface SandboxOperations {
  readonly sandboxLook: Operation<SandboxLookSpec, LinkInSandbox | undefined>;
  readonly announce: Operation<AnnounceSpec, boolean>;
}

export const sandboxHandlers: Handlers<SandboxOperations> = {
  sandboxLook: (spec) => sandboxLook(spec),
  announce: (spec) => announce(spec),
};
