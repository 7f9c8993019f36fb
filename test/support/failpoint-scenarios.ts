/**
 * How each failpoint is passed on a real engine: what is done before, the deed that the daemon dies of, and what must
 * be so afterwards beyond what holds for all of them. A failpoint without an entry here does not compile.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { FAILPOINT_NAMES, type Failpoint } from '../../core/failpoint.ts';
import { leaseRevisions, runQuick, SUBNET } from './crash.ts';
import { createNetwork, IMAGE, labConfig, running } from './flat.ts';
import type { Lab } from './lab.ts';
import type { Machine } from './machine.ts';
import { LabPluginSocket } from './plugin-socket.ts';
import { until } from './poll.ts';
import type { RunResult } from './run.ts';

export interface Scene {
  readonly lab: Lab;
  readonly machine: Machine;
  readonly name: Failpoint;
}

export interface Scenario {
  /** With a daemon that is not armed. The container `victim` runs. */
  readonly prepare?: (scene: Scene) => Promise<unknown>;
  /** Ends after the daemon has died, when the command has. */
  readonly deed: (scene: Scene) => Promise<RunResult>;
  /** When the daemon is dead and not yet back. */
  readonly mend?: (scene: Scene) => Promise<unknown>;
  /** Something of its own that the return must bring about, in the same time as the rest. */
  readonly returned?: (scene: Scene) => Promise<unknown>;
  /** The world is exact. */
  readonly confirm?: (scene: Scene, outcome: RunResult) => Promise<unknown>;
  /** `victim` is to be gone. */
  readonly removes?: true;
}

const RUN: Scenario = { deed: ({ machine }) => runDeed(machine) };
const REMOVE: Scenario = { deed: ({ machine }) => removeVictim(machine), removes: true };
const CREATE: Scenario = {
  deed: (scene) => tryCreate(scene),
  confirm: (scene, { status }) => useNetwork(scene, status !== 0),
};
const REMOVE_NETWORK: Scenario = {
  prepare: (scene) => createNetwork(scene.machine, networkOf(scene)),
  deed: (scene) => scene.machine.tryDocker('network', 'rm', networkOf(scene).name),
  confirm: (scene, { status }) => useNetwork(scene, status === 0),
};
/** The answer of etcd is lost, so that nobody knows whether it has the lease. */
const RUN_WITHOUT_ANSWER: Scenario = {
  deed: async ({ machine }) => {
    await runQuick(machine, 'next'); // it has read what a run needs
    await machine.docker('rm', '-f', 'next');
    await cutEtcd(machine);
    const run = runDeed(machine);
    await sleep(2000);
    await joinEtcd(machine);
    return run;
  },
  mend: ({ machine }) => joinEtcd(machine),
};

