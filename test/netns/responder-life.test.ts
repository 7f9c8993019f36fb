/** How the ARP responder comes, stays and goes: filters, pins, versions, daemons that end. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { Conflict, KernelError } from '../../core/errors.ts';
import { silentLogger } from '../../core/log.ts';
import { programLoad } from '../../net/bpf/objects.ts';
import { KernelWorker } from '../../net/kernel-worker.ts';
import type { KernelResponder } from '../../net/responder.ts';
import { KernelShaping } from '../../net/shaping/kernel-shaping.ts';
import { need } from '../support/require.ts';
import type { TestNamespace } from './namespace.ts';
import {
  C2,
  Capture,
  coldPing,
  NETWORK_ID,
  PLAN,
  questions,
  run,
  Segment,
  targetOf,
} from './responder-segment.ts';

const NETWORK = { networkId: NETWORK_ID, plan: PLAN };
const HALF = { networkId: NETWORK_ID, plan: { runs: [run('10.77.0.2', '10.77.0.8')] } };

function filters(namespace: TestNamespace): string {
  return execFileSync('tc', ['-n', namespace.name, 'filter', 'show', 'dev', 'eth0', 'egress'], {
    encoding: 'utf8',
  });
}

/** Bytes that each program and map has charged which this process has open. */
function openObjects(): number[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      if (!readlinkSync(`/proc/self/fd/${fd}`).startsWith('anon_inode:bpf')) return [];
      return [Number(/memlock:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1])];
    } catch {
      return []; // closed meanwhile
    }
  });
}

