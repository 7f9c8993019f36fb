/**
 * `SandboxKeeper` with the real kernel, its events and its sandboxes: what the engine does with a link is done by hand,
 * in the engine's order. The setting is one that is easily looked at: a permanent neighbour entry.
 */
import { execFileSync } from 'node:child_process';
import { expect } from 'chai';
import { systemClock } from '../../core/clock.ts';
import { KernelError } from '../../core/errors.ts';
import { linkAliasOf } from '../../core/ids.ts';
import { type LogFields, type Logger, silentLogger } from '../../core/log.ts';
import { SandboxKeeper } from '../../links/sandbox-keeper.ts';
import type { Occasion, SandboxLink, SandboxSetting } from '../../links/sandbox-setting.ts';
import { KernelWorker } from '../../net/kernel-worker.ts';
import { LinkEvents } from '../../net/link-events.ts';
import { KernelSandboxes } from '../../net/sandbox-port.ts';
import type { EndpointRecord, NetworkRecord } from '../../store/host-records.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { TestNamespace } from './namespace.ts';

const NETWORK: NetworkRecord = {
  v: 1,
  networkId: 'aa'.repeat(32),
  parent: 'up0',
  mode: 'macvlan',
  macvlanMode: 'bridge',
  internal: false,
  subnets: [{ subnet: '10.9.0.0/16' }],
  createdAt: 0,
};
const NEIGHBOUR = '10.9.0.99';

/** Looks with iproute2, writes with iproute2: slow, but nobody's code under test. */
class NeighbourSetting implements SandboxSetting {
  readonly name = 'neighbour';
  readonly required = true;
  readonly applied: { occasion: Occasion; at: number; link: SandboxLink }[] = [];
  refuse: string | undefined;

  readonly #of: () => TestNamespace;

  constructor({ of }: { readonly of: () => TestNamespace }) {
    this.#of = of;
  }

  async apply(link: SandboxLink, occasion: Occasion, mended: (what: string) => void): Promise<string> {
    this.applied.push({ occasion, at: performance.now(), link });
    if (this.refuse !== undefined) throw new KernelError(this.refuse, { errno: 16, errnoName: 'EBUSY' });
    const sandbox = this.#of();
    if (!hasNeighbour(sandbox)) {
      mended('1 entry');
      const entry = [NEIGHBOUR, 'lladdr', '02:4c:0a:09:00:63', 'dev', link.name, 'nud', 'permanent'];
      sandbox.ip('neigh', 'replace', ...entry);
    }
    return '1 entry';
  }
}

function hasNeighbour(sandbox: TestNamespace): boolean {
  return sandbox.ip('neigh', 'show', NEIGHBOUR).includes('PERMANENT');
}

const SECOND_MS = 1000;

