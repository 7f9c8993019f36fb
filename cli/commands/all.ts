/** Every command, in the order of the help. */
import type { Command } from '../command.ts';
import { doctor } from './doctor.ts';
import { hostForget } from './host-forget.ts';
import { hostLs } from './host-ls.ts';
import { importShrike } from './import-shrike.ts';
import { ipLs } from './ip-ls.ts';
import { ipRelease } from './ip-release.ts';
import { ipReserve } from './ip-reserve.ts';
import { ipUnreserve } from './ip-unreserve.ts';
import { limitLs } from './limit-ls.ts';
import { limitRm } from './limit-rm.ts';
import { limitSet } from './limit-set.ts';
import { mesosResources } from './mesos-resources.ts';
import { networkLs } from './network-ls.ts';
import { poolAdd } from './pool-add.ts';
import { poolLs } from './pool-ls.ts';
import { poolRm } from './pool-rm.ts';
import { poolSet } from './pool-set.ts';
import { poolShow } from './pool-show.ts';
import { reconcile } from './reconcile.ts';
import { storeCheck } from './store-check.ts';
import { storeExport } from './store-export.ts';
import { storeImport } from './store-import.ts';
import { top } from './top.ts';
import { version } from './version.ts';

export const commands: readonly Command[] = [
  networkLs,
  poolLs,
  poolShow,
  poolAdd,
  poolSet,
  poolRm,
  ipLs,
  ipRelease,
  ipReserve,
  ipUnreserve,
  limitLs,
  limitSet,
  limitRm,
  top,
  hostLs,
  hostForget,
  storeCheck,
  storeExport,
  storeImport,
  importShrike,
  mesosResources,
  reconcile,
  doctor,
  version,
];

/** Commands that bin/lanius hands to the daemon's side; here only for the help and for suggestions. */
export const otherPrograms: readonly { readonly word: string; readonly summary: string }[] = [
  { word: 'daemon', summary: 'Run the daemon in the foreground' },
  { word: 'config', summary: 'Check or print the configuration of the daemon' },
  { word: 'purge', summary: 'Take Lanius away from this host, with all that it has left there' },
];