describe('net/responder, its life', () => {
  let segment: Segment;
  let responder: KernelResponder;

  before(function () {
    need(this, 'root', 'netns');
  });

  beforeEach(() => {
    segment = new Segment();
    responder = segment.responder();
  });

  afterEach(async () => {
    await segment.remove();
  });

  it('is supported by this kernel, and trying leaves nothing behind', async () => {
    const before = openObjects().length;
    expect(await responder.supported()).to.equal(true);
    expect(openObjects().length).to.equal(before);
    expect(await responder.standing()).to.deep.equal({ networkIds: [], pins: [] });
  });

  it('attaches once, and finds what is in force', async () => {
    const target = targetOf(segment.c1);
    expect(await responder.attached(target, NETWORK_ID)).to.equal(false);
    expect(await responder.attach(target, NETWORK)).to.equal(true);
    expect(await responder.attach(target, NETWORK)).to.equal(false);
    expect(await responder.attached(target, NETWORK_ID)).to.equal(true);
    expect(filters(segment.c1)).to.match(/protocol arp pref 19521 bpf .*lanius-arp direct-action/);
    expect(await responder.detach(target)).to.equal(true);
    expect(await responder.detach(target)).to.equal(false);
    expect(filters(segment.c1)).to.equal('');
  });

  it('mends what a container with NET_ADMIN breaks', async () => {
    const target = targetOf(segment.c1);
    await responder.attach(target, NETWORK);
    const tc = (...words: string[]): unknown => execFileSync('tc', ['-n', segment.c1.name, ...words]);
    tc('filter', 'del', 'dev', 'eth0', 'egress');
    expect(await responder.attached(target, NETWORK_ID)).to.equal(false);
    expect(await responder.attach(target, NETWORK)).to.equal(true);
    tc('qdisc', 'del', 'dev', 'eth0', 'clsact');
    expect(await responder.attach(target, NETWORK)).to.equal(true);
    expect(await responder.attached(target, NETWORK_ID)).to.equal(true);
  });

  it('stands beside the filters and the clsact of others', async () => {
    const tc = (...words: string[]): unknown => execFileSync('tc', ['-n', segment.c1.name, ...words]);
    tc('qdisc', 'add', 'dev', 'eth0', 'clsact');
    const match = ['protocol', 'ip', 'prio', '7', 'u32', 'match', 'u32', '0', '0', 'flowid', '1:1'];
    tc('filter', 'add', 'dev', 'eth0', 'egress', ...match);
    tc('filter', 'add', 'dev', 'eth0', 'ingress', ...match);
    const others = filters(segment.c1);
    await responder.attach(targetOf(segment.c1), NETWORK);
    expect(filters(segment.c1)).to.include('lanius-arp').and.include('pref 7 u32');
    await responder.detach(targetOf(segment.c1));
    expect(filters(segment.c1)).to.equal(others);
  });

  it('shares its clsact with limits, whichever comes first and whichever goes', async () => {
    const worker = new KernelWorker({}, { log: silentLogger });
    const shaping = new KernelShaping(worker);
    const limit = { rateBitsPerSecond: 10e6, burstBytes: 15_140, limitBytes: 50_000 };
    const both = { in: limit, out: limit };
    try {
      for (const first of ['limits', 'responder']) {
        const target = targetOf(first === 'limits' ? segment.c1 : segment.c2);
        const place = { at: 'sandbox', ...target } as const;
        if (first === 'limits') await shaping.apply(place, both);
        expect(await responder.attach(target, NETWORK)).to.equal(true);
        if (first === 'responder') await shaping.apply(place, both);
        expect((await shaping.apply(place, both))?.mended, first).to.deep.equal([]);
        expect(await responder.attached(target, NETWORK_ID), first).to.equal(true);
      }
      expect(coldPing(segment.c1, C2)).to.have.length(1);
      const target = targetOf(segment.c1);
      await shaping.apply({ at: 'sandbox', ...target }, {});
      expect(await responder.attached(target, NETWORK_ID)).to.equal(true);
      expect(await responder.detach(targetOf(segment.c2))).to.equal(true);
      expect((await shaping.apply({ at: 'sandbox', ...targetOf(segment.c2) }, both))?.mended).to.deep.equal(
        [],
      );
    } finally {
      await worker.close();
    }
  });

  it('refuses a link that has a qdisc ingress, whose hook is the wrong one', async () => {
    execFileSync('tc', ['-n', segment.c1.name, 'qdisc', 'add', 'dev', 'eth0', 'ingress']);
    const error = await responder.attach(targetOf(segment.c1), NETWORK).catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(Conflict).with.property('message').that.includes('qdisc ingress');
    expect(await responder.detach(targetOf(segment.c1))).to.equal(false);
  });

  it('takes a sandbox and a link that are gone as done', async () => {
    const gone = { namespacePath: '/run/netns/lanius-nothing', linkIndex: 2 };
    expect(await responder.attach(gone, NETWORK)).to.equal(false);
    expect(await responder.attach({ ...targetOf(segment.c1), linkIndex: 4711 }, NETWORK)).to.equal(false);
    expect(await responder.attached(gone, NETWORK_ID)).to.equal(false);
    expect(await responder.detach(gone)).to.equal(false);
  });

  it('has one program and three maps a host, however many containers there are', async () => {
    const before = openObjects().length;
    await responder.attach(targetOf(segment.c1), NETWORK);
    const first = openObjects();
    await responder.attach(targetOf(segment.c2), NETWORK);
    expect(openObjects()).to.deep.equal(first);
    expect(first.length - before).to.equal(4);
    const bytes = first.slice(before).reduce((sum, each) => sum + each, 0);
    console.log(`      ${Math.round(bytes / 1024)} KiB a host, with a planned /16`);
    expect(bytes).to.be.below(1_000_000);
  });

  it('goes on when the daemon is killed, and the next one finds it and writes nothing', async () => {
    const target = targetOf(segment.c1);
    await segment.attachAndKill(segment.c1);
    expect(coldPing(segment.c1, C2)).to.have.length(1);
    expect(await responder.attached(target, NETWORK_ID)).to.equal(true);
    expect(await responder.attach(target, NETWORK)).to.equal(false);
    expect((await responder.standing()).networkIds).to.deep.equal([NETWORK_ID]);

    // what it plans is in force in the filter that the other process made
    await responder.plan(HALF);
    const wire = await Capture.start(segment.wire, 'up1');
    expect(coldPing(segment.c1, C2)).to.have.length(1);
    expect(questions(await wire.stop())).to.include(`who-has ${C2}`);
    await responder.plan(NETWORK);
    const quiet = await Capture.start(segment.wire, 'up1');
    expect(coldPing(segment.c1, C2)).to.have.length(1);
    expect(questions(await quiet.stop())).not.to.include(`who-has ${C2}`);
  });

  it('puts itself in the place of another version without a lost packet', async () => {
    const target = targetOf(segment.c1);
    const older = segment.responder(`${segment.mountPoint}/older`);
    await older.attach(target, NETWORK);
    coldPing(segment.c1, C2);
    const words = ['netns', 'exec', segment.c1.name, 'ping', '-q', '-c', '100', '-i', '0.01', C2];
    const ping = spawn('ip', words, { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    ping.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    for (let round = 0; round < 10; round++) {
      expect(await (round % 2 === 0 ? responder : older).attach(target, NETWORK)).to.equal(true);
      segment.c1.ip('neighbour', 'flush', 'dev', 'eth0', 'nud', 'all');
    }
    await once(ping, 'close');
    expect(said).to.include('100 packets transmitted, 100 received');
    expect(filters(segment.c1).match(/lanius-arp/g)).to.have.length(1);
  });

  it('sweeps the pins of older versions and those that a killed daemon left half made', async () => {
    await responder.attach(targetOf(segment.c1), NETWORK);
    const [current = ''] = readdirSync(segment.pinFolder);
    await segment.closeResponders();
    mkdirSync(join(segment.pinFolder, 'arp-00000000'));
    mkdirSync(join(segment.pinFolder, `${current}-unfinished-1`));
    const next = segment.responder();
    expect(await next.attached(targetOf(segment.c1), NETWORK_ID)).to.equal(true);
    expect(readdirSync(segment.pinFolder)).to.deep.equal([current]);
  });

  it('leaves no pins of an older version where no network has a responder', async () => {
    await responder.attach(targetOf(segment.c1), NETWORK);
    const [current = ''] = readdirSync(segment.pinFolder);
    await segment.closeResponders();
    execFileSync('mv', [join(segment.pinFolder, current), join(segment.pinFolder, 'arp-00000000')]);
    const next = segment.responder();
    expect(await next.settle([NETWORK_ID])).to.deep.equal([]);
    expect(await next.standing()).to.deep.equal({ networkIds: [], pins: ['arp-00000000'] });
    expect(await next.settle([])).to.deep.equal([]);
    expect(await next.standing()).to.deep.equal({ networkIds: [], pins: [] });
  });

  it('makes a new set if a pin is missing', async () => {
    const target = targetOf(segment.c1);
    await responder.attach(target, NETWORK);
    const [current = ''] = readdirSync(segment.pinFolder);
    await segment.closeResponders();
    execFileSync('rm', [join(segment.pinFolder, current, 'answers')]);
    const next = segment.responder();
    expect(await next.attached(target, NETWORK_ID)).to.equal(false);
    expect(coldPing(segment.c1, C2)).to.have.length(1);
    expect(await next.attach(target, NETWORK)).to.equal(true);
    expect(readdirSync(join(segment.pinFolder, current))).to.have.members([
      'answers',
      'leased',
      'networks',
      'program',
    ]);
  });

  it('works without pins, and the next daemon then replaces filter and maps', async () => {
    const nowhere = '/proc/lanius-nowhere/pins';
    const target = targetOf(segment.c1);
    await segment.attachAndKill(segment.c1, nowhere);
    const wire = await Capture.start(segment.wire, 'up1');
    expect(coldPing(segment.c1, C2)).to.have.length(1);
    expect(questions(await wire.stop())).not.to.include(`who-has ${C2}`);

    const unpinned = segment.responder(nowhere);
    expect(await unpinned.attach(target, NETWORK)).to.equal(true);
    const standing = await unpinned.standing();
    expect(standing).to.deep.include({ networkIds: [NETWORK_ID], pins: [] });
    expect(standing.unpinned).to.include('/proc/lanius-nowhere');
    expect(await unpinned.settle([])).to.deep.equal([NETWORK_ID]);
  });

  it('forgets networks that are gone, and leaves nothing behind with the last', async () => {
    const other = { networkId: 'ef'.repeat(32), plan: PLAN };
    const before = openObjects().length;
    await responder.attach(targetOf(segment.c1), NETWORK);
    await responder.plan(other);
    expect(await responder.settle([NETWORK_ID])).to.deep.equal([other.networkId]);
    expect(await responder.settle([NETWORK_ID])).to.deep.equal([]);
    expect(coldPing(segment.c1, C2)).to.have.length(1);
    expect(await responder.settle([])).to.deep.equal([NETWORK_ID]);
    expect(existsSync(segment.pinFolder)).to.equal(false);
    // a filter that is still there lets everything pass
    expect(coldPing(segment.c1, C2)).to.have.length(1);
    expect(openObjects().length).to.equal(before);
  });

  // Against a look at the same link, in turns with it: user-mode Linux is several times slower than other kernels.
  it('costs a further container a few looks at its link', async () => {
    await responder.attach(targetOf(segment.c1), NETWORK);
    const target = targetOf(segment.c2);
    const attach: number[] = [];
    const look: number[] = [];
    for (let round = 0; round < 15; round++) {
      const start = performance.now();
      expect(await responder.attach(target, NETWORK)).to.equal(true);
      const attached = performance.now();
      expect(await responder.attached(target, NETWORK_ID)).to.equal(true);
      look.push(performance.now() - attached);
      attach.push(attached - start);
      await responder.detach(target);
    }
    const ratio = Math.min(...attach) / Math.min(...look);
    console.log(`      ${Math.min(...attach).toFixed(2)} ms at best, ${ratio.toFixed(1)} looks`);
    expect(ratio).to.be.below(3);
  });

  it('says what the verifier has against a program', () => {
    const loop = Buffer.from('0500ffff000000009500000000000000', 'hex');
    expect(() => programLoad('endless', loop)).to.throw(
      KernelError,
      /load BPF program endless: EINVAL.*insn/,
    );
  });
});
