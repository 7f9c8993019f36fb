import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { silentLogger } from '../../core/log.ts';
import { DockerEngine } from '../../engine/docker-engine.ts';
import {
  containerOf,
  crashLab,
  exactSince,
  expectKept,
  leaseRevisions,
  type Pings,
  pingAll,
  runQuick,
  SUBNET,
} from '../support/crash.ts';
import { daemonLog } from '../support/daemon-log.ts';
import * as lies from '../support/engine-lies.ts';
import { writtenKeys } from '../support/etcd-count.ts';
import { type Behaviour, FAULTY_SOCKET, FaultyEngine, truthful } from '../support/faulty-engine.ts';
import { createNetwork, IMAGE, labConfig, leases, running, startMany } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { need } from '../support/require.ts';

const CONTAINERS = 30;
const IDLE = { name: 'idle', subnet: '10.77.17.0/24', gateway: '10.77.17.1' };
/** Short, so that a few seconds are many times the grace and many runs. */
const RECONCILE = { intervalSeconds: 1, lookGapSeconds: 1, pendingGraceSeconds: 1 };
/** How long a fault lasts: three runs of the timer at least, each of two looks, long after the grace. */
const FAULT_MS = 5000;

interface Fault {
  readonly title: string;
  /** Absent: there is no socket. */
  readonly behaviour?: Behaviour;
  /** Connections under way break, as they do when an engine restarts. */
  readonly cut?: true;
  /** The daemon is killed and started while it lasts. */
  readonly restart?: true;
  /** What a network without containers becomes is not told: it looks removed. */
  readonly hidesNetworks?: true;
}

const FAULTS: readonly Fault[] = [
  { title: 'answers errors', behaviour: lies.errors, cut: true },
  { title: 'hangs', behaviour: lies.silence },
  { title: 'breaks off in the middle of its answers', behaviour: lies.torn, cut: true },
  { title: 'is absent', cut: true },
  { title: 'is absent, and the daemon is killed meanwhile', restart: true },
  { title: 'lies empty', behaviour: lies.listsAre([]) },
  { title: 'restarts and lies empty', behaviour: lies.listsAre([]), cut: true },
  { title: 'lies empty, and the daemon is killed meanwhile', behaviour: lies.listsAre([]), restart: true },
  { title: 'answers {} for lists', behaviour: lies.listsAre({}) },
  { title: 'answers null for lists', behaviour: lies.listsAre(null) },
  {
    title: 'shows its own networks only',
    behaviour: lies.onlyPredefined,
    restart: true,
    hidesNetworks: true,
  },
  { title: 'shows networks without containers', behaviour: lies.nobody },
  { title: 'the same, and the daemon is killed meanwhile', behaviour: lies.nobody, restart: true },
  {
    title: 'shows containers without networks',
    behaviour: lies.disconnected,
    cut: true,
    hidesNetworks: true,
  },
  {
    title: 'lies, is right, and answers errors in turn',
    behaviour: lies.inTurn(5, lies.listsAre([]), truthful, lies.nobody, lies.errors),
  },
];