export const SCENARIOS: Readonly<Record<Failpoint, Scenario>> = {
  'lease.before-commit': RUN,
  'lease.after-commit': RUN,
  'session.before-bump': RUN_WITHOUT_ANSWER,
  'session.after-bump': RUN_WITHOUT_ANSWER,
  'warm.before-bind': {
    prepare: ({ lab, machine }) => machine.writeConfig(labConfig(lab, { ipam: { warmStock: 2 } })),
    deed: async ({ machine }) => {
      await runQuick(machine, 'next'); // the first request lets the stock be filled
      await machine.docker('rm', '-f', 'next');
      await sleep(1500);
      return runDeed(machine);
    },
    // The stock of a dead daemon is kept for the time of grace.
    mend: ({ lab, machine }) =>
      machine.writeConfig(labConfig(lab, { reconcile: { pendingGraceSeconds: 1 } })),
    confirm: ({ lab, machine }) => machine.writeConfig(labConfig(lab)),
  },
  'endpoint.before-record': RUN,
  'endpoint.after-record': RUN,
  'join.before-link': RUN,
  'join.after-link': RUN,
  'leave.after-undo': REMOVE,
  'endpoint.before-link-delete': REMOVE,
  'release.before-commit': REMOVE,
  'release.after-grant': REMOVE,
  'release.after-commit': REMOVE,
  'release.after-record': {
    deed: async ({ machine }) => {
      await runQuick(machine, 'next'); // its leases have been read
      await machine.docker('rm', '-f', 'next');
      await cutEtcd(machine);
      return removeVictim(machine);
    },
    mend: ({ machine }) => joinEtcd(machine),
    removes: true,
  },
  'reconcile.after-endpoint': {
    prepare: ({ machine }) => leakEndpoint(machine),
    deed: reconcile,
  },
  'reconcile.before-adopt': {
    prepare: async (scene) => {
      const network = networkOf(scene).name;
      await createNetwork(scene.machine, networkOf(scene));
      await scene.machine.docker(
        'run',
        '-d',
        '--name',
        'orphan',
        '--network',
        network,
        IMAGE,
        'sleep',
        '100000',
      );
    },
    deed: async (scene) => {
      await loseLease(scene);
      return reconcile(scene);
    },
    returned: async (scene) => {
      const ip = await orphanIp(scene);
      await until(`${ip} has a lease again`, async () => (await leaseRevisions(scene.lab)).has(ip));
      expect(await orphanIp(scene)).to.equal(ip);
      await scene.machine.docker('rm', '-f', 'orphan');
    },
    confirm: (scene) => useNetwork(scene, false),
  },
  'forget.between-batches': {
    prepare: makeGhost,
    deed: ({ machine }) => machine.tryLanius('host', 'forget', 'ghost', '--yes'),
    returned: async ({ lab, machine }) => {
      expect(await ghostLeases(lab)).to.be.within(1, GHOST_LEASES - 1);
      await machine.lanius('host', 'forget', 'ghost', '--yes');
      expect(await ghostLeases(lab)).to.equal(0);
    },
    confirm: (scene) => useNetwork(scene, false),
  },
  'pool.before-record': CREATE,
  'pool.after-record': CREATE,
  'gateway.before-note': CREATE,
  'gateway.before-record': CREATE,
  'network.before-record': CREATE,
  'network.after-record': CREATE,
  'gateway.before-unreserve': REMOVE_NETWORK,
  'pool.before-leave': REMOVE_NETWORK,
  'pool.before-remove': REMOVE_NETWORK,
};

/** Removes what a scenario that failed half-way may have left behind. */
export async function clearUp({ machine }: Scene): Promise<void> {
  await joinEtcd(machine);
  await machine.sh('docker rm -f victim next deed orphan >/dev/null 2>&1 || true');
}

function runDeed(machine: Machine): Promise<RunResult> {
  return machine.tryDocker('run', '-d', '--name', 'deed', '--network', SUBNET.name, IMAGE, 'sleep', '100000');
}

function removeVictim(machine: Machine): Promise<RunResult> {
  return machine.tryDocker('rm', '-f', 'victim');
}

/** The daemon dies of this one or of a reconciliation of its own, whichever comes first. */
async function reconcile({ machine }: Scene): Promise<RunResult> {
  const { stderr } = await machine.tryLanius('reconcile');
  return { status: 0, stdout: '', stderr };
}

function tryCreate(scene: Scene): Promise<RunResult> {
  return createNetwork(scene.machine, networkOf(scene)).then(
    (stdout) => ({ status: 0, stdout, stderr: '' }),
    (error: Error) => ({ status: 1, stdout: '', stderr: error.message }),
  );
}

/** The same network (again, if `create`) must be possible, and give addresses. */
async function useNetwork(scene: Scene, create: boolean): Promise<void> {
  const { machine } = scene;
  const network = networkOf(scene);
  if (create) await createNetwork(machine, network);
  await machine.docker('run', '--rm', '--network', network.name, IMAGE, 'true');
  await machine.docker('network', 'rm', network.name);
}

function networkOf({ name }: Scene): {
  readonly name: string;
  readonly subnet: string;
  readonly gateway: string;
} {
  const third = 32 + FAILPOINT_NAMES.indexOf(name);
  return { name: name.replace('.', '-'), subnet: `10.77.${third}.0/24`, gateway: `10.77.${third}.1` };
}

