import { expect } from 'chai';
import { daemonPid } from '../support/daemon-log.ts';
import { etcdCount, writtenKeys } from '../support/etcd-count.ts';
import { exact, flatLab, IMAGE, leases, removeAll } from '../support/flat.ts';
import { hostPid } from '../support/host-pid.ts';
import type { Lab } from '../support/lab.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { straceOf } from '../support/strace.ts';

const RUNS = 10;
const WORDS = ['--network', 'flat', IMAGE];
/** New processes, new threads, and what the daemon surely does meanwhile: to see that something is seen at all. */
const NEW = ['execve', 'execveat', 'fork', 'vfork', 'clone', 'clone3'];
const SURE = ['write', 'writev', 'epoll_wait', 'epoll_pwait'];

describe('e2e/hot path of a container, on three engines', function () {
  this.timeout(180_000);
  let lab: Lab;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab', 'strace');
    // Reconciliation reads too, for some seconds after the engine's start and then at its interval, and the session does
    // at every third of its TTL.
    const config = { reconcile: { intervalSeconds: 3600 }, session: { ttlSeconds: 600 } };
    lab = await flatLab({ subnet: '10.77.36.0/24', gateway: '10.77.36.1', config });
    for (const machine of lab.machines) await machine.docker('run', '--rm', ...WORDS, 'true');
  });
  after(() => lab?.down());

  it('spawns no process', async () => {
    await Promise.all(
      lab.machines.map(async (machine) => {
        const strace = await straceOf(hostPid(machine, await daemonPid(machine)), [...NEW, ...SURE]);
        await machine.docker('run', '--rm', ...WORDS, 'true');
        const calls = await strace.stop();
        expect(calls.filter((line) => /\b(writev?|epoll_p?wait)\(/.test(line))).to.not.have.length(0);
        const processes = calls.filter(
          (line) => /\b(execve|execveat|v?fork|clone3?)\(/.test(line) && !line.includes('CLONE_THREAD'),
        );
        expect(processes, machine.engine).to.deep.equal([]);
      }),
    );
  });

  const silence = (): Promise<unknown> =>
    until(
      'nobody to read from etcd for 2 s',
      async () => {
        const { range } = await etcdCount(lab);
        await new Promise((resolve) => setTimeout(resolve, 2000));
        return (await etcdCount(lab)).range === range;
      },
      { timeoutMs: 60_000 },
    );

  it('waits for one transaction of etcd and reads nothing; the holder is noted later', async () => {
    await silence();
    for (const machine of lab.machines) {
      const before = await etcdCount(lab);
      const began = performance.now();
      for (let i = 0; i < RUNS; i += 1) await machine.docker('run', '-d', ...WORDS, 'sleep', '100000');
      const ran = await etcdCount(lab);
      expect(ran.range - before.range, machine.engine).to.equal(0);
      await until('every lease to know its container', async () => {
        const rows = await leases(machine, ['--host', machine.name]);
        return rows.length === RUNS && rows.every(({ state }) => state === 'bound');
      });
      const started = await etcdCount(lab);
      // Made by one transaction and changed by one more; the gateway's was never changed.
      const made = (await writtenKeys(lab, '/lanius/v1/leases/')).filter(({ version }) => version > 1);
      expect(made.map(({ version }) => version)).to.deep.equal(Array.from({ length: RUNS }, () => 2));
      const takes = new Set(made.map(({ createRevision }) => createRevision)).size;
      const notes = new Set(made.map(({ modRevision }) => modRevision)).size;
      expect(takes).to.equal(RUNS);
      // A note may have gone with the next container's own transaction. There are no others.
      const all = new Set(made.flatMap(({ createRevision, modRevision }) => [createRevision, modRevision]));
      // But for reads of which addresses are free: one, good for 256 of them and for 10 s.
      const looks = started.txn - before.txn - all.size;
      const seconds = (performance.now() - began) / 1000;
      expect(looks, machine.engine).to.be.within(0, 1 + Math.ceil(seconds / 10));

      await removeAll(machine);
      await exact(machine);
      const ended = await etcdCount(lab);
      expect(ended.txn - started.txn).to.be.within(1, RUNS);
      console.log(
        `      ${machine.engine}: ${RUNS} containers: ${takes} transactions to take, ${notes} to note, ` +
          `${ended.txn - started.txn} to release; ${ran.range - before.range} reads`,
      );
    }
  });
});