describe('e2e/an engine that is not to be believed, under 30 living containers', function () {
  this.timeout(120_000);
  let lab: Lab;
  let machine: Machine;
  let engine: FaultyEngine;
  let ips: string[];
  let revisions: Map<string, number>;
  let holds: string;
  let pings: Pings;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await crashLab({ lab: { machines: [{ name: 'h1', engine: '28.5' }], etcd: true } });
    machine = lab.machine('h1');
    await createNetwork(machine, IDLE);
    const said = await startMany(machine, CONTAINERS - 1, 'l');
    expect(said.filter(({ status }) => status !== 0)).to.deep.equal([]);
    ips = (await running(machine)).map(({ ip }) => ip);
    pings = await pingAll(
      lab.outside,
      ips.map((ip) => [ip, 100]),
    );
    // One that has set its link down lives, too, and sets it up again when it likes.
    await runQuick(machine, 'down', '--cap-add', 'NET_ADMIN');
    await machine.docker('exec', 'down', 'ip', 'link', 'set', 'eth0', 'down');
    ips.push((await containerOf(machine, 'down')).ip);

    engine = await FaultyEngine.open(machine);
    await machine.stopLanius();
    await machine.startLanius(labConfig(lab, { docker: { socket: FAULTY_SOCKET }, reconcile: RECONCILE }));
    await exactSince(machine, performance.now());
    revisions = await leaseRevisions(lab);
    holds = await heldByNetworks();
  });
  after(async () => {
    await engine?.leave();
    lab?.down();
  });
  afterEach(async () => {
    engine.behave(truthful, true);
    await engine.return();
  });

  for (const { title, behaviour, cut, restart, hidesNetworks } of FAULTS) {
    it(`${title}: frees none of 30, and containers come and go`, async () => {
      if (behaviour === undefined) await engine.leave();
      else engine.behave(behaviour, cut);
      const began = performance.now();
      const naive = await naivelyFreed();
      if (restart) await machine.restartLanius('SIGKILL');

      await runQuick(machine, 'young');
      const young = (await containerOf(machine, 'young')).ip;
      const before = await runsOf(machine);
      let asked = 0;
      while (performance.now() - began < FAULT_MS || asked === 0) {
        await machine.tryLanius('reconcile');
        asked += 1;
        await sleep(200);
      }
      const runs = (await runsOf(machine)) - before;
      expect(runs).to.be.at.least(2);
      await expectKept(lab, revisions, ips);
      expect((await leaseRevisions(lab)).has(young), 'the lease of the one that came meanwhile').to.equal(
        true,
      );
      await machine.docker('exec', 'young', 'ping', '-c', '1', '-W', '5', SUBNET.gateway);
      await machine.docker('rm', '-f', 'young');
      expect((await leaseRevisions(lab)).has(young), 'the lease of the one that went').to.equal(false);

      engine.behave(truthful, true);
      await engine.return();
      await exactSince(machine, performance.now());
      await expectKept(lab, revisions, ips);
      if (!hidesNetworks) {
        expect(await heldByNetworks()).to.equal(holds);
        await machine.docker('run', '--rm', '--network', IDLE.name, IMAGE, 'true');
      } else {
        expect(ofFlat(await heldByNetworks())).to.deep.equal(ofFlat(holds));
        await machine.docker('network', 'rm', IDLE.name);
        await createNetwork(machine, IDLE);
        holds = await heldByNetworks();
      }
      console.log(
        `      ${runs} reconciliations, 0 of ${CONTAINERS} freed; one naive look would have freed ${naive.length}`,
      );
      expect(naive).to.have.length(CONTAINERS);
    });
  }

  it('nobody lost a packet meanwhile, and what the engine really ends is freed', async () => {
    console.log(`      ${await pings.expectNoLoss()} packets, 0 lost`);
    await expectKept(lab, revisions, ips);
    await machine.docker('exec', 'down', 'ip', 'link', 'set', 'eth0', 'up');
    await machine.sh('docker rm -f $(docker ps -aq) >/dev/null');
    await exactSince(machine, performance.now());
    expect(await leases(machine)).to.deep.equal([]);
  });

  /**
   * The rule of many a script: free is what the engine does not show now. Asked the same socket as the daemon; an
   * answer that does not come shows nothing.
   */
  async function naivelyFreed(): Promise<string[]> {
    const naive = new DockerEngine(
      { socketPath: engine.path, driverName: 'lanius' },
      { logger: silentLogger },
    );
    const [networks, containers] = await Promise.all([
      naive.networks(1000).catch(() => []),
      naive.containers(1000).catch(() => []),
    ]);
    const shown = [...networks, ...containers].flatMap(({ endpoints }) => endpoints.map(({ ipv4 }) => ipv4));
    const held = (await leaseAddresses()).filter((ip) => ips.includes(ip));
    return held.filter((ip) => !shown.includes(ip));
  }

  async function leaseAddresses(): Promise<string[]> {
    return [...(await leaseRevisions(lab)).keys()];
  }

  /** Pools, their use by this host, gateways: with when each was made. */
  async function heldByNetworks(): Promise<string> {
    const kept = await Promise.all(
      ['pools/', 'uses/', 'holds/'].map((folder) => writtenKeys(lab, `/lanius/v1/${folder}`)),
    );
    return kept
      .flat()
      .map(({ key, createRevision }) => `${key} ${createRevision}`)
      .join('\n');
  }

  function ofFlat(keys: string): string[] {
    return keys.split('\n').filter((key) => key.includes('/10.77.16.0-24'));
  }
});

/** Reconciliations that ended, since the lab was made. */
async function runsOf(machine: Machine): Promise<number> {
  return (await daemonLog(machine)).filter(({ msg }) => msg === 'reconciliation ended').length;
}
