import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import {
  containerOf,
  crashLab,
  exactSince,
  expectKept,
  leaseRevisions,
  type Pings,
  pingAll,
  runQuick,
} from '../support/crash.ts';
import { daemonLog } from '../support/daemon-log.ts';
import { writeAndCompact } from '../support/etcd-compaction.ts';
import { IMAGE, labConfig, leases, running, startMany } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { need } from '../support/require.ts';

/** How long etcd is away; the promise is about ten minutes. */
const OUTAGE_MS = Number(process.env['OUTAGE_SECONDS'] ?? 600) * 1000;
const RELEASES = 50;
const SURVIVORS = 5;
/** So many transactions of others come between what the daemon knew and its return. */
const WRITES = 5000;

describe(`outage/etcd away for ${OUTAGE_MS / 1000} s, with ${RELEASES} releases and a crash of the daemon`, function () {
  this.timeout(OUTAGE_MS + 300_000);
  let lab: Lab;
  let machine: Machine;
  let survivors: string[];
  let revisions: Map<string, number>;
  let pings: Pings;
  let awayAt = 0;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await crashLab({ lab: { machines: [{ name: 'h1', engine: '28.5' }], etcd: true } });
    machine = lab.machine('h1');
    await machine.startLanius(labConfig(lab));
    for (const prefix of ['a', 'b']) {
      const said = await startMany(machine, RELEASES / 2, prefix);
      expect(said.filter(({ status }) => status !== 0)).to.deep.equal([]);
    }
    for (let n = 1; n <= SURVIVORS; n += 1) await runQuick(machine, `s${n}`);
    await exactSince(machine, performance.now());
    survivors = (await running(machine)).filter(({ name }) => name.startsWith('s')).map(({ ip }) => ip);
    revisions = await leaseRevisions(lab);
    pings = await pingAll(
      lab.outside,
      survivors.map((ip) => [ip, 200]),
    );
    await lab.etcd.kill();
    awayAt = performance.now();
  });
  after(() => lab?.down());

  const remove = (prefix: string): Promise<string> =>
    machine.sh(`docker rm -f $(docker ps -aq --filter name=^${prefix}) >/dev/null`, { timeoutMs: 120_000 });
  const onDisk = async (): Promise<number> =>
    Number(await machine.sh('find /var/lib/lanius/releases -type f | wc -l'));

  it('removes containers as always, and keeps what etcd is to be told on disk, over a crash', async () => {
    await remove('a');
    expect(await onDisk()).to.be.at.least(1);
    await machine.restartLanius('SIGKILL');
    await remove('b');
    await sleep(2000); // a release waits for etcd for a moment before it goes to disk
    console.log(`      ${await onDisk()} files of releases on disk`);
    expect(await running(machine)).to.have.length(SURVIVORS);
  });

  it('refuses new containers meanwhile', async () => {
    const { status, stderr } = await machine.tryDocker('run', '--rm', '--network', 'flat', IMAGE, 'true');
    expect(status).to.equal(125);
    expect(stderr).to.match(/etcd .*does not answer/);
  });

  it('is exact within 10 s of the return of etcd, which was compacted and is far ahead', async () => {
    await sleep(Math.max(0, awayAt + OUTAGE_MS - performance.now()));
    const compacted = await writeAndCompact(lab, WRITES);
    const awaySeconds = Math.round((performance.now() - awayAt) / 1000);
    const back = performance.now();
    await lab.etcd.start();
    const tookMs = await exactSince(machine, back);
    expect((await leases(machine)).map(({ address }) => address).sort()).to.deep.equal([...survivors].sort());
    await expectKept(lab, revisions, survivors);
    console.log(
      `      etcd was away for ${awaySeconds} s and is compacted to revision ${compacted}; ` +
        `exact ${tookMs} ms after its start`,
    );
    expect(await onDisk()).to.equal(0);
  });

  it('goes on as before: containers start, nobody has lost a packet or a lease', async () => {
    await runQuick(machine, 'next');
    const { ip } = await containerOf(machine, 'next');
    expect(survivors).not.to.include(ip);
    console.log(`      ${await pings.expectNoLoss()} packets to ${SURVIVORS} containers, 0 lost`);
    await expectKept(lab, revisions, survivors);
    const internal = (await daemonLog(machine)).filter(({ code, err }) =>
      [code, err?.code].includes('internal'),
    );
    expect(internal).to.deep.equal([]);
  });
});
