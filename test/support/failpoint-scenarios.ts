/**
 * How each failpoint is passed on a real engine: what is done before, the deed that the daemon dies of, and what must
 * be so afterwards beyond what holds for all of them. A failpoint without an entry here does not compile.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { FAILPOINT_NAMES, type Failpoint } from '../../core/failpoint.ts';
import { leaseRevisions, runQuick, SUBNET } from './crash.ts';
import { plugCable } from './extra-cable.ts';
import { createNetwork, IMAGE, labConfig, running } from './flat.ts';
import type { Lab } from './lab.ts';
import type { Machine } from './machine.ts';
import { LabPluginSocket } from './plugin-socket.ts';
import { until } from './poll.ts';
import type { RunResult } from './run.ts';
import { sandboxOf } from './sandboxes.ts';
import { ratesIn } from './shapers.ts';

/** Of eth1 (RFC 5737 TEST-NET-1). */
const UPLINK_ADDRESS = '192.0.2.5';
const ADOPTING = ['-o', 'parent=eth1', '-o', 'mode=bridge', '-o', 'adopt_address=true'];

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
/** On a parent of its own, for eth0 has macvlans. */
const ADOPT: Scenario = {
  prepare: prepareUplink,
  deed: (scene) =>
    createNetwork(scene.machine, { ...networkOf(scene), options: ADOPTING }).then(
      (stdout) => ({ status: 0, stdout, stderr: '' }),
      (error: Error) => ({ status: 1, stdout: '', stderr: error.message }),
    ),
  returned: expectGivenBack,
  confirm: (scene) => useNetwork(scene, true, ADOPTING),
};
const GIVE_BACK: Scenario = {
  prepare: async (scene) => {
    await prepareUplink(scene);
    await createNetwork(scene.machine, { ...networkOf(scene), options: ADOPTING });
  },
  deed: (scene) => scene.machine.tryDocker('network', 'rm', networkOf(scene).name),
  returned: expectGivenBack,
  confirm: (scene) => useNetwork(scene, true, ADOPTING),
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

/** Another machine uses the address that the container is to get. */
const RUN_STRANGE: Scenario = {
  prepare: async (scene) => {
    await createNetwork(scene.machine, { ...networkOf(scene), options: ['-o', 'probe=arp'] });
    await strangerOf(scene).sh(`ip addr add ${strangeAddressOf(scene)}/32 dev eth0`);
  },
  deed: (scene) => {
    const wanted = ['--network', networkOf(scene).name, '--ip', strangeAddressOf(scene)];
    return scene.machine.tryDocker('run', '-d', '--name', 'deed', ...wanted, IMAGE, 'true');
  },
  confirm: async (scene) => {
    await strangerOf(scene).sh(`ip addr del ${strangeAddressOf(scene)}/32 dev eth0`);
    await scene.machine.lanius('ip', 'unreserve', strangeAddressOf(scene));
    await scene.machine.docker('rm', '-f', 'deed').catch(() => '');
    await useNetwork(scene, false);
  },
};
const RUN_FIXED: Scenario = { deed: ({ machine }) => runDeed(machine, '--mac-address', '02:fa:ce:00:00:01') };
/** Where the container runs in the end, it runs with its limit. */
const RUN_LIMITED: Scenario = {
  deed: ({ machine }) => runDeed(machine, '-e', 'net_out=10mbit'),
  confirm: async ({ machine }, { status }) => {
    if (status !== 0) return;
    const sandbox = await sandboxOf(machine, 'deed');
    await until('the limit is in force', async () => (await ratesIn(sandbox)).out === 10e6, {
      timeoutMs: 20_000,
    });
  },
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
  'quarantine.before-commit': RUN_STRANGE,
  'quarantine.after-commit': RUN_STRANGE,
  'mac.before-commit': RUN_FIXED,
  'mac.after-commit': RUN_FIXED,
  'endpoint.before-record': RUN,
  'endpoint.after-record': RUN,
  'join.before-link': RUN,
  'join.after-link': RUN,
  'limits.before-apply': RUN_LIMITED,
  'limits.after-apply': RUN_LIMITED,
  'host-access.after-routes': {
    prepare: reach,
    deed: (scene) => runReached(scene, 'deed'),
    confirm: unreach,
  },
  'host-access.before-removal': {
    prepare: async (scene) => {
      await reach(scene);
      expect(await runReached(scene, 'orphan')).to.include({ status: 0 });
    },
    deed: ({ machine }) => machine.tryDocker('rm', '-f', 'orphan'),
    confirm: unreach,
  },
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
  'network.after-uplink': CREATE,
  'bridge.after-add': ADOPT,
  'adopt.after-record': ADOPT,
  'adopt.after-move': ADOPT,
  'adopt.after-delete': ADOPT,
  'network.before-record': CREATE,
  'network.after-record': CREATE,
  'network.before-uplink-removal': REMOVE_NETWORK,
  'restore.before-move': GIVE_BACK,
  'restore.after-move': GIVE_BACK,
  'restore.after-delete': GIVE_BACK,
  'bridge.after-delete': GIVE_BACK,
  'gateway.before-unreserve': REMOVE_NETWORK,
  'pool.before-leave': REMOVE_NETWORK,
  'pool.before-remove': REMOVE_NETWORK,
};

/** Removes what a scenario that failed half-way may have left behind. */
export async function clearUp({ machine }: Scene): Promise<void> {
  await joinEtcd(machine);
  await machine.sh('docker rm -f victim next deed orphan >/dev/null 2>&1 || true');
}

function runDeed(machine: Machine, ...options: readonly string[]): Promise<RunResult> {
  const wanted = ['--name', 'deed', '--network', SUBNET.name, ...options];
  return machine.tryDocker('run', '-d', ...wanted, IMAGE, 'sleep', '100000');
}

function strangerOf({ lab, machine }: Scene): Machine {
  const other = lab.machines.find(({ name }) => name !== machine.name);
  if (other === undefined) throw new Error('no other machine');
  return other;
}

function strangeAddressOf(scene: Scene): string {
  return networkOf(scene).subnet.replace('.0/24', '.66');
}

function removeVictim(machine: Machine): Promise<RunResult> {
  return machine.tryDocker('rm', '-f', 'victim');
}

/** A network with host access. */
function reach(scene: Scene): Promise<string> {
  return createNetwork(scene.machine, { ...networkOf(scene), options: ['-o', 'host_access=true'] });
}

function runReached(scene: Scene, name: string): Promise<RunResult> {
  const network = networkOf(scene).name;
  return scene.machine.tryDocker('run', '-d', '--name', name, '--network', network, IMAGE, 'sleep', '100000');
}

/** The routes have gone; so do network and shim. */
async function unreach(scene: Scene): Promise<void> {
  const { machine } = scene;
  await machine.docker('rm', '-f', 'deed').catch(() => '');
  await until('the routes are gone', async () => (await machine.sh('ip route show proto 76')) === '');
  await useNetwork(scene, false);
  await until('the shim is gone', async () => !(await machine.sh('ip -o link')).includes('lanius:shim'));
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
async function useNetwork(scene: Scene, create: boolean, options: readonly string[] = []): Promise<void> {
  const { machine } = scene;
  const network = { ...networkOf(scene), options };
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

/** eth1 has an address, as a host's NIC has. Idempotent. */
async function prepareUplink({ machine }: Scene): Promise<void> {
  if (!(await machine.sh('ip -o link')).includes(' eth1@')) await plugCable(machine, 'eth1');
  await machine.sh(`ip addr replace ${UPLINK_ADDRESS}/24 dev eth1`);
}

/** The address was never away: it is where it was, and only there; the bridge is gone. */
async function expectGivenBack({ machine }: Scene): Promise<void> {
  await until('bridge and note are gone', async () => {
    const left = await machine.sh('ip -o link; ls /var/lib/lanius/adoptions');
    return !/br-eth1/.test(left);
  });
  expect(await machine.sh(`ip -o addr show to ${UPLINK_ADDRESS}`)).to.match(/^\d+: eth1 [^\n]*$/);
  expect(await machine.sh('ip route show 192.0.2.0/24')).to.include('dev eth1');
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
