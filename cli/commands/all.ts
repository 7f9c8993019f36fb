/** Every command, in the order of the help. */
import type { Command } from '../command.ts';
import { doctor } from './doctor.ts';
import { hostLs } from './host-ls.ts';
import { ipLs } from './ip-ls.ts';
import { ipRelease } from './ip-release.ts';
import { networkLs } from './network-ls.ts';
import { poolLs } from './pool-ls.ts';
import { reconcile } from './reconcile.ts';
import { version } from './version.ts';

export const commands: readonly Command[] = [
  networkLs,
  poolLs,
  ipLs,
  ipRelease,
  hostLs,
  reconcile,
  doctor,
  version,
];

/** Commands that bin/lanius hands to the daemon's side; here only for the help and for suggestions. */
export const otherPrograms: readonly { readonly word: string; readonly summary: string }[] = [
  { word: 'daemon', summary: 'Run the daemon in the foreground' },
  { word: 'config', summary: 'Check or print the configuration of the daemon' },
];
