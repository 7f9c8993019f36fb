/**
 * A host for the tests of mode `bridge`: a network namespace with a NIC `up0` whose cable ends in another one, and the
 * bridges of Lanius in it, with records on disk; also as a program that dies of a failpoint.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { silentLogger } from '../../core/log.ts';
import { AddressAdoption } from '../../links/address-adoption.ts';
import { BridgeMode } from '../../links/bridge-mode.ts';
import { BridgeUplink } from '../../links/bridge-uplink.ts';
import { KernelBridges } from '../../net/bridges.ts';
import { KernelWorker } from '../../net/kernel-worker.ts';
import { KernelLinks } from '../../net/links.ts';
import { KernelVeths } from '../../net/veths.ts';
import {
  type AdoptionRecord,
  type EndpointRecord,
  type NetworkRecord,
  RECORD_KINDS,
} from '../../store/host-records.ts';
import { RecordStore } from '../../store/records.ts';
import type { Count } from '../support/many-pings.ts';
import { type Place, startPing } from '../support/ping.ts';
import { TestNamespace } from './namespace.ts';

const PINGS = fileURLToPath(new URL('../support/many-pings.js', import.meta.url));
const ACTOR = fileURLToPath(new URL('./bridge-actor.js', import.meta.url));

export const NETWORK: NetworkRecord = {
  v: 1,
  networkId: 'ab'.repeat(32),
  parent: 'up0',
  mode: 'bridge',
  macvlanMode: 'bridge',
  internal: false,
  subnets: [{ subnet: '10.9.0.0/24' }],
  createdAt: 0,
};
export const ADOPTING: NetworkRecord = { ...NETWORK, adoptAddress: true };

/** The parts of the daemon that mode `bridge` needs, in one namespace. */
export class BridgeParts {
  readonly kernel: KernelWorker;
  readonly net: KernelLinks;
  readonly bridges: KernelBridges;
  readonly mode: BridgeMode;
  readonly uplink: BridgeUplink;
  readonly networks: NetworkRecord[] = [];
  readonly endpoints: EndpointRecord[] = [];
  readonly #adoptions: RecordStore<AdoptionRecord>;

  constructor(namespacePath: string, stateDir: string, bootId = 'boot-1') {
    const logger = silentLogger;
    this.kernel = new KernelWorker({ namespacePath }, { log: logger });
    this.net = new KernelLinks(this.kernel);
    this.bridges = new KernelBridges(this.kernel);
    this.mode = new BridgeMode({ veths: new KernelVeths(this.kernel) });
    this.#adoptions = new RecordStore({ stateDir, ...RECORD_KINDS.adoptions }, { logger });
    const adoption = new AddressAdoption(
      { bootId },
      { bridges: this.bridges, adoptions: this.#adoptions, logger },
    );
    this.uplink = new BridgeUplink({
      net: this.net,
      bridges: this.bridges,
      adoption,
      networks: {
        list: () => this.networks,
        get: (id) => this.networks.find(({ networkId }) => networkId === id),
      },
      endpoints: { list: () => this.endpoints },
      logger,
    });
  }

  get notes(): number {
    return this.#adoptions.list().length;
  }

  async load(): Promise<this> {
    await this.#adoptions.load();
    return this;
  }

  close(): Promise<void> {
    return this.kernel.close();
  }
}

/** Two namespaces with a cable: the host (`up0`), and the rest of the segment (`far0`). */
export class BridgeHost {
  readonly namespace = new TestNamespace();
  readonly far = new TestNamespace();

  constructor() {
    const peer = ['peer', 'name', 'far0', 'netns', this.far.name];
    this.namespace.ip('link', 'add', 'up0', 'type', 'veth', ...peer);
    for (const [where, name] of [
      [this.namespace, 'up0'],
      [this.far, 'far0'],
    ] as const) {
      where.ip('link', 'set', 'lo', 'up');
      where.ip('link', 'set', name, 'up');
    }
  }

