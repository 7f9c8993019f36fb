/**
 * What the tests of the ARP responder share: a segment with a host, two containers on macvlan links of its uplink, and the
 * wire behind that uplink, all in namespaces; the responder under test, with pins in a folder of its own; and looks at frames.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { silentLogger } from '../../core/log.ts';
import { KernelWorker } from '../../net/kernel-worker.ts';
import type { NeighbourRun } from '../../net/neighbour-plan.ts';
import { KernelResponder } from '../../net/responder.ts';
import type { ResponderTarget } from '../../net/responder-operations.ts';
import { TestNamespace } from './namespace.ts';

const RAW_FRAMES = fileURLToPath(new URL('./raw-frames.js', import.meta.url));

const LOADER = fileURLToPath(new URL('./responder-loader.js', import.meta.url));

export const NETWORK_ID = 'ab'.repeat(32);
export const GATEWAY = '10.77.0.1';
/** A physical host that is not planned. */
export const STRANGER = '10.77.0.9';
export const GATEWAY_MAC = '02:99:00:00:00:01';
export const C1 = '10.77.0.20';
export const C2 = '10.77.0.21';

export function numberOf(address: string): number {
  return address.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0);
}

/** MAC = f(IP) with the default prefix. */
export function macOfAddress(address: string): string {
  return `02:4c:${address
    .split('.')
    .map((byte) => Number(byte).toString(16).padStart(2, '0'))
    .join(':')}`;
}

export function run(first: string, last: string, macHead = 0x024c, macXor = 0): NeighbourRun {
  return { family: 4, upper: '', first: numberOf(first), last: numberOf(last), macHead, macXor };
}

/** The whole /16 without the gateway and the stranger. */
export const PLAN = {
  runs: [run('10.77.0.2', '10.77.0.8'), run('10.77.0.10', '10.77.255.254')],
};

export class Segment {
  readonly host = new TestNamespace();
  readonly wire = new TestNamespace();
  readonly c1 = new TestNamespace();
  readonly c2 = new TestNamespace();
  readonly mountPoint = mkdtempSync(join(tmpdir(), 'lanius-bpf-'));
  readonly pinFolder = join(this.mountPoint, 'lanius');
  readonly #workers: KernelWorker[] = [];

  constructor() {
    this.host.ip('link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up1', 'netns', this.wire.name);
    this.host.ip('link', 'set', 'up0', 'up');
    this.wire.ip('link', 'set', 'up1', 'address', GATEWAY_MAC, 'up');
    this.wire.ip('address', 'add', `${GATEWAY}/16`, 'dev', 'up1');
    this.wire.ip('address', 'add', `${STRANGER}/16`, 'dev', 'up1');
    this.addContainer(this.c1, C1);
    this.addContainer(this.c2, C2);
  }

  addContainer(namespace: TestNamespace, address: string, mac = macOfAddress(address)): void {
    const name = `l${namespace.name.slice(4)}`;
    this.host.ip('link', 'add', name, 'link', 'up0', 'address', mac, 'type', 'macvlan', 'mode', 'bridge');
    this.host.ip('link', 'set', name, 'netns', namespace.name);
    namespace.ip('link', 'set', name, 'name', 'eth0');
    namespace.ip('address', 'add', `${address}/16`, 'dev', 'eth0');
    namespace.ip('link', 'set', 'eth0', 'up');
    namespace.ip('link', 'set', 'lo', 'up');
  }

  /** As a daemon of its own: another worker thread that knows nothing but the pins. */
  responder(pinFolder = this.pinFolder): KernelResponder {
    const worker = new KernelWorker({}, { log: silentLogger });
    this.#workers.push(worker);
    return new KernelResponder(worker, { pinFolder });
  }

