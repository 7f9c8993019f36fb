/**
 * Several machines on one: `Lab.up` makes them with a switch, cables and an etcd; `down` takes all of it away.
 *
 * One lab a prefix (LANIUS_LAB_PREFIX) at a time: a second test run with the same prefix is refused, the leftovers of a
 * killed one are removed. Whatever ends this process in an orderly way (failure, SIGINT, SIGTERM) takes the lab down.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { diskFile, labPrefix, labScript } from './checkout.ts';
import { LabEtcd, type LabEtcdOptions } from './lab-etcd.ts';
import { Machine, type MachineSpec } from './machine.ts';
import type { Place } from './ping.ts';
import { type RunOptions, type RunResult, run, runOk } from './run.ts';

export interface LabOptions {
  /** Machine i (from 1) has the address 10.77.0.1i/16. */
  readonly machines: readonly MachineSpec[];
  /** Starts the etcd of the lab at 10.77.0.2:2379. */
  readonly etcd?: boolean | LabEtcdOptions;
  /** Starts every engine too; else the tests do, usually after Lanius. */
  readonly engines?: boolean;
  /** Tagged VLANs of the trunks between switch and machines; needs a kernel with 802.1Q on the machines. */
  readonly vlans?: readonly number[];
}

/** The plain machine on the switch that has no engine: 10.77.0.2. */
export class Outside implements Place {
  readonly address = '10.77.0.2';

  command(command: readonly string[]): string[] {
    return ['nsenter', `--net=/run/netns/${labPrefix()}ext`, ...command];
  }

  exec(command: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return run(this.command(command), options);
  }
}

export class Lab {
  readonly machines: readonly Machine[];
  readonly outside = new Outside();
  readonly etcd: LabEtcd;

  private constructor(options: LabOptions) {
    this.machines = options.machines.map(
      (spec, index) => new Machine({ ...spec, address: `10.77.0.${11 + index}` }),
    );
    this.etcd = new LabEtcd(typeof options.etcd === 'object' ? options.etcd : {}, { outside: this.outside });
  }

  /** Makes a lab with empty disks; needs root and what lab-setup builds. Undoes everything if a step fails. */
  static async up(options: LabOptions): Promise<Lab> {
    takeOwnership();
    removeLab(true);
    const lab = new Lab(options);
    try {
      const names = lab.machines.map((machine) => machine.name);
      await runOk([labScript('lab-up'), ...names], {
        env: { LANIUS_LAB_VLANS: (options.vlans ?? []).join(' ') },
      });
      await Promise.all([
        options.etcd === undefined || options.etcd === false ? '' : lab.etcd.start(),
        ...lab.machines.map((machine) => machine.boot()),
      ]);
      if (options.engines === true) {
        await Promise.all(lab.machines.map((machine) => machine.startEngine()));
      }
      return lab;
    } catch (error) {
      lab.down();
      throw error;
    }
  }

  /** @throws if there is no machine of that name. */
  machine(name: string): Machine {
    const found = this.machines.find((machine) => machine.name === name);
    if (found === undefined) throw new Error(`the lab has no machine ${name}`);
    return found;
  }

  /** Powers everything off and removes namespaces and links; logs and disks stay until the next lab. Idempotent. */
  down(): void {
    removeLab(false);
    rmSync(ownerFile(), { force: true });
    owned = false;
  }
}

let owned = false;
let guarded = false;

function ownerFile(): string {
  return diskFile(`owner-${labPrefix()}`);
}

/** Notes this process as the user of the prefix, and sees to it that its end is the lab's end. */
function takeOwnership(): void {
  const other = readOwner();
  if (other !== undefined && other.pid !== process.pid && startOf(other.pid) === other.start) {
    throw new Error(
      `the lab ${labPrefix()} is in use by process ${other.pid}; set LANIUS_LAB_PREFIX to another one`,
    );
  }
  mkdirSync(diskFile(''), { recursive: true });
  writeFileSync(ownerFile(), `${process.pid} ${startOf(process.pid)}\n`);
  owned = true;
  if (guarded) return;
  guarded = true;
  process.on('exit', () => {
    if (!owned) return;
    removeLab(false);
    rmSync(ownerFile(), { force: true });
  });
  for (const [signal, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.on(signal, () => process.exit(status));
  }
}

function readOwner(): { readonly pid: number; readonly start: string } | undefined {
  try {
    const [pid = '', start = ''] = readFileSync(ownerFile(), 'utf8').trim().split(' ');
    return { pid: Number(pid), start };
  } catch {
    return undefined;
  }
}

/** When a process began, in ticks since boot; '' if there is none. Tells a process from a later one with its pid. */
function startOf(pid: number): string {
  try {
    return (
      readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /, '')
        .split(' ')[19] ?? ''
    );
  } catch {
    return '';
  }
}

/** Synchronous, so that it also runs while the process ends. */
function removeLab(wipe: boolean): void {
  const result = spawnSync(labScript('lab-down'), wipe ? ['--wipe'] : [], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (result.status !== 0) throw new Error(`lab-down: ${result.stderr}${result.stdout}`);
}