  /** What a host has that was set up by hand, with all that is easily lost. */
  configure(): void {
    const host = (...words: readonly string[]): string => this.namespace.ip(...words);
    host('addr', 'add', '10.9.0.5/24', 'brd', '+', 'dev', 'up0');
    host('addr', 'add', '10.9.0.6/24', 'brd', '+', 'dev', 'up0', 'label', 'up0:1');
    host('addr', 'add', '10.8.0.5/32', 'dev', 'up0');
    host('-6', 'addr', 'add', 'fd09::5/64', 'dev', 'up0', 'nodad');
    host('-6', 'addr', 'change', 'fd09::5/64', 'dev', 'up0');
    host('route', 'add', 'default', 'via', '10.9.0.1', 'dev', 'up0', 'metric', '100');
    host('route', 'add', '10.20.0.0/16', 'via', '10.9.0.1', 'dev', 'up0', 'src', '10.9.0.6', 'mtu', '1400');
    host('route', 'add', '10.21.0.0/16', 'dev', 'up0', 'scope', 'link', 'table', '77');
    host('route', 'add', '10.22.0.0/16', 'via', '172.31.0.1', 'dev', 'up0', 'onlink', 'proto', '186');
    host('-6', 'route', 'add', 'default', 'via', 'fd09::1', 'dev', 'up0');
    host('-6', 'route', 'add', 'fd20::/32', 'via', 'fd09::1', 'dev', 'up0', 'metric', '50');
    this.far.ip('addr', 'add', '10.9.0.1/24', 'dev', 'far0');
    this.far.ip('-6', 'addr', 'add', 'fd09::1/64', 'dev', 'far0', 'nodad');
    this.far.ip('route', 'add', '10.8.0.5/32', 'dev', 'far0');
  }

  /** Addresses and routes of the host, by link; without what the kernel keeps for each link by itself. */
  addressing(): { readonly addresses: readonly string[]; readonly routes: readonly string[] } {
    const links = JSON.parse(this.namespace.ip('-j', 'addr')) as readonly ShownLink[];
    const addresses = links.flatMap(({ ifname, addr_info }) =>
      addr_info
        .filter(({ scope }) => scope === 'global')
        .map((one) => `${ifname} ${JSON.stringify({ ...one, dynamic: undefined })}`),
    );
    const routes = ['-4', '-6']
      .flatMap((family) => this.namespace.ip(family, 'route', 'show', 'table', 'all').split('\n'))
      .map((line) => line.trim())
      .filter((line) => line !== '' && !/^(local|broadcast|multicast|anycast|fe80|ff00)/.test(line));
    return { addresses, routes: routes.toSorted() };
  }

  /** Runs an actor that may die of a failpoint. @returns what it wrote to stderr */
  async act(action: 'prepare' | 'settle', stateDir: string, failpoint?: string): Promise<string> {
    const child = spawn(process.execPath, [ACTOR, this.namespace.path, stateDir, action], {
      stdio: ['ignore', 'inherit', 'pipe'],
      env: { ...process.env, ...(failpoint === undefined ? {} : { LANIUS_FAILPOINT: `${failpoint}=kill` }) },
    });
    let text = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    await once(child, 'close');
    return text;
  }

  placeOf(namespace: TestNamespace): Place {
    return { command: (command) => ['nsenter', `--net=${namespace.path}`, ...command] };
  }

  /** Pings every 10 ms from the far end, until it is asked for the longest gap of each, in ms. */
  async pinging(ips: readonly string[]): Promise<() => Promise<number[]>> {
    const place = this.placeOf(this.far);
    const v4 = ips.filter((ip) => !ip.includes(':'));
    const rest = await Promise.all(ips.filter((ip) => ip.includes(':')).map((ip) => startPing(place, ip)));
    // One program for all of them; many-pings.ts says why.
    const words = [process.execPath, PINGS, JSON.stringify(v4.map((ip) => [ip, 10]))];
    const [program = '', ...args] = place.command(words);
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const closed = once(child, 'close');
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    await once(child.stdout, 'data');
    return async () => {
      child.stdin.end();
      const [, ...others] = await Promise.all([closed, ...rest.map((ping) => ping.stop())]);
      const counts = JSON.parse(output.slice(output.indexOf('\n') + 1)) as readonly Count[];
      return [...counts, ...others].map(({ sent, longestGapMs }) =>
        sent > 10 ? longestGapMs : Number.POSITIVE_INFINITY,
      );
    };
  }

  remove(): void {
    this.namespace.remove();
    this.far.remove();
  }
}

interface ShownLink {
  readonly ifname: string;
  readonly addr_info: readonly { readonly scope: string; readonly local: string }[];
}
