/** `KernelNeighbours` against the real kernel: tables of a container's link in a sandbox of its own. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { KernelError } from '../../core/errors.ts';
import { parseIp } from '../../core/ip.ts';
import { silentLogger } from '../../core/log.ts';
import { KernelWorker } from '../../net/kernel-worker.ts';
import { KernelLinks } from '../../net/links.ts';
import { EMPTY_PLAN, entriesOf, type NeighbourPlan, type NeighbourRun } from '../../net/neighbour-plan.ts';
import type { NeighbourTarget } from '../../net/neighbour-table.ts';
import { KernelNeighbours } from '../../net/neighbours.ts';
import { need } from '../support/require.ts';
import { failure } from './kernel-links.ts';
import { TestNamespace } from './namespace.ts';

const MAC_HEAD = 0x024c;

/** Of the thread that runs the event loop; its own clock, in nanoseconds. @see Linux Documentation/scheduler/sched-stats */
function ownCpuMs(): number {
  return Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0]) / 1e6;
}

function low(address: string): number {
  return Number(parseIp(address).value & 0xffff_ffffn);
}

/** Runs a program in a namespace. */
function inside({ name }: TestNamespace, ...words: readonly string[]): string {
  return execFileSync('ip', ['netns', 'exec', name, ...words], {
    encoding: 'utf8',
    stdio: 'pipe',
    maxBuffer: 16 * 1024 * 1024,
  });
}

function run(first: string, last = first): NeighbourRun {
  return { family: 4, upper: '', first: low(first), last: low(last), macHead: MAC_HEAD, macXor: 0 };
}

/** Entries that a reading of a large table may miss or see twice, because other tests on the machine fill and empty theirs. */
const PASSED_OVER = 20;

const SIXTEEN: NeighbourPlan = { runs: [run('10.81.0.1', '10.81.255.254')] };
const SMALL: NeighbourPlan = { runs: [run('10.81.0.2', '10.81.0.9'), run('10.81.0.11', '10.81.0.20')] };
const IPV6: NeighbourPlan = {
  runs: [
    { family: 6, upper: 'fd0000000000000000000000', first: 2, last: 4000, macHead: MAC_HEAD, macXor: 7 },
  ],
};