  /** Attaches in a process of its own, which is killed at once. */
  async attachAndKill(namespace: TestNamespace, pinFolder = this.pinFolder): Promise<void> {
    const { namespacePath, linkIndex } = targetOf(namespace);
    const child = spawn(process.execPath, [LOADER, pinFolder, namespacePath, `${linkIndex}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(child, 'exit');
    await Promise.race([once(child.stdout, 'data'), ended]);
    child.kill('SIGKILL');
    await ended;
  }

  async closeResponders(): Promise<void> {
    await Promise.all(this.#workers.splice(0).map((worker) => worker.close()));
  }

  async remove(): Promise<void> {
    Capture.endAll();
    await this.closeResponders();
    for (const namespace of [this.c1, this.c2, this.host, this.wire]) namespace.remove();
    try {
      execFileSync('umount', [this.mountPoint], { stdio: 'ignore' });
    } catch {
      // nothing was pinned
    }
    rmSync(this.mountPoint, { recursive: true });
  }
}

export function targetOf(namespace: TestNamespace): ResponderTarget {
  return { namespacePath: namespace.path, linkIndex: namespace.link('eth0')?.ifindex ?? 0 };
}

export function inside(namespace: TestNamespace, ...command: readonly string[]): string {
  return execFileSync('ip', ['netns', 'exec', namespace.name, ...command], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Forgets all neighbours, then pings. @returns the times of the answers in ms */
export function coldPing(namespace: TestNamespace, address: string, count = 1, waitSeconds = 5): number[] {
  namespace.ip('neighbour', 'flush', 'dev', 'eth0', 'nud', 'all');
  const said = inside(
    namespace,
    'ping',
    '-n',
    '-c',
    `${count}`,
    '-i',
    '0.1',
    '-W',
    `${waitSeconds}`,
    address,
  );
  return [...said.matchAll(/time=([\d.]+) ms/g)].map(([, time]) => Number(time));
}

/** Frames that come in on a link. */
export class Capture {
  static readonly #running = new Set<ChildProcess>();
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #text = '';

  private constructor(child: ChildProcess) {
    this.#child = child;
    Capture.#running.add(child);
    child.on('close', () => Capture.#running.delete(child));
    this.#ended = once(child, 'close');
    child.stdout?.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString();
    });
  }

  /** Returns when it hears, and has sent the frames (hex). */
  static async start(namespace: TestNamespace, link: string, ...frames: readonly string[]): Promise<Capture> {
    const child = spawn(
      'ip',
      ['netns', 'exec', namespace.name, process.execPath, RAW_FRAMES, link, ...frames],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
    const capture = new Capture(child);
    if (child.stdout !== null) await once(child.stdout, 'data');
    return capture;
  }

  /** Those of a test that failed. */
  static endAll(): void {
    for (const child of Capture.#running) child.kill('SIGKILL');
  }

  /** All frames so far, in hex. */
  async stop(): Promise<string[]> {
    this.#child.stdin?.end();
    await this.#ended;
    return this.#text.split('\n').filter((line) => /^[0-9a-f]+$/.test(line));
  }
}

/** ARP questions among frames, as `who-has 10.77.0.1`. */
export function questions(frames: readonly string[]): string[] {
  return frames
    .map((frame) => Buffer.from(frame, 'hex'))
    .filter(
      (frame) => frame.length >= 42 && frame.readUInt16BE(12) === 0x0806 && frame.readUInt16BE(20) === 1,
    )
    .map((frame) => `who-has ${[...frame.subarray(38, 42)].join('.')}`);
}

export interface ArpFields {
  readonly to?: string;
  readonly from?: string;
  readonly operation?: number;
  readonly senderMac?: string;
  readonly senderIp: string;
  readonly targetIp: string;
}

/** An ARP frame in hex. */
export function arpFrame({
  to = 'ff:ff:ff:ff:ff:ff',
  from = macOfAddress(C1),
  operation = 1,
  senderMac = from,
  senderIp,
  targetIp,
}: ArpFields): string {
  const mac = (text: string): string => text.replaceAll(':', '');
  const ip = (text: string): string => numberOf(text).toString(16).padStart(8, '0');
  return [
    mac(to),
    mac(from),
    '0806000108000604',
    operation.toString(16).padStart(4, '0'),
    mac(senderMac),
    ip(senderIp),
    '000000000000',
    ip(targetIp),
  ].join('');
}