describe('links/sandbox-keeper', () => {
  let home: TestNamespace;
  let sandbox: TestNamespace;
  let kernel: KernelWorker;
  let events: LinkEvents;
  let keeper: SandboxKeeper;
  let setting: NeighbourSetting;
  let endpoint: EndpointRecord & { sandboxKey: string };
  let onRecord: EndpointRecord[];
  const lines: { level: string; message: string; fields: LogFields | undefined }[] = [];
  const noting = (level: string) => (message: string, fields?: LogFields) =>
    void lines.push({ level, message, fields });
  const logger: Logger = {
    ...silentLogger,
    warn: noting('warn'),
    error: noting('error'),
    debug: noting('debug'),
    child: () => logger,
  };
  let number = 0;

  before(function () {
    need(this, 'root', 'netns');
  });

  beforeEach(async () => {
    lines.splice(0);
    home = new TestNamespace();
    home.addUplink('up0', 'up1');
    sandbox = new TestNamespace();
    const endpointId = (++number).toString(16).padStart(64, '0');
    endpoint = {
      v: 1,
      endpointId,
      networkId: NETWORK.networkId,
      address: '10.9.0.7/16',
      macAddress: '02:4c:0a:09:00:07',
      linkName: 'ln0',
      sandboxKey: sandbox.path,
      options: {},
      createdAt: 0,
      instance: 'i',
    };
    home.ip('link', 'add', 'ln0', 'link', 'up0', 'type', 'macvlan', 'mode', 'bridge');
    home.ip('link', 'set', 'ln0', 'alias', linkAliasOf(endpointId));
    onRecord = [];
    kernel = new KernelWorker({ namespacePath: home.path }, { log: logger });
    await kernel.request('linkList', undefined);
    events = new LinkEvents({ namespacePath: home.path }, { log: logger });
    setting = new NeighbourSetting({ of: () => sandbox });
    await startKeeper();
  });

  afterEach(async () => {
    keeper.close();
    await events.close();
    await kernel.close();
    sandbox.remove();
    home.remove();
  });

  async function startKeeper(checkIntervalMs = 60_000): Promise<void> {
    keeper = new SandboxKeeper(
      { checkIntervalMs },
      {
        settings: [setting],
        events,
        sandboxes: new KernelSandboxes(kernel),
        networks: { get: (id) => (id === NETWORK.networkId ? NETWORK : undefined) },
        endpoints: {
          list: () => onRecord,
          get: (id) => onRecord.find(({ endpointId }) => endpointId === id),
        },
        clock: systemClock,
        random: Math.random,
        logger,
      },
    );
    keeper.start();
    events.start();
    await until('events are heard', () => keeper.counters.resyncs > 0);
  }

  /** As libnetwork does it. */
  function moveIn(): void {
    home.ip('link', 'set', 'ln0', 'netns', sandbox.name);
    sandbox.ip('link', 'set', 'ln0', 'name', 'eth0');
    sandbox.ip('link', 'set', 'eth0', 'address', endpoint.macAddress);
    sandbox.ip('addr', 'add', '10.9.0.7/16', 'dev', 'eth0');
    sandbox.ip('link', 'set', 'eth0', 'up');
  }

  const tc = (...words: string[]): unknown => execFileSync('tc', ['-n', sandbox.name, ...words]);

  async function arrive(): Promise<void> {
    onRecord.push(endpoint);
    keeper.joined(endpoint);
    moveIn();
    await until('the entry', () => hasNeighbour(sandbox), { intervalMs: 2 });
    await until('it is counted', () => keeper.counters.applied > 0, { intervalMs: 2 });
  }

  it('puts settings in force by the event, within 50 ms of the link being up', async () => {
    keeper.joined(endpoint);
    expect(setting.applied).to.have.length(0);
    moveIn();
    const upAt = performance.now();
    await until('applied', () => setting.applied.length > 0, { intervalMs: 1 });
    const [first] = setting.applied;
    console.log(
      `      asked for ${((first?.at ?? 0) - upAt).toFixed(1)} ms after "ip link set up" had ended`,
    );
    expect((first?.at ?? Number.POSITIVE_INFINITY) - upAt).to.be.below(50);
    expect(first).to.include({ occasion: 'arrived' });
    expect(first?.link).to.include({ name: 'eth0', namespacePath: sandbox.path });
    await until('the entry', () => hasNeighbour(sandbox));
    expect(keeper.counters).to.include({ arrived: 1, mended: 0, failed: 0 });
    await until('the state', () => keeper.states()[0]?.inForce.get('neighbour') === '1 entry');
    expect(keeper.states()[0]).to.include({ endpointId: endpoint.endpointId, ready: true });
  });

  it('has them in force when program returns, also if events came first', async () => {
    onRecord.push(endpoint);
    keeper.joined(endpoint);
    moveIn();
    await keeper.program(endpoint.endpointId);
    expect(hasNeighbour(sandbox)).to.equal(true);
    // The carrier is told a little later.
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { length } = setting.applied;
    await keeper.program(endpoint.endpointId);
    expect(setting.applied, 'nothing to do').to.have.length(length);
  });

  it('returns from program at once while the link is not in the sandbox, or unknown', async () => {
    onRecord.push(endpoint);
    keeper.joined(endpoint);
    await keeper.program(endpoint.endpointId);
    await keeper.program('ff'.repeat(32));
    expect(setting.applied).to.have.length(0);
    moveIn();
    await until('the entry', () => hasNeighbour(sandbox));
  });

  for (const [what, words] of [
    [
      'the link was down and up',
      [
        ['link', 'set', 'eth0', 'down'],
        ['link', 'set', 'eth0', 'up'],
      ],
    ],
    ['a MAC was set', [['link', 'set', 'eth0', 'address', '02:4c:0a:09:00:08']]],
    ['the same MAC was set', [['link', 'set', 'eth0', 'address', '02:4c:0a:09:00:07']]],
    ['all entries were flushed', [['neigh', 'flush', 'all', 'nud', 'permanent']]],
    [
      'ARP was off and on',
      [
        ['link', 'set', 'eth0', 'arp', 'off'],
        ['link', 'set', 'eth0', 'arp', 'on'],
      ],
    ],
    [
      'the address went and came',
      [
        ['addr', 'flush', 'dev', 'eth0'],
        ['addr', 'add', '10.9.0.7/16', 'dev', 'eth0'],
      ],
    ],
  ] as const) {
    it(`puts them in force again within 1 s after ${what}`, async () => {
      await arrive();
      const from = performance.now();
      for (const line of words) sandbox.ip(...line);
      const lost = performance.now();
      await until('the entry', () => hasNeighbour(sandbox), { timeoutMs: SECOND_MS, intervalMs: 5 });
      console.log(
        `      back ${(performance.now() - lost).toFixed(0)} ms after the last of it (${(lost - from).toFixed(0)} ms)`,
      );
    });
  }

  describe('announcements', () => {
    const OLD = '02:4c:ff:ff:ff:ff';
    let far: TestNamespace;

    beforeEach(() => {
      far = new TestNamespace();
      home.ip('link', 'set', 'up1', 'netns', far.name);
      far.ip('addr', 'add', '10.9.0.1/16', 'dev', 'up1');
      far.ip('addr', 'add', 'fd00::1/64', 'dev', 'up1', 'nodad');
      far.ip('link', 'set', 'up1', 'up');
      forgetNewMac();
      endpoint = { ...endpoint, addressIpv6: 'fd00::7/64' };
    });
    afterEach(() => far.remove());

    /** A neighbour that remembers another MAC for the container's addresses. */
    function forgetNewMac(): void {
      for (const ip of ['10.9.0.7', 'fd00::7']) {
        far.ip('neigh', 'replace', ip, 'lladdr', OLD, 'dev', 'up1', 'nud', 'stale');
      }
    }

    function remembered(): string[] {
      return ['10.9.0.7', 'fd00::7'].map(
        (ip) => /lladdr (\S+)/.exec(far.ip('neigh', 'show', ip))?.[1] ?? 'nothing',
      );
    }

    it('correct neighbours at once, three times a second apart, and no more', async function () {
      this.timeout(10_000);
      keeper.joined(endpoint);
      moveIn();
      const both = [endpoint.macAddress, endpoint.macAddress];
      const corrected = (): boolean => remembered().every((one) => one === endpoint.macAddress);
      for (let time = 0; time < 3; time++) {
        await until(`announcement ${time + 1}`, corrected, { timeoutMs: 1500, intervalMs: 20 });
        expect(remembered()).to.deep.equal(both);
        forgetNewMac();
      }
      await new Promise((resolve) => setTimeout(resolve, 1300));
      expect(remembered()).to.deep.equal([OLD, OLD]);
    });
  });

  it('counts and tells what a container broke, finds it by the check where no event tells', async () => {
    keeper.close();
    await events.close();
    events = new LinkEvents({ namespacePath: home.path }, { log: logger });
    onRecord.push(endpoint);
    moveIn();
    await startKeeper(200);
    await until('taken over', () => hasNeighbour(sandbox));
    expect(keeper.counters.arrived).to.equal(0);
    await events.close();
    sandbox.ip('neigh', 'flush', 'all', 'nud', 'permanent');
    await until('mended', () => keeper.counters.mended > 0 && hasNeighbour(sandbox), {
      timeoutMs: 2 * SECOND_MS,
    });
    const told = lines.filter(({ message }) => message === 'a setting in a sandbox was broken; it is mended');
    expect(told[0]?.fields).to.include({ setting: 'neighbour', what: '1 entry' });
  });

  it('keeps the reason of what fails, tells it once, fails program with it, and tries again', async () => {
    setting.refuse = 'no';
    onRecord.push(endpoint);
    keeper.joined(endpoint);
    moveIn();
    await until('a problem', () => (keeper.states()[0]?.problems.size ?? 0) > 0);
    expect(keeper.states()[0]?.problems.get('neighbour')?.message).to.equal('no');
    expect(await keeper.program(endpoint.endpointId).catch((error: Error) => error.message)).to.equal('no');
    const warnings = lines.filter(({ message }) => message.startsWith('a setting in a sandbox cannot'));
    expect(warnings).to.have.length(1);
    setting.refuse = undefined;
    await until('the entry', () => hasNeighbour(sandbox), { timeoutMs: 5000 });
    await until('no problem', () => keeper.states()[0]?.problems.size === 0);
  });

  it('is not driven in circles by a container that breaks things without end', async function () {
    this.timeout(20_000);
    await arrive();
    const before = setting.applied.length;
    for (let n = 0; n < 80; n++) {
      sandbox.ip('link', 'set', 'eth0', 'address', `02:4c:0a:09:01:${n.toString(16).padStart(2, '0')}`);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    expect(setting.applied.length - before).to.be.below(40);
    await until('the entry', () => hasNeighbour(sandbox), { timeoutMs: 8000 });
  });

  for (const [what, act] of [
    ['a qdisc is put on its link', () => tc('qdisc', 'add', 'dev', 'eth0', 'root', 'handle', '1:', 'bfifo')],
    ['a filter hook is made on another link', () => tc('qdisc', 'add', 'dev', 'lo', 'clsact')],
    ['a link is made upon it', () => sandbox.ip('link', 'add', 'x0', 'link', 'eth0', 'type', 'macvlan')],
    ['our ifb is set down', () => sandbox.ip('link', 'set', 'lnin3', 'down')],
    ['our ifb is deleted', () => sandbox.ip('link', 'del', 'lnin3')],
  ] as [string, () => void][]) {
    it(`checks within a second when ${what}`, async () => {
      await arrive();
      sandbox.ip('link', 'add', 'lnin3', 'type', 'ifb');
      sandbox.ip('link', 'set', 'lnin3', 'up');
      sandbox.ip('link', 'set', 'lnin3', 'alias', 'lanius:ifb');
      await new Promise((resolve) => setTimeout(resolve, 300));
      const { length } = setting.applied;
      const from = performance.now();
      act();
      await until('a check', () => setting.applied.length > length, { timeoutMs: SECOND_MS, intervalMs: 2 });
      console.log(`      asked for after ${(performance.now() - from).toFixed(0)} ms`);
      expect(setting.applied.at(-1)).to.include({ occasion: 'check' });
    });
  }

  it('takes a link that was made anew in the sandbox for one that arrives', async () => {
    await arrive();
    sandbox.ip('link', 'del', 'eth0');
    await until('it is missed', () => keeper.states()[0]?.ready === false);
    home.ip('link', 'add', 'ln1', 'link', 'up0', 'type', 'macvlan', 'mode', 'bridge');
    home.ip('link', 'set', 'ln1', 'alias', linkAliasOf(endpoint.endpointId));
    home.ip('link', 'set', 'ln1', 'netns', sandbox.name);
    sandbox.ip('link', 'set', 'ln1', 'name', 'eth0');
    sandbox.ip('addr', 'add', '10.9.0.7/16', 'dev', 'eth0');
    sandbox.ip('link', 'set', 'eth0', 'up');
    await until('the entry', () => hasNeighbour(sandbox));
    expect(setting.applied.filter(({ occasion }) => occasion === 'arrived')).to.have.length(2);
  });

  it('lets go of an endpoint that left, and of one whose sandbox is gone', async () => {
    await arrive();
    keeper.left(endpoint.endpointId);
    const count = setting.applied.length;
    sandbox.ip('link', 'set', 'eth0', 'down');
    sandbox.ip('link', 'set', 'eth0', 'up');
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(setting.applied).to.have.length(count);
    expect(keeper.states()).to.deep.equal([]);
    keeper.joined(endpoint);
    sandbox.remove();
    await keeper.program(endpoint.endpointId);
    expect(keeper.states()[0]).to.include({ ready: false });
    keeper.left(endpoint.endpointId);
    keeper.left('never heard of');
  });
});