describe('net/neighbours', () => {
  let host: TestNamespace;
  let sandbox: TestNamespace;
  let worker: KernelWorker;
  let neighbours: KernelNeighbours;
  let target: NeighbourTarget;

  before(function () {
    need(this, 'root', 'netns');
  });

  beforeEach(() => {
    host = new TestNamespace();
    host.addUplink('up0', 'up1');
    sandbox = addSandbox('10.81.0.1', '02:4c:0a:51:00:01');
    worker = new KernelWorker({}, { log: silentLogger });
    neighbours = new KernelNeighbours(worker);
    target = { namespacePath: sandbox.path, linkIndex: sandbox.link('eth0')?.ifindex ?? 0 };
  });

  afterEach(async () => {
    await worker.close();
    for (const namespace of [sandbox, host]) namespace.remove();
  });

  function addSandbox(address: string, mac: string): TestNamespace {
    const made = new TestNamespace();
    const macvlan = ['type', 'macvlan', 'mode', 'bridge'];
    host.ip('link', 'add', 'link', 'up0', 'name', 'eth0', 'address', mac, 'netns', made.name, ...macvlan);
    made.ip('address', 'add', `${address}/15`, 'dev', 'eth0');
    made.ip('link', 'set', 'eth0', 'up');
    return made;
  }

  /** PERMANENT entries as iproute2 shows them: address → MAC. */
  function table(...filter: readonly string[]): Map<string, string> {
    const show = ['neighbour', 'show', 'dev', 'eth0', 'nud', 'permanent'];
    const lines = inside(sandbox, 'ip', ...filter, ...show).split('\n');
    return new Map(
      lines.filter((line) => line !== '').map((line) => [line.split(' ')[0] ?? '', line.split(' ')[2] ?? '']),
    );
  }

  it('loads a /16, every entry with MAC = f(IP), and finds it standing the next time', async () => {
    const entries = entriesOf(SIXTEEN.runs);
    expect(await neighbours.load(target, SIXTEEN)).to.deep.equal({ entries, wrote: entries, removed: 0 });
    const shown = table();
    expect(shown.size).to.be.closeTo(65_534, PASSED_OVER);
    expect(shown.get('10.81.0.1')).to.equal('02:4c:0a:51:00:01');
    expect(shown.get('10.81.200.7')).to.equal('02:4c:0a:51:c8:07');
    expect(await neighbours.load(target, SIXTEEN)).to.deep.equal({ entries, wrote: 0, removed: 0 });
    expect(await neighbours.load(target, SIXTEEN, { look: 'all' })).to.deep.equal({
      entries,
      wrote: 0,
      removed: 0,
    });
    expect(await neighbours.count(target)).to.be.closeTo(entries, PASSED_OVER);
  });

  it('lets containers talk where nobody answers ARP', async () => {
    const peer = addSandbox('10.81.0.2', '02:4c:0a:51:00:02');
    try {
      for (const one of [sandbox, peer]) {
        for (const link of ['all', 'eth0'])
          inside(one, 'sysctl', '-qw', `net.ipv4.conf.${link}.arp_ignore=8`);
      }
      const ping = ['ping', '-c', '1', '-W', '1', '10.81.0.2'];
      expect(() => inside(sandbox, ...ping)).to.throw();
      await neighbours.load(target, SMALL);
      const linkIndex = peer.link('eth0')?.ifindex ?? 0;
      await neighbours.load({ namespacePath: peer.path, linkIndex }, { runs: [run('10.81.0.1')] });
      expect(inside(sandbox, ...ping)).to.contain('1 received');
    } finally {
      peer.remove();
    }
  });

  for (const [what, wipe] of Object.entries({
    'the link was down': ['link set eth0 down', 'link set eth0 up'],
    'the MAC was set': ['link set eth0 address 02:4c:0a:51:00:01'],
    'the container flushed it': ['neighbour flush dev eth0 nud permanent'],
    'the last address was removed': [
      'address flush dev eth0 scope global',
      'address add 10.81.0.1/15 dev eth0',
    ],
  })) {
    it(`loads again after ${what}`, async () => {
      await neighbours.load(target, SMALL);
      for (const words of wipe) sandbox.ip(...words.split(' '));
      expect(table().size).to.equal(0);
      expect(await neighbours.load(target, SMALL)).to.deep.equal({ entries: 18, wrote: 18, removed: 0 });
      expect(table().size).to.equal(18);
    });
  }

  it('keeps what was loaded while the link was down', async () => {
    sandbox.ip('link', 'set', 'eth0', 'down');
    await neighbours.load(target, SMALL);
    sandbox.ip('link', 'set', 'eth0', 'up');
    expect(table().size).to.equal(18);
  });

  it('writes only what is missing or wrong when it looks at all, and leaves to others what is theirs', async () => {
    await neighbours.load(target, SMALL);
    sandbox.ip('neighbour', 'del', '10.81.0.5', 'dev', 'eth0');
    sandbox.ip(
      'neighbour',
      'replace',
      '10.81.0.6',
      'lladdr',
      '02:00:00:00:00:06',
      'dev',
      'eth0',
      'nud',
      'permanent',
    );
    sandbox.ip(
      'neighbour',
      'replace',
      '10.81.0.20',
      'lladdr',
      '02:4c:0a:51:00:14',
      'dev',
      'eth0',
      'nud',
      'reachable',
    );
    sandbox.ip(
      'neighbour',
      'replace',
      '10.81.9.9',
      'lladdr',
      '02:00:00:00:09:09',
      'dev',
      'eth0',
      'nud',
      'permanent',
    );
    const look = 'all';
    expect(await neighbours.load(target, SMALL, { look })).to.deep.equal({
      entries: 18,
      wrote: 3,
      removed: 0,
    });
    expect(table().get('10.81.0.6')).to.equal('02:4c:0a:51:00:06');
    expect(table().get('10.81.9.9')).to.equal('02:00:00:00:09:09');
    expect(await neighbours.count(target)).to.equal(19);
  });

  it('takes away what is planned no more, and gives new MACs, without a gap for the others', async () => {
    await neighbours.load(target, SMALL);
    const fixed = { ...run('10.81.0.3'), macHead: 0x0200, macXor: (low('10.81.0.3') ^ 0x99) >>> 0 };
    const plan = { runs: [run('10.81.0.2'), fixed, run('10.81.0.12', '10.81.0.21')] };
    const outcome = await neighbours.load(target, plan, { look: 'all' });
    expect(outcome).to.deep.equal({ entries: 12, wrote: 2, removed: 7 });
    const shown = table();
    expect([...shown.keys()].sort()).to.deep.equal(
      [2, 3, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21].map((n) => `10.81.0.${n}`).sort(),
    );
    expect(shown.get('10.81.0.3')).to.equal('02:00:00:00:00:99');
    expect(await neighbours.clear(target)).to.deep.equal({ entries: 0, wrote: 0, removed: 12 });
    expect(table().size).to.equal(0);
  });

  it('touches no other link of the sandbox', async () => {
    sandbox.ip('link', 'add', 'other', 'type', 'veth', 'peer', 'name', 'other1');
    sandbox.ip('link', 'set', 'other', 'up');
    const other = { ...target, linkIndex: sandbox.link('other')?.ifindex ?? 0 };
    await neighbours.load(other, SMALL);
    await neighbours.load(target, SIXTEEN);
    expect(await neighbours.count(other)).to.equal(18);
    await neighbours.clear(target);
    expect(await neighbours.count(other)).to.equal(18);
  });

  it('loads IPv6 neighbours', async () => {
    expect(await neighbours.load(target, IPV6)).to.deep.equal({ entries: 3999, wrote: 3999, removed: 0 });
    expect(table('-6').get('fd00::3e8')).to.equal('02:4c:00:00:03:ef');
    expect(await neighbours.load(target, IPV6, { look: 'all' })).to.include({ wrote: 0 });
    expect(await neighbours.load(target, SMALL, { look: 'all' })).to.include({ wrote: 18, removed: 3999 });
  });

  it('says how many entries were refused, and why', async () => {
    // Below the least MTU of IPv6, the kernel has no IPv6 on the link at all.
    sandbox.ip('link', 'set', 'eth0', 'mtu', '1000');
    const error = await failure(neighbours.load(target, IPV6));
    expect(error).to.be.instanceOf(KernelError);
    expect(error.message).to.match(
      /^cannot replace 3999 of 3999 neighbours \(the first is fd00::2\): E[A-Z]+/,
    );
  });

  it('takes a sandbox or link that is gone for nothing', async () => {
    const gone = { entries: 0, wrote: 0, removed: 0 };
    for (const look of ['sample', 'none', 'all'] as const) {
      expect(await neighbours.load({ ...target, linkIndex: 4711 }, SIXTEEN, { look })).to.deep.equal(gone);
      const elsewhere = { ...target, namespacePath: '/run/netns/lnt-none' };
      expect(await neighbours.load(elsewhere, SIXTEEN, { look })).to.deep.equal(gone);
      expect(await neighbours.count(elsewhere)).to.equal(0);
    }
    const loading = neighbours.load(target, SIXTEEN, { look: 'none' });
    sandbox.ip('link', 'delete', 'eth0');
    expect(await loading).to.deep.equal(gone);
  });

  it('has nothing to do for a plan without addresses', async () => {
    expect(await neighbours.load(target, EMPTY_PLAN)).to.deep.equal({ entries: 0, wrote: 0, removed: 0 });
  });

  it('costs the event loop next to nothing', async () => {
    await neighbours.load(target, SMALL);
    const before = ownCpuMs();
    await neighbours.load(target, SIXTEEN, { look: 'none' });
    await neighbours.load(target, SIXTEEN, { look: 'all' });
    // Not the delay of the loop, which is long on a busy machine whatever this thread does.
    expect(ownCpuMs() - before, 'CPU time of this thread, ms').to.be.below(20);
  });

  it('lets other requests go before the rest of a table', async () => {
    const links = new KernelLinks(worker);
    await links.linkList();
    const order: string[] = [];
    const noted = (what: string, work: Promise<unknown>) => work.then(() => order.push(what));
    const works = [
      noted('later table', neighbours.load(target, SIXTEEN, { look: 'none' })),
      noted('reading', neighbours.load(target, SIXTEEN, { look: 'all' })),
    ];
    for (let i = 0; i < 5; i++) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      await noted('link', links.linkGet('lo'));
    }
    works.push(noted('table', neighbours.load(target, SIXTEEN, { look: 'none', first: true })));
    await Promise.all(works);
    expect(order).to.deep.equal([...Array(5).fill('link'), 'table', 'later table', 'reading']);
    expect(await neighbours.load(target, SIXTEEN, { look: 'all' })).to.include({ wrote: 0 });
  });
});
