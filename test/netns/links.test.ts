/** `KernelLinks` against the real kernel, each test in a network namespace of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { InternalError, NotFound } from '../../core/errors.ts';
import { silentLogger } from '../../core/log.ts';
import { KernelWorker } from '../../net/kernel-worker.ts';
import { KernelLinks } from '../../net/links.ts';
import { failure, SPEC, useKernelLinks } from './kernel-links.ts';
import { TestNamespace } from './namespace.ts';

/** Makes links as fast as it can. */
const MAKER = fileURLToPath(new URL('./link-maker.js', import.meta.url));

/** Tries again until it does not throw. */
async function eventually(act: () => unknown, timeoutMs = 5000): Promise<void> {
  const until = Date.now() + timeoutMs;
  for (;;) {
    try {
      act();
      return;
    } catch (error) {
      if (Date.now() > until) throw error;
      await delay(20);
    }
  }
}

describe('net/links', () => {
  const bench = useKernelLinks();

  describe('linkGet, linkList, linkDelete', () => {
    it('finds a link, lists it and deletes it', async () => {
      const made = await bench.links.macvlanAdd(SPEC);
      expect(await bench.links.linkGet(SPEC.name)).to.deep.equal(made);
      expect((await bench.links.linkList()).map(({ name }) => name)).to.have.members([
        'lo',
        'up0',
        'up1',
        SPEC.name,
      ]);
      expect(await bench.links.linkDelete(SPEC.name)).to.equal(true);
      expect(await bench.links.linkGet(SPEC.name)).to.equal(undefined);
      expect(bench.namespace.link(SPEC.name)).to.equal(undefined);
    });

    it('takes the deletion of nothing as done', async () => {
      expect(await bench.links.linkDelete('ln-nothing')).to.equal(false);
      expect(await bench.links.linkDelete('a-name-too-long-for-a-link')).to.equal(false);
      expect(await bench.links.linkGet('a-name-too-long-for-a-link')).to.equal(undefined);
    });

    it('finds a link by its alternative name but does not delete by it', async () => {
      bench.namespace.ip('link', 'property', 'add', 'dev', 'up1', 'altname', 'enp0s1');
      expect(await bench.links.linkGet('enp0s1')).to.include({ name: 'up1' });
      expect(await bench.links.linkDelete('enp0s1')).to.equal(false);
      expect(bench.namespace.link('up1')).not.to.equal(undefined);
    });

    it('says of each link whether it is up and has carrier', async () => {
      expect(await bench.links.linkGet('up0')).to.include({ kind: 'veth', up: true, carrier: true });
      bench.namespace.ip('link', 'set', 'up1', 'down');
      expect(await bench.links.linkGet('up0')).to.include({ up: true, carrier: false });
      expect(await bench.links.linkGet('lo')).to.include({ up: false, mtuBytes: 65536 });
    });
  });

  describe('linkListIn', () => {
    it('lists the links of another namespace and comes home', async () => {
      const other = new TestNamespace();
      try {
        other.addUplink('far0', 'far1');
        await bench.links.macvlanAdd(SPEC);
        bench.namespace.ip('link', 'set', SPEC.name, 'netns', other.name);
        const found = await bench.links.linkListIn(other.path);
        expect(found?.map(({ name }) => name)).to.have.members(['lo', 'far0', 'far1', SPEC.name]);
        const moved = found?.find(({ name }) => name === SPEC.name);
        expect(moved).to.include({ macAddress: SPEC.macAddress, alias: SPEC.alias });
        expect(moved).not.to.have.property('parentIndex');
        expect((await bench.links.linkList()).map(({ name }) => name)).to.have.members(['lo', 'up0', 'up1']);
      } finally {
        other.remove();
      }
    });

    it('does not keep the namespace alive: its MAC address is soon free again', async () => {
      const other = new TestNamespace();
      try {
        await bench.links.macvlanAdd(SPEC);
        bench.namespace.ip('link', 'set', SPEC.name, 'netns', other.name);
        other.ip('link', 'set', SPEC.name, 'up');
        expect(await bench.links.linkListIn(other.path)).to.have.length(2);
        await bench.links.macvlanAdd(SPEC);
        expect(() => bench.namespace.ip('link', 'set', SPEC.name, 'up')).to.throw('Address already in use');
      } finally {
        other.remove();
      }
      await eventually(() => bench.namespace.ip('link', 'set', SPEC.name, 'up'));
    });

    it('knows nothing of a namespace that is gone or never was one', async () => {
      const other = new TestNamespace();
      other.remove();
      expect(await bench.links.linkListIn(other.path)).to.equal(undefined);
      expect(await bench.links.linkListIn('/proc/self/status')).to.equal(undefined);
      expect(await bench.links.linkListIn('/proc/self/ns/uts')).to.equal(undefined);
      expect(await bench.links.linkListIn('/etc/hostname/x')).to.equal(undefined);
    });

    it('leaves the threads of the process and its open files as they were', async () => {
      const home = readlinkSync('/proc/self/ns/net');
      await bench.links.linkListIn(bench.namespace.path);
      const openFiles = readdirSync('/proc/self/fd').length;
      for (let i = 0; i < 20; i++) await bench.links.linkListIn(bench.namespace.path);
      await bench.links.probe();
      expect(readdirSync('/proc/self/fd').length).to.equal(openFiles);
      const elsewhere = readdirSync('/proc/self/task').filter(
        (thread) => readlinkSync(`/proc/self/task/${thread}/ns/net`) !== home,
      );
      expect(elsewhere, 'only the kernel worker, which was told to').to.have.length(1);
    });
  });

  describe('many requests', () => {
    it('makes and deletes 200 links that are asked for at once', async () => {
      const specs = Array.from({ length: 200 }, (_, i) => ({
        ...SPEC,
        name: `ln${i}`,
        macAddress: `02:4c:0a:01:00:${i.toString(16).padStart(2, '0')}`,
        alias: `lanius:${i}`,
      }));
      const made = await Promise.all(specs.map((spec) => bench.links.macvlanAdd(spec)));
      expect(made.map(({ name, alias, macAddress }) => ({ name, alias, macAddress }))).to.deep.equal(
        specs.map(({ name, alias, macAddress }) => ({ name, alias, macAddress })),
      );
      expect(await bench.links.linkList()).to.have.length(203);
      const deleted = await Promise.all(specs.map(({ name }) => bench.links.linkDelete(name)));
      expect(deleted.every(Boolean)).to.equal(true);
      expect(bench.namespace.links()).to.have.length(3);
    });

    it('executes them in the order of the calls', async () => {
      const answers = await Promise.all([
        bench.links.linkGet(SPEC.name),
        bench.links.macvlanAdd(SPEC),
        bench.links.linkGet(SPEC.name),
        bench.links.linkDelete(SPEC.name),
        bench.links.linkGet(SPEC.name),
      ]);
      expect(answers.map((answer) => (typeof answer === 'object' ? answer.name : answer))).to.deep.equal([
        undefined,
        SPEC.name,
        SPEC.name,
        true,
        undefined,
      ]);
    });

    it('lets one failure not touch the others', async () => {
      const settled = await Promise.allSettled([
        bench.links.macvlanAdd({ ...SPEC, parent: 'eth9' }),
        bench.links.macvlanAdd(SPEC),
        bench.links.macvlanAdd({ ...SPEC, name: 'up0' }),
        bench.links.linkDelete(SPEC.name),
      ]);
      expect(settled.map(({ status }) => status)).to.deep.equal([
        'rejected',
        'fulfilled',
        'rejected',
        'fulfilled',
      ]);
    });
  });

  describe('deletions', () => {
    it('do not keep a link from being made, unless it has the same name', async () => {
      const names = Array.from({ length: 10 }, (_, n) => `del${n}`);
      await Promise.all(
        names.map((name, n) => bench.links.macvlanAdd({ ...SPEC, name, macAddress: `02:4c:00:00:01:0${n}` })),
      );
      const order: string[] = [];
      const noted = (what: string, work: Promise<unknown>) => work.then(() => order.push(what));
      await Promise.all([
        ...names.map((name) => noted(name, bench.links.linkDelete(name))),
        noted('same', bench.links.macvlanAdd({ ...SPEC, name: 'del9', macAddress: '02:4c:00:00:01:09' })),
        noted('other', bench.links.macvlanAdd(SPEC)),
      ]);
      expect(order.indexOf('other')).to.be.below(2);
      expect(order.indexOf('same')).to.be.above(order.indexOf('del9'));
      expect(await bench.links.linkGet('del9')).to.include({ name: 'del9' });
    });
  });

  describe('the worker', () => {
    it('fails the request under way when it dies, and is started anew for the others', async () => {
      await bench.links.linkList();
      // Long enough to be hit: it makes links of every kind.
      const underWay = failure(bench.links.probe());
      const waiting = Array.from({ length: 20 }, () => bench.links.linkList());
      await bench.worker?.terminate();
      const error = await underWay;
      expect(error).to.be.instanceOf(InternalError);
      expect(error.message).to.match(/^the kernel worker ended during probe .*outcome is unknown/);
      for (const links of await Promise.all(waiting)) expect(links).to.have.length(3);
    });

    it('finishes what was asked before close, and takes nothing afterwards', async () => {
      const added = bench.links.macvlanAdd(SPEC);
      const closed = bench.kernel.close();
      expect(await failure(bench.links.linkList())).to.be.instanceOf(InternalError);
      await closed;
      expect(await added).to.include({ name: SPEC.name });
      await bench.kernel.close();
    });

    it('closes without ever having been used', async () => {
      await new KernelWorker({}, { log: silentLogger }).close();
    });

    it('says so if its namespace does not exist', async () => {
      const lost = new KernelWorker({ namespacePath: '/run/netns/lnt-none' }, { log: silentLogger });
      const error = await failure(new KernelLinks(lost).linkList());
      expect(error).to.be.instanceOf(NotFound);
      expect(error.message).to.include('"/run/netns/lnt-none" is no network namespace');
      await lost.close();
    });
  });

  describe('a process that is killed', () => {
    it('never leaves a link without its mark', async () => {
      for (let round = 0; round < 6; round++) {
        const maker = spawn(process.execPath, [MAKER, bench.namespace.path, String(round)], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        const ended = once(maker, 'exit');
        await once(maker.stdout, 'data');
        await delay(20 + 7 * round);
        maker.kill('SIGKILL');
        await ended;
        const made = (await bench.links.linkList()).filter(({ kind }) => kind === 'macvlan');
        expect(made.length).to.be.greaterThan(round);
        expect(made.filter(({ alias }) => alias === undefined)).to.deep.equal([]);
      }
    });
  });

  describe('probe', () => {
    it('says what this kernel and process can do, and why not', async () => {
      const features = await bench.links.probe();
      expect(features).to.include({ netAdmin: true, sysAdmin: true });
      expect(features.linkKinds).to.include({ macvlan: true, veth: true, bridge: true });
      for (const finding of Object.values(features.linkKinds)) {
        if (finding !== true) expect(finding).to.match(/^Unknown device type\.? \(EOPNOTSUPP\)$/);
      }
      expect(bench.namespace.links()).to.have.length(3);
    });
  });
});