/** From now on the packets between this machine's daemon and etcd are lost; containers have ways of their own. */
async function cutEtcd(machine: Machine): Promise<void> {
  await machine.sh('ip route add blackhole 10.77.0.2/32');
}

/** Idempotent. */
async function joinEtcd(machine: Machine): Promise<void> {
  await machine.sh('ip route del blackhole 10.77.0.2/32 2>/dev/null || true');
}

/** An endpoint with its lease that the engine has never heard of. */
async function leakEndpoint(machine: Machine): Promise<void> {
  const plugin = new LabPluginSocket(machine);
  const claims = (await machine.sh('cat /var/lib/lanius/claims/*.json')).split('\n');
  const claim = claims
    .map((text) => JSON.parse(text) as { readonly poolId: string; readonly subnet: string })
    .find(({ subnet }) => subnet === SUBNET.subnet);
  const given = await plugin.call('IpamDriver.RequestAddress', {
    PoolID: claim?.poolId,
    Address: '',
    Options: null,
  });
  const created = await plugin.call('NetworkDriver.CreateEndpoint', {
    NetworkID: await machine.docker('network', 'inspect', '-f', '{{.Id}}', SUBNET.name),
    EndpointID: 'fa'.repeat(32),
    Interface: { Address: (given.body as { readonly Address: string }).Address },
    Options: {},
  });
  expect([given.Err, created.Err]).to.deep.equal([undefined, undefined]);
}

/** As if etcd had been restored from a backup. On a network of its own, or another machine might take the address. */
async function loseLease(scene: Scene): Promise<void> {
  const { lab, machine } = scene;
  const pool = networkOf(scene).subnet.replace('/', '-');
  const hex = hexOf(await orphanIp(scene));
  for (const folder of [`leases/${pool}`, `by-host/${machine.name}/${pool}`]) {
    expect(await lab.etcd.ctl('del', `/lanius/v1/${folder}/${hex}`)).to.equal('1\n');
  }
}

async function orphanIp(scene: Scene): Promise<string> {
  const found = (await running(scene.machine, networkOf(scene).name)).find(({ name }) => name === 'orphan');
  if (found === undefined) throw new Error('orphan does not run');
  return found.ip;
}

/** More than are freed at once. */
const GHOST_LEASES = 150;

/** A host that is dead, with leases on a network of the scene's own. */
async function makeGhost(scene: Scene): Promise<void> {
  const { lab } = scene;
  const network = networkOf(scene);
  await createNetwork(scene.machine, network);
  const pool = network.subnet.replace('/', '-');
  const puts = Array.from({ length: GHOST_LEASES }, (_, n) => {
    const hex = hexOf(network.subnet.replace('.0/24', `.${100 + n}`));
    const request = `gone.${n + 1}`;
    const value = { v: 1, state: 'bound', host: 'ghost', request, bootId: 'gone', at: Date.now() };
    return [`leases/${pool}/${hex}`, `by-host/ghost/${pool}/${hex}`].map((key) => [key, value] as const);
  });
  const registration = { v: 1, machineId: 'gone', hostname: 'ghost', version: '0', firstSeenAt: Date.now() };
  const transactions = [
    [['hosts/ghost', registration] as const],
    ...inParts(puts, 50).map((part) => part.flat()),
  ];
  for (const transaction of transactions) {
    const lines = transaction.map(
      ([key, value]) => `put /lanius/v1/${key} ${JSON.stringify(JSON.stringify(value))}`,
    );
    await lab.etcd.txn(lines);
  }
  expect(await ghostLeases(lab)).to.equal(GHOST_LEASES);
}

async function ghostLeases(lab: Lab): Promise<number> {
  const keys = await lab.etcd.ctl('get', '--prefix', '--keys-only', '/lanius/v1/by-host/ghost/');
  return keys.split('\n').filter((key) => key !== '').length;
}

function inParts<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, n) =>
    items.slice(n * size, (n + 1) * size),
  );
}

function hexOf(ip: string): string {
  return ip
    .split('.')
    .map((byte) => Number(byte).toString(16).padStart(2, '0'))
    .join('');
}
