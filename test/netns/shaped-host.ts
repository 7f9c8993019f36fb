/**
 * A host with containers for the tests of shaping: a namespace with a parent link, one beyond its cable, and sandboxes with
 * a macvlan or a veth pair each. Addresses 10.78.0.x and fd78::x; the peer is .1.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { hostEndNameOf, linkAliasOf } from '../../core/ids.ts';
import { silentLogger } from '../../core/log.ts';
import { KernelWorker } from '../../net/kernel-worker.ts';
import { KernelShaping, type KernelShapingOptions } from '../../net/shaping/kernel-shaping.ts';
import type { Shape, ShapePlace } from '../../net/shaping-port.ts';
import { shapeOf } from '../../throttle/token-bucket.ts';
import { until } from '../support/poll.ts';
import { TestNamespace } from './namespace.ts';

export const PEER = '10.78.0.1';
export const PEER_IPV6 = 'fd78::1';

export interface Sandbox {
  readonly namespace: TestNamespace;
  readonly endpointId: string;
  readonly address: string;
  readonly addressIpv6: string;
  readonly macAddress: string;
  readonly place: Extract<ShapePlace, { at: 'sandbox' }>;
  /** Of a veth pair. */
  readonly hostEnd: Extract<ShapePlace, { at: 'host-end' }>;
}

/** What a program in a namespace said, and the way to end it. */
export interface Program {
  readonly said: () => string;
  stop(): Promise<void>;
}

export class ShapedHost {
  readonly home = new TestNamespace();
  readonly peer = new TestNamespace();
  readonly worker: KernelWorker;
  readonly #sandboxes: Sandbox[] = [];
  readonly #programs: Program[] = [];

  constructor() {
    this.home.ip('link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', this.peer.name);
    this.home.ip('link', 'set', 'up0', 'up');
    this.home.ip('link', 'set', 'lo', 'up');
    addresses(this.peer, PEER, PEER_IPV6);
    this.worker = new KernelWorker({ namespacePath: this.home.path }, { log: silentLogger });
  }

  shaping(options?: KernelShapingOptions): KernelShaping {
    return new KernelShaping(this.worker, options);
  }

  /** A container with a macvlan link upon up0. */
  macvlan(mode = 'bridge'): Sandbox {
    const { sandbox, name } = this.#next();
    this.home.ip(
      'link',
      'add',
      name,
      'link',
      'up0',
      'address',
      sandbox.macAddress,
      'type',
      'macvlan',
      'mode',
      mode,
    );
    return this.#moveIn(sandbox, name);
  }

  /** A container with a veth pair to the bridge br0, of which up0 is a port. */
  veth(): Sandbox {
    if (this.home.link('br0') === undefined) {
      this.home.ip('link', 'add', 'br0', 'type', 'bridge', 'forward_delay', '0');
      this.home.ip('link', 'set', 'br0', 'up');
      this.home.ip('link', 'set', 'up0', 'master', 'br0');
    }
    const { sandbox, name } = this.#next();
    const end = hostEndNameOf(sandbox.endpointId);
    this.home.ip('link', 'add', name, 'address', sandbox.macAddress, 'type', 'veth', 'peer', 'name', end);
    this.home.ip('link', 'set', end, 'alias', linkAliasOf(sandbox.endpointId));
    this.home.ip('link', 'set', end, 'master', 'br0', 'up');
    return this.#moveIn(sandbox, name);
  }

  /** `tc -n NAMESPACE …` */
  tc(namespace: TestNamespace, ...words: readonly string[]): string {
    return execFileSync('tc', ['-n', namespace.name, ...words], { encoding: 'utf8' });
  }

