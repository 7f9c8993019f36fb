/**
 * A real etcd cluster of the test's own, on free loopback ports, with data under the system's temp folder. A member
 * can be killed, started again on its data, and replaced by a new one. Nothing is synced to disk: what kills the
 * processes loses nothing, only a power cut would. Every member is ended by its pid, at the latest when the test
 * process exits.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './etcd-process.ts';
import { until } from './poll.ts';
import { runOk } from './run.ts';

const alive = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

const CTL = { env: { ETCDCTL_API: '3' } };

interface Member {
  readonly clientPort: number;
  readonly peerPort: number;
  readonly folder: string;
  name: string;
  /** As etcd wants it at the first start on an empty folder. */
  initial: readonly string[];
  child: ChildProcess | undefined;
}

export class EtcdCluster {
  readonly #members: readonly Member[];
  readonly #flags: readonly string[];

  private constructor(members: readonly Member[], flags: readonly string[]) {
    this.#members = members;
    this.#flags = flags;
  }

  /** Starts all members and waits until one leads. @param flags more flags of etcd, for every member */
  static async start(size = 3, flags: readonly string[] = []): Promise<EtcdCluster> {
    const members: Member[] = [];
    for (let index = 0; index < size; index += 1) {
      const folder = mkdtempSync(join(tmpdir(), `lanius-etcd-${index}-`));
      const [clientPort, peerPort] = [await freePort(), await freePort()];
      members.push({ clientPort, peerPort, folder, name: `m${index}`, initial: [], child: undefined });
    }
    const cluster = new EtcdCluster(members, flags);
    for (const member of members) {
      member.initial = [`--initial-cluster=${cluster.#peers()}`, '--initial-cluster-state=new'];
    }
    try {
      await Promise.all(members.map((_, index) => cluster.start(index)));
      await cluster.leader();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  /** `127.0.0.1:port` of every member, also of dead ones. */
  get hosts(): string[] {
    return this.#members.map(({ clientPort }) => `127.0.0.1:${clientPort}`);
  }

  /** @returns index of the member that leads; waits for an election under way, at most 10 s */
  leader(): Promise<number> {
    return until('a leader of the etcd cluster', async () => {
      const leads = await Promise.all(this.hosts.map(isLeader));
      const index = leads.indexOf(true);
      return index < 0 ? undefined : index;
    });
  }

  /** @returns the pid of a living member */
  pid(index: number): number {
    const pid = this.#member(index).child?.pid;
    if (pid === undefined) throw new Error(`etcd member ${index} does not run`);
    return pid;
  }

  /** kill -9; idempotent. */
  async kill(index: number): Promise<void> {
    const member = this.#member(index);
    const { child } = member;
    member.child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** Starts a dead member on its data and ports, and waits until it serves; that needs a majority. Idempotent. */
  async start(index: number): Promise<void> {
    const member = this.#member(index);
    if (member.child !== undefined) return;
    const [client, peer] = [urlOf(member.clientPort), urlOf(member.peerPort)];
    const log = openSync(join(member.folder, 'log'), 'w');
    const flags = [`--name=${member.name}`, `--data-dir=${dataOf(member)}`]
      .concat([`--listen-client-urls=${client}`, `--advertise-client-urls=${client}`])
      .concat([`--listen-peer-urls=${peer}`, `--initial-advertise-peer-urls=${peer}`])
      .concat(['--logger=zap', '--log-level=info', '--unsafe-no-fsync', '--strict-reconfig-check=false'])
      .concat(['--heartbeat-interval=100', '--election-timeout=600'], member.initial, this.#flags);
    const child = spawn('etcd', flags, { stdio: ['ignore', log, log] });
    closeSync(log);
    alive.add(child);
    child.once('exit', () => alive.delete(child));
    member.child = child;
    await once(child, 'spawn');
    const serving = (): boolean => {
      if (child.exitCode !== null) throw new Error(`it ended: ${logOf(member)}`);
      return /serving (insecure )?client/.test(readFileSync(join(member.folder, 'log'), 'utf8'));
    };
    await until(`etcd member ${index} serves`, serving, { timeoutMs: 20_000, intervalMs: 20 });
  }

  /** Removes a member from the cluster for ever, data and all; the others go on. */
  async remove(index: number): Promise<void> {
    const member = this.#member(index);
    const found = (await this.#list()).find(({ name }) => name === member.name);
    if (found === undefined) throw new Error(`etcd has no member ${member.name}`);
    await this.#ctl(index, 'member', 'remove', found.id);
    await this.kill(index);
    rmSync(dataOf(member), { recursive: true, force: true });
    await this.leader();
  }

  /** Adds a new, empty member on the ports of a removed one, starts it and waits until it serves. */
  async add(index: number): Promise<void> {
    const member = this.#member(index);
    member.name = `${member.name}x`;
    await this.#ctl(index, 'member', 'add', member.name, `--peer-urls=${urlOf(member.peerPort)}`);
    const others = (await this.#list()).flatMap(({ name, peer }) => (name === '' ? [] : [`${name}=${peer}`]));
    const peers = [...others, `${member.name}=${urlOf(member.peerPort)}`].join(',');
    member.initial = [`--initial-cluster=${peers}`, '--initial-cluster-state=existing'];
    await this.start(index);
  }

  /** `etcdctl snapshot save` from the first living member. */
  async save(file: string): Promise<void> {
    const living = this.#members.findIndex(({ child }) => child !== undefined);
    const host = this.hosts[living] ?? '';
    await runOk(['etcdctl', `--endpoints=${host}`, 'snapshot', 'save', file], CTL);
  }

  /** Kills all members, puts each on the data of a snapshot, as etcd's manual says, and starts the cluster anew. */
  async restore(file: string): Promise<void> {
    await Promise.all(this.#members.map((_, index) => this.kill(index)));
    for (const member of this.#members) {
      rmSync(dataOf(member), { recursive: true, force: true });
      const flags = [`--name=${member.name}`, `--initial-cluster=${this.#peers()}`]
        .concat([`--initial-advertise-peer-urls=${urlOf(member.peerPort)}`, `--data-dir=${dataOf(member)}`])
        .concat('--initial-cluster-token=restored');
      await runOk(['etcdctl', 'snapshot', 'restore', file, ...flags], CTL);
    }
    await Promise.all(this.#members.map((_, index) => this.start(index)));
    await this.leader();
  }

  /** Ends all members and removes their data; idempotent. */
  async stop(): Promise<void> {
    await Promise.all(this.#members.map((_, index) => this.kill(index)));
    for (const { folder } of this.#members) rmSync(folder, { recursive: true, force: true });
  }

  #member(index: number): Member {
    const member = this.#members[index];
    if (member === undefined) throw new Error(`the cluster has no member ${index}`);
    return member;
  }

  #peers(): string {
    return this.#members.map(({ name, peerPort }) => `${name}=${urlOf(peerPort)}`).join(',');
  }

  async #list(): Promise<{ readonly id: string; readonly name: string; readonly peer: string }[]> {
    const text = await this.#ctl(-1, 'member', 'list');
    return text
      .trim()
      .split('\n')
      .map((line) => {
        const [id = '', , name = '', peer = ''] = line.split(', ');
        return { id, name, peer };
      });
  }

  /** `etcdctl` against every living member but one. */
  #ctl(without: number, ...args: readonly string[]): Promise<string> {
    const living = this.#members.filter((member, index) => member.child !== undefined && index !== without);
    const endpoints = living.map(({ clientPort }) => `127.0.0.1:${clientPort}`).join(',');
    return runOk(['etcdctl', `--endpoints=${endpoints}`, '--command-timeout=15s', ...args], CTL);
  }
}

function urlOf(port: number): string {
  return `http://127.0.0.1:${port}`;
}

function dataOf(member: Member): string {
  return join(member.folder, member.name);
}

function logOf(member: Member): string {
  return readFileSync(join(member.folder, 'log'), 'utf8').split('\n').slice(-3).join(' ');
}

async function isLeader(host: string): Promise<boolean> {
  try {
    const answer = await fetch(`http://${host}/metrics`, { signal: AbortSignal.timeout(1000) });
    return /^etcd_server_is_leader 1$/m.test(await answer.text());
  } catch {
    return false;
  }
}
