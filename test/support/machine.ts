/**
 * One machine of the lab: its engine, its Lanius daemon, its power and its cable.
 *
 * The work is done by the scripts of test/lab/bin; this class only calls them and remembers nothing but names.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import Docker from 'dockerode';
import { main } from '../../cli/main.ts';
import { DEFAULT_ADMIN_SOCKET } from '../../plugin/wire/admin.ts';
import { checkoutFolder, diskFile, distFolder, labPrefix, labScript } from './checkout.ts';
import type { Place } from './ping.ts';
import { type RunOptions, type RunResult, run, runOk } from './run.ts';

/** Engines by their version; each lies in the root of the distribution that carries it. */
export type EngineVersion = '20.10' | '26.1' | '28.5';

export interface MachineSpec {
  /** Short: it becomes a host name and part of a link name (at most 13 characters). */
  readonly name: string;
  readonly engine: EngineVersion;
}

export class Machine implements Place {
  readonly name: string;
  readonly engine: EngineVersion;
  /** Of its eth0, without prefix length. */
  readonly address: string;
  /** Its folder on the real disk: `disk/`, `log/`. */
  readonly home: string;

  constructor(spec: MachineSpec & { readonly address: string }) {
    this.name = spec.name;
    this.engine = spec.engine;
    this.address = spec.address;
    this.home = diskFile(`hosts/${labPrefix()}${spec.name}`);
  }

  command(command: readonly string[]): string[] {
    return [labScript('machine-exec'), this.name, ...command];
  }

  /** Runs a command on the machine; its status is the caller's business. */
  exec(command: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return run(this.command(command), options);
  }

  /** Runs a command that must succeed; resolves to its stdout without the last line feed. */
  async sh(script: string, options: RunOptions = {}): Promise<string> {
    return (await runOk(this.command(['sh', '-c', script]), options)).trimEnd();
  }

  /** `docker ARGS`; rejects with docker's own words if it fails. Resolves to stdout without the last line feed. */
  async docker(...args: readonly string[]): Promise<string> {
    return (await runOk(this.command(['docker', ...args]), { timeoutMs: 120_000 })).trimEnd();
  }

  /** `docker ARGS` for commands that may fail. */
  tryDocker(...args: readonly string[]): Promise<RunResult> {
    return this.exec(['docker', ...args], { timeoutMs: 120_000 });
  }

  /** The engine's API, for questions that are asked again and again. Holds until the power is cut. */
  async engineApi(): Promise<Docker> {
    return new Docker({ socketPath: await this.path('/run/docker.sock') });
  }

  /** The network namespace of a running container, as a place for commands of the machine (ip, tc, ping). */
  async sandbox(container: string): Promise<Place> {
    const pid = await this.docker('inspect', '-f', '{{.State.Pid}}', container);
    return { command: (command) => this.command(['nsenter', '-t', pid, '-n', ...command]) };
  }

  /** Starts the engine and waits for its API. Idempotent. */
  startEngine(...flags: readonly string[]): Promise<string> {
    return runOk([labScript('dockerd-up'), this.name, ...flags], { timeoutMs: 90_000 });
  }

  /** SIGTERM stops the containers too (unless started with --live-restore); SIGKILL is a crash. */
  stopEngine(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<string> {
    return runOk([labScript('dockerd-down'), this.name, signal.slice(3)], { timeoutMs: 90_000 });
  }

  /** Writes /etc/lanius/config.json; it stays on the machine's disk. */
  async writeConfig(config: unknown): Promise<void> {
    await this.writeFile('/etc/lanius/config.json', `${JSON.stringify(config, null, 2)}\n`);
  }

  /** Starts the daemon, with `config` written first if given, and waits until its plugin socket accepts. Idempotent. */
  async startLanius(config?: unknown, env: Readonly<Record<string, string>> = {}): Promise<void> {
    if (config !== undefined) await this.writeConfig(config);
    const words = Object.entries(env).map(([key, value]) => `${key}=${value}`);
    await runOk([labScript('lanius-up'), this.name, ...words], { env: { LANIUS_DIST: distFolder } });
  }

  stopLanius(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<string> {
    return runOk([labScript('lanius-down'), this.name, signal.slice(3)]);
  }

  async restartLanius(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    await this.stopLanius(signal);
    await this.startLanius();
  }

  /** `lanius ARGS` (the CLI) for commands that may fail. */
  tryLanius(...args: readonly string[]): Promise<RunResult> {
    const program = ['node', '--enable-source-maps', `${checkoutFolder}/bin/lanius`];
    return this.exec([`LANIUS_DIST=${distFolder}`, ...program, ...args]);
  }

  /** `lanius ARGS`; resolves to stdout, parsed if ARGS ask for `-o json`; rejects with its words if it fails. */
  async lanius(...args: readonly string[]): Promise<unknown> {
    const result = await this.tryLanius(...args);
    if (result.status !== 0) {
      throw new Error(`lanius ${args.join(' ')}: status ${result.status}; ${result.stderr}${result.stdout}`);
    }
    const format = args.indexOf('-o');
    return format >= 0 && args[format + 1] === 'json' ? JSON.parse(result.stdout) : result.stdout;
  }

  /**
   * The same answer as `tryLanius` gives, from the machine's admin socket, but the command runs in this process. For questions
   * that are asked again and again: starting a program for each would keep the machine from what is waited for.
   */
  async askLanius(...args: readonly string[]): Promise<Pick<RunResult, 'status' | 'stdout' | 'stderr'>> {
    const said = { stdout: '', stderr: '' };
    const streams = {
      out: (text: string): void => {
        said.stdout += text;
      },
      err: (text: string): void => {
        said.stderr += text;
      },
    };
    const env = { LANIUS_ADMIN_SOCKET: await this.path(DEFAULT_ADMIN_SOCKET) };
    return { status: await main(args, env, streams, undefined), ...said };
  }

  /** As `askLanius` with `-o json`, parsed. @throws if it fails, with its words */
  async askLaniusJson(...args: readonly string[]): Promise<unknown> {
    const { status, stdout, stderr } = await this.askLanius(...args, '-o', 'json');
    if (status !== 0) throw new Error(`lanius ${args.join(' ')}: status ${status}; ${stderr}${stdout}`);
    return JSON.parse(stdout);
  }

  /** Every process of the machine dies at once, with no chance to say anything; its disk stays. */
  cutPower(): Promise<string> {
    return runOk([labScript('machine-down'), this.name]);
  }

  /** Boots again (or for the first time); starts neither Lanius nor the engine. Idempotent. */
  boot(): Promise<string> {
    return runOk([labScript('machine-up'), this.name, this.engine]);
  }

  /** Pulls or plugs the network cable at the switch. */
  cable(state: 'down' | 'up'): Promise<string> {
    return runOk([labScript('cable'), this.name, state]);
  }

  /** A path of the machine as this process can open it, sockets too. Holds until the power is cut. */
  async path(path: string): Promise<string> {
    const [pid] = (await readFile(`${this.home}/pid`, 'utf8')).split(' ');
    return `/proc/${pid}/root${path}`;
  }

  /** Writes a file of the machine's disk; only for the folders that survive a power cut. */
  async writeFile(path: string, content: string): Promise<void> {
    const file = `${this.home}/disk${path}`;
    await mkdir(file.slice(0, file.lastIndexOf('/')), { recursive: true });
    await writeFile(file, content);
  }

  /** What a program wrote since the lab was made; survives power cuts. */
  log(program: 'dockerd' | 'lanius' | 'init'): Promise<string> {
    return readFile(`${this.home}/log/${program}.log`, 'utf8').catch(() => '');
  }
}