  start(namespace: TestNamespace, ...words: readonly string[]): Program {
    const child = spawn('ip', ['netns', 'exec', namespace.name, ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        said += chunk.toString();
      });
    }
    const ended = once(child, 'close');
    const program = {
      said: () => said,
      stop: async () => {
        child.kill('SIGKILL');
        await ended;
      },
    };
    this.#programs.push(program);
    return program;
  }

  /** An iperf3 client that runs until stopped, against a server of its own in `to`; TCP by cubic, which fills queues. */
  async flow(
    from: TestNamespace,
    to: TestNamespace,
    address: string,
    ...words: readonly string[]
  ): Promise<Program> {
    const port = String(5201 + this.#programs.length);
    const server = this.start(to, 'iperf3', '-s', '-1', '-p', port, '--forceflush');
    await until('the iperf3 server listens', () => server.said().includes('listening'));
    const kind = words.includes('-u') ? [] : ['-C', 'cubic'];
    return this.start(
      from,
      'iperf3',
      '-c',
      address,
      '-p',
      port,
      '-t',
      '600',
      '--forceflush',
      ...kind,
      ...words,
    );
  }

  /** Sends UDP without end, as fast as it can, with a priority that it has set on its socket. */
  prioritySender(from: TestNamespace, address: string, priority: number): Program {
    const file = fileURLToPath(new URL('./priority-sender.js', import.meta.url));
    return this.start(from, process.execPath, file, address, String(priority));
  }

  async remove(): Promise<void> {
    for (const program of this.#programs) await program.stop();
    await this.worker.close();
    for (const { namespace } of this.#sandboxes) namespace.remove();
    this.peer.remove();
    this.home.remove();
  }

  #next(): { sandbox: Omit<Sandbox, 'place' | 'hostEnd'>; name: string } {
    const number = this.#sandboxes.length + 11;
    const endpointId = number.toString(16).padStart(4, '0').repeat(16);
    const byte = number.toString(16).padStart(2, '0');
    return {
      name: `ln${endpointId.slice(0, 12)}`,
      sandbox: {
        namespace: new TestNamespace(),
        endpointId,
        address: `10.78.0.${number}`,
        addressIpv6: `fd78::${byte}`,
        macAddress: `02:4c:0a:4e:00:${byte}`,
      },
    };
  }

  #moveIn(sandbox: Omit<Sandbox, 'place' | 'hostEnd'>, name: string): Sandbox {
    const { namespace, endpointId, address, addressIpv6 } = sandbox;
    this.home.ip('link', 'set', name, 'alias', linkAliasOf(endpointId));
    this.home.ip('link', 'set', name, 'netns', namespace.name);
    namespace.ip('link', 'set', name, 'name', 'eth0');
    addresses(namespace, address, addressIpv6);
    const linkIndex = namespace.link('eth0')?.ifindex ?? 0;
    const made: Sandbox = {
      ...sandbox,
      place: { at: 'sandbox', namespacePath: namespace.path, linkIndex },
      hostEnd: { at: 'host-end', linkName: hostEndNameOf(endpointId) },
    };
    this.#sandboxes.push(made);
    return made;
  }
}

/** @param megabits a second */
export function shape(megabits: number): Shape {
  return shapeOf({ rateBitsPerSecond: megabits * 1e6 }, 1500);
}

/** Megabits a second by a counter of bytes, over a time that begins after the flow has found its pace. */
export async function rateBy(read: () => Promise<number>, afterMs = 700, overMs = 1500): Promise<number> {
  await sleep(afterMs);
  const [start, from] = [performance.now(), await read()];
  await sleep(overMs);
  const bytes = (await read()) - from;
  return (bytes * 8) / (performance.now() - start) / 1000;
}

function addresses(namespace: TestNamespace, ipv4: string, ipv6: string): void {
  namespace.ip('link', 'set', 'lo', 'up');
  namespace.ip('addr', 'add', `${ipv4}/24`, 'dev', 'eth0');
  namespace.ip('link', 'set', 'eth0', 'up');
  namespace.ip('addr', 'add', `${ipv6}/64`, 'dev', 'eth0', 'nodad');
}
