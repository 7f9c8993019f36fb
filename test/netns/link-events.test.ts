/** `LinkEvents` against the real kernel: the thread listens in a namespace of the test's. */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import type { Worker } from 'node:worker_threads';
import { expect } from 'chai';
import { type Logger, silentLogger } from '../../core/log.ts';
import type { KernelEvent } from '../../net/event-types.ts';
import { KernelWorker } from '../../net/kernel-worker.ts';
import { LinkEvents, startEventWorker } from '../../net/link-events.ts';
import { KernelShaping } from '../../net/shaping/kernel-shaping.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { run } from '../support/run.ts';
import { TestNamespace } from './namespace.ts';

const ENDPOINT = 'ab'.repeat(32);
const ALIAS = `lanius:${ENDPOINT}`;

describe('net/link-events', () => {
  let home: TestNamespace;
  let sandbox: TestNamespace;
  let listening: LinkEvents;
  let worker: Worker | undefined;
  let heard: KernelEvent[];

  before(function () {
    need(this, 'root', 'netns');
  });

  beforeEach(async () => {
    home = new TestNamespace();
    home.addUplink('up0', 'up1');
    sandbox = new TestNamespace();
    heard = [];
    listening = open(home.path);
    listening.onEvents((events) => heard.push(...events));
    listening.start();
    await until('it listens', () => heard.length > 0);
    expect(heard.splice(0)).to.deep.equal([{ kind: 'resync', lost: 'all' }]);
  });

  afterEach(async () => {
    await listening.close();
    sandbox.remove();
    home.remove();
  });

  function open(namespacePath: string, log: Logger = silentLogger): LinkEvents {
    return new LinkEvents(
      { namespacePath },
      {
        log,
        startWorker: (options) => {
          worker = startEventWorker(options);
          return worker;
        },
      },
    );
  }

  /** A marked macvlan of the home namespace, moved into the sandbox. @returns its nsid and index there */
  async function moveIn(): Promise<{ nsid: number; linkIndex: number }> {
    home.ip('link', 'add', 'ln0', 'link', 'up0', 'type', 'macvlan', 'mode', 'bridge');
    home.ip('link', 'set', 'ln0', 'alias', ALIAS);
    home.ip('link', 'set', 'ln0', 'netns', sandbox.name);
    const gone = await next((event) => event.kind === 'link-gone' && event.movedTo !== undefined);
    if (gone.kind !== 'link-gone' || gone.movedTo === undefined) throw new Error('not moved');
    expect(gone).to.include({ name: 'ln0', alias: ALIAS });
    return gone.movedTo;
  }

  function addLink(name: string): void {
    home.ip('link', 'add', name, 'link', 'up0', 'type', 'macvlan', 'mode', 'bridge');
  }

  function next(wanted: (event: KernelEvent) => boolean): Promise<KernelEvent> {
    return until('the event', () => heard.find(wanted), { timeoutMs: 3000, intervalMs: 5 });
  }

  it('tells where a marked link went, that it is up there, and what is done to it', async () => {
    const place = await moveIn();
    const arrived = await next((event) => event.kind === 'link' && event.nsid === place.nsid);
    expect(arrived).to.deep.include({ kind: 'link', nsid: place.nsid });
    heard.splice(0);
    sandbox.ip('link', 'set', 'ln0', 'name', 'eth0');
    sandbox.ip('addr', 'add', '10.9.0.7/24', 'dev', 'eth0');
    sandbox.ip('link', 'set', 'eth0', 'up');
    const up = await next((event) => event.kind === 'link' && event.link.up);
    expect(up.kind === 'link' && up.link).to.deep.include({
      name: 'eth0',
      alias: ALIAS,
      linkIndex: place.linkIndex,
    });
    expect(heard).to.deep.include({ kind: 'address', ...place, gone: false });
    heard.splice(0);
    sandbox.ip('link', 'set', 'eth0', 'address', '02:4c:0a:09:00:07');
    const changed = await next((event) => event.kind === 'link');
    expect(changed.kind === 'link' && changed.link.macAddress).to.equal('02:4c:0a:09:00:07');
    sandbox.ip('addr', 'flush', 'dev', 'eth0');
    await next((event) => event.kind === 'address' && event.gone);
    expect(heard).to.deep.include({ kind: 'address', ...place, gone: true });
  });

  it('says nothing of other links in other namespaces, nor of their making neighbours', async () => {
    const place = await moveIn();
    sandbox.ip('link', 'add', 'other0', 'type', 'veth', 'peer', 'name', 'other1');
    sandbox.ip('link', 'set', 'ln0', 'up');
    await next((event) => event.kind === 'link' && event.link.up);
    expect(heard.some((event) => event.kind === 'link' && event.link.name.startsWith('other'))).to.equal(
      false,
    );
    expect(heard.filter((event) => event.kind === 'neighbours')).to.deep.equal([]);
    heard.splice(0);
    sandbox.ip('neigh', 'add', '10.9.0.9', 'lladdr', '02:4c:0a:09:00:09', 'dev', 'ln0', 'nud', 'permanent');
    expect(await next((event) => event.kind === 'neighbours')).to.deep.equal({
      kind: 'neighbours',
      ...place,
    });
  });

  it('tells once of a flush of 2,000 neighbour entries, and not of those that the kernel wipes', async () => {
    const place = await moveIn();
    sandbox.ip('addr', 'add', '10.9.0.7/16', 'dev', 'ln0');
    sandbox.ip('link', 'set', 'ln0', 'up');
    const lines = Array.from(
      { length: 2000 },
      (_, n) => `neigh add 10.9.${8 + (n >> 8)}.${n & 255} lladdr 02:4c:00:00:00:01 dev ln0 nud permanent`,
    );
    const load = () =>
      run(['ip', '-n', sandbox.name, '-batch', '-'], { input: `${lines.join('\n')}\n`, timeoutMs: 10_000 });
    expect((await load()).status).to.equal(0);
    await next((event) => event.kind === 'neighbours');
    await settled();
    heard.splice(0);
    sandbox.ip('neigh', 'flush', 'all', 'nud', 'permanent');
    await next((event) => event.kind === 'neighbours');
    await settled();
    const told = heard.filter((event) => event.kind === 'neighbours' || event.kind === 'resync');
    expect(told.length, 'merged').to.be.below(200);
    expect(told).to.deep.include({ kind: 'neighbours', ...place });
    expect((await load()).status).to.equal(0);
    await settled();
    heard.splice(0);
    sandbox.ip('link', 'set', 'ln0', 'down');
    await next((event) => event.kind === 'link' && !event.link.up);
    await settled();
    expect(heard.filter((event) => event.kind === 'neighbours')).to.deep.equal([]);
  });

  it('tells of links of its own namespace that come, go down and vanish', async () => {
    const host: string[] = [];
    const stop = listening.onHostLink((event) => {
      if (event.kind === 'link') host.push(`${event.link.name} ${event.link.up ? 'up' : 'down'}`);
      if (event.kind === 'link-gone') host.push(`${event.name} gone`);
    });
    addLink('new0');
    await until('new', () => host.includes('new0 down'));
    home.ip('link', 'set', 'new0', 'up');
    await until('up', () => host.includes('new0 up'));
    home.ip('link', 'del', 'new0');
    await until('gone', () => host.includes('new0 gone'));
    stop();
    const count = host.length;
    addLink('new1');
    await next((event) => event.kind === 'link' && event.link.name === 'new1');
    expect(host).to.have.length(count);
  });

  it('tells of a filter that somebody removed in the sandbox', async () => {
    const place = await moveIn();
    sandbox.ip('link', 'set', 'ln0', 'up');
    const tc = (...words: string[]) => run(['tc', '-n', sandbox.name, ...words]);
    expect((await tc('qdisc', 'add', 'dev', 'ln0', 'clsact')).status).to.equal(0);
    expect((await tc('qdisc', 'del', 'dev', 'ln0', 'clsact')).status).to.equal(0);
    const told = await next((event) => event.kind === 'traffic-control');
    expect(told).to.deep.equal({ kind: 'traffic-control', ...place });
  });

  it('tells of a qdisc that somebody changed in the sandbox, and not of what this process writes', async () => {
    const place = await moveIn();
    sandbox.ip('link', 'set', 'ln0', 'up');
    const worker = new KernelWorker({ namespacePath: home.path }, { log: silentLogger });
    const shaping = new KernelShaping(worker);
    const at = { at: 'sandbox', namespacePath: sandbox.path, linkIndex: place.linkIndex } as const;
    const shape = { rateBitsPerSecond: 1e6, burstBytes: 15_140, limitBytes: 30_000 };
    await shaping.supported();
    await settled();
    heard.splice(0);
    expect((await shaping.apply(at, { in: shape, out: shape }))?.mended).to.have.length(4);
    await settled();
    const of = (event: KernelEvent): boolean => 'nsid' in event && event.nsid === place.nsid;
    // But for the ifb, which is told of as it is made: up.
    expect(heard.filter(of).map((event) => event.kind === 'link' && event.link.up)).to.satisfy(
      (ups: boolean[]) => ups.every((up) => up),
    );
    heard.splice(0);
    const words = 'qdisc change dev ln0 root handle 4c00: tbf rate 2mbit burst 20k limit 30k'.split(' ');
    expect((await run(['tc', '-n', sandbox.name, ...words])).status).to.equal(0);
    expect(await next(of)).to.deep.equal({ kind: 'traffic-control', ...place });
    heard.splice(0);
    sandbox.ip('link', 'set', `lnin${place.linkIndex}`, 'down');
    const down = await next(of);
    expect(down.kind === 'link' && down.link).to.include({ alias: 'lanius:ifb', up: false });
    await worker.close();
  });

  it('tells of a link that somebody made upon ours in the sandbox', async () => {
    const place = await moveIn();
    sandbox.ip('link', 'set', 'ln0', 'up');
    await settled();
    heard.splice(0);
    sandbox.ip('link', 'add', 'link', 'ln0', 'name', 'around0', 'type', 'macvlan', 'mode', 'bridge');
    const told = await next((event) => event.kind === 'link' && event.nsid === place.nsid);
    expect(told.kind === 'link' && told.link).to.include({ name: 'around0', kind: 'macvlan' });
  });

  it('keeps no namespace alive: a MAC address of there is soon free again', async () => {
    await moveIn();
    sandbox.ip('link', 'set', 'ln0', 'address', '02:4c:0a:09:00:07', 'up');
    addLink('new0');
    home.ip('link', 'set', 'new0', 'up');
    const take = () => home.ip('link', 'set', 'new0', 'address', '02:4c:0a:09:00:07');
    expect(take).to.throw('Address already in use');
    sandbox.remove();
    await until('the address is free', () => take() === '');
  });

  it('hears a storm of 10,000 links made and deleted without growing, then goes on', async function () {
    this.timeout(60_000);
    let mostEvents = 0;
    let batches = 0;
    listening.onEvents((events) => {
      batches++;
      mostEvents = Math.max(mostEvents, events.length);
      heard.splice(0);
    });
    const rssBefore = process.memoryUsage().rss;
    const lines = storm(100, 100);
    const done = await run(['ip', '-n', home.name, '-batch', '-'], {
      input: `${lines.join('\n')}\n`,
      timeoutMs: 55_000,
    });
    expect(done.stderr).to.equal('');
    expect(mostEvents).to.be.at.most(600);
    const grownMb = (process.memoryUsage().rss - rssBefore) / 2 ** 20;
    console.log(`      ${batches} batches, largest ${mostEvents} events, RSS +${grownMb.toFixed(1)} MiB`);
    expect(grownMb).to.be.below(40);
    let last: KernelEvent[] = [];
    listening.onEvents((events) => {
      last = [...last, ...events];
    });
    addLink('after0');
    await until('it still hears', () => last.some((e) => e.kind === 'link' && e.link.name === 'after0'));
  });

  it('says that events were lost if nobody took them, and stays small', async function () {
    this.timeout(60_000);
    const rssBefore = process.memoryUsage().rss;
    // Nothing of this process runs meanwhile.
    execFileSync('ip', ['-n', home.name, '-batch', '-'], { input: storm(200, 50).join('\n') });
    await until('a resync', () => heard.find((event) => event.kind === 'resync'));
    const grownMb = (process.memoryUsage().rss - rssBefore) / 2 ** 20;
    console.log(`      ${heard.length} events were told, RSS +${grownMb.toFixed(1)} MiB`);
    expect(heard.length).to.be.below(10_000);
    expect(grownMb).to.be.below(40);
    addLink('after0');
    await next((event) => event.kind === 'link' && event.link.name === 'after0');
  });

  it('starts anew after its thread has died, and tells a resync', async () => {
    await worker?.terminate();
    await until('a resync', () => heard.find((event) => event.kind === 'resync'), { timeoutMs: 5000 });
    expect(listening.failure).to.equal(undefined);
    addLink('new0');
    await next((event) => event.kind === 'link' && event.link.name === 'new0');
  });

  it('ends at once and leaves no file open', async () => {
    const openFiles = readdirSync('/proc/self/fd').length;
    const second = open(home.path);
    let ready = false;
    second.onEvents(() => {
      ready = true;
    });
    second.start();
    await until('ready', () => ready);
    const from = performance.now();
    await second.close();
    expect(performance.now() - from).to.be.below(500);
    expect(readdirSync('/proc/self/fd').length).to.be.at.most(openFiles);
    await second.close();
  });

  it('says why it hears nothing, once, and goes on trying', async () => {
    const errors: string[] = [];
    const log: Logger = { ...silentLogger, child: () => log, error: (message) => errors.push(message) };
    const lost = open('/run/netns/lnt-none', log);
    lost.start();
    await until('the failure', () => lost.failure !== undefined);
    expect(lost.failure?.message).to.include('is no network namespace');
    expect(errors).to.have.length(1);
    await lost.close();
  });

  /** Marked links made and, all of one round at once, deleted. */
  function storm(rounds: number, links: number): string[] {
    return Array.from({ length: rounds }, () => [
      ...Array.from(
        { length: links },
        (_, n) => `link add link up0 name st${n} group 7 type macvlan mode bridge`,
      ),
      ...Array.from({ length: links }, (_, n) => `link set st${n} alias lanius:x${n}`),
      'link del group 7',
    ]).flat();
  }

  async function settled(): Promise<void> {
    for (let count = -1; count !== heard.length; ) {
      count = heard.length;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
});
