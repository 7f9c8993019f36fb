/**
 * Runs a script, or a mocha file of this checkout, inside user-mode Linux: a kernel with 802.1Q, and a systemd, that boot
 * in seconds. Inside, the lab's API works as outside; its disks are in RAM, and its engines have no iptables.
 *
 * The guest has one CPU and is several times slower than the host: give its tests time.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { checkoutFolder, distFolder, labScript } from './checkout.ts';
import { labFile } from './require.ts';
import { run, runOk } from './run.ts';

export interface UmlOptions {
  /** `job`: the script is all that runs. `systemd`: systemd boots and runs it as a unit. `job` if absent. */
  readonly mode?: 'job' | 'systemd';
  /** 180,000 if absent. */
  readonly timeoutMs?: number;
  /** 4,000 if absent; taken from the host only as it is used. */
  readonly memoryMegabytes?: number;
  /** An ext4 image below the lab's folder, on which the guest writes: the next run with it is the next boot. RAM if absent. */
  readonly disk?: string;
  /** Variables of the script. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface UmlResult {
  /** Of the script; 99 if it did not come to its end. */
  readonly status: number;
  /** What the script said, stdout and stderr together. */
  readonly output: string;
  /** What the kernel and systemd said. */
  readonly console: string;
}

/** Runs the bash text `script` in the guest. Rejects when the time limit ended the guest. */
export async function runInUml(script: string, options: UmlOptions = {}): Promise<UmlResult> {
  mkdirSync(labFile('uml'), { recursive: true });
  const folder = mkdtempSync(labFile('uml/run-'));
  try {
    const env = { ...guestEnvironment(), ...options.env };
    const exports = Object.entries(env).map(
      ([name, value]) => `export ${name}='${value.replaceAll("'", "'\\''")}'\n`,
    );
    writeFileSync(`${folder}/job`, `${exports.join('')}cd ${checkoutFolder}\n${script}\n`);
    const guest = [
      labScript('uml-run'),
      options.mode ?? 'job',
      folder,
      `${options.memoryMegabytes ?? 4000}M`,
      ...(options.disk === undefined ? [] : [options.disk]),
    ];
    const result = await run(guest, { timeoutMs: options.timeoutMs ?? 180_000 }).catch((error: unknown) => {
      throw new Error(`user-mode Linux was ended; the script said: ${read(`${folder}/output`)}`, {
        cause: error,
      });
    });
    return {
      status: result.status,
      output: read(`${folder}/output`),
      console: `${result.stdout}${result.stderr}`.replaceAll('\r', ''),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Makes an empty disk for {@link UmlOptions.disk}. The file is sparse. */
export async function makeUmlDisk(file: string, megabytes = 6000): Promise<void> {
  await runOk(['truncate', '-s', `${megabytes}M`, file]);
  await runOk(['mkfs.ext4', '-q', '-F', file]);
}

/** Runs a compiled mocha file, named relative to the compiled folder (`test/uml/vlan.js`), in the guest. */
export function runMochaInUml(file: string, options: UmlOptions = {}): Promise<UmlResult> {
  const mocha = `${checkoutFolder}/node_modules/mocha/bin/mocha.js --config test/mocharc.json --timeout 300000`;
  return runInUml(`node --enable-source-maps ${mocha} ${distFolder}/${file}`, options);
}

/** Rejects unless the status is 0, with everything that was said. Resolves to the script's output. */
export async function succeeded(running: Promise<UmlResult>): Promise<string> {
  const result = await running;
  if (result.status === 0) return result.output;
  throw new Error(
    `in user-mode Linux: status ${result.status}\n${result.output}\nconsole:\n${result.console.slice(-2000)}`,
  );
}

function guestEnvironment(): Record<string, string> {
  return {
    LANIUS_LAB: labFile('').replace(/\/$/, ''),
    LANIUS_LAB_DISKS: '/lab',
    LANIUS_CHECKOUT: checkoutFolder,
    LANIUS_DIST: distFolder,
    REQUIRE: process.env['REQUIRE'] ?? '',
  };
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
