/**
 * One host of a race, a process of its own: the whole address management of a host on the real etcd cluster and a
 * state folder that outlives it, with the real Reconciler. Its engine is the parent, over the IPC channel.
 *
 * Started by host-process.ts with one argument, the JSON of HostSetting.
 */
import { systemClock as clock } from '../../core/clock.ts';
import { deadlineAfter } from '../../core/deadline.ts';
import { StoreUnavailable, toDriverError } from '../../core/errors.ts';
import { formatIp, parseCidr, parseIp } from '../../core/ip.ts';
import { silentLogger as logger } from '../../core/log.ts';
import type { EngineNetwork, EnginePort } from '../../engine/port.ts';
import { OwnIndex } from '../../ipam/reconcile/own-index.ts';
import { Reconciler } from '../../ipam/reconcile/reconciler.ts';
import type { NetPort } from '../../net/port.ts';
import { RECORD_KINDS } from '../../store/host-records.ts';
import { RecordStore } from '../../store/records.ts';
import { IpamHost, layout } from '../support/ipam-host.ts';
import { batched } from './batch.ts';
import type { FromHost, HostSetting, ToHost } from './race-messages.ts';
import { isSabotage, sabotaged } from './race-sabotage.ts';

const NETWORK = 'n'.repeat(64);
/** How long a request of the parent may take to show there. */
const GRACE_MS = 700;
const LOOK_GAP_MS = 120;

const setting = JSON.parse(process.argv[2] ?? '') as HostSetting;
const subnet = parseCidr(setting.subnet);
const asked = new Map<number, (addresses: readonly string[]) => void>();
let questions = 0;

const say = batched((batch: readonly FromHost[]) => process.send?.(batch));

function notPlayed(): Promise<never> {
  return Promise.reject(new Error('not played'));
}

/** Asks the parent which addresses its containers have. */
function shown(): Promise<readonly string[]> {
  return new Promise((resolve) => {
    questions += 1;
    asked.set(questions, resolve);
    say({ did: 'show', call: questions });
  });
}

const engine: EnginePort = {
  version: notPlayed,
  networks: async () => {
    const network: EngineNetwork = {
      networkId: NETWORK,
      name: 'race',
      driver: 'lanius',
      ipamDriver: 'lanius',
      subnets: [setting.subnet],
      internal: false,
      endpoints: (await shown()).map((ipv4) => ({ networkId: NETWORK, endpointId: endpointOf(ipv4), ipv4 })),
    };
    return [network];
  },
  network: notPlayed,
  containers: async () => [],
  containerIds: notPlayed,
  dataRoot: notPlayed,
  follow: () => ({ close: () => {} }),
};
const net: NetPort = {
  macvlanAdd: notPlayed,
  linkDelete: notPlayed,
  linkGet: async () => undefined,
  linkList: async () => [],
  linkListIn: async () => undefined,
  probe: notPlayed,
};

function endpointOf(address: string): string {
  return Buffer.from(address.padEnd(32, '-')).toString('hex');
}

const sabotage = setting.sabotage;
const host = await IpamHost.start({
  etcd: setting.etcd,
  name: setting.name,
  stateDir: setting.stateDir,
  ...(sabotage !== undefined && isSabotage(sabotage) ? { wrapKv: (kv) => sabotaged(kv, sabotage) } : {}),
});
const { stateDir, addresses, leases, committer, claimBook, claims } = host;
const ownIndex = new OwnIndex({ host: setting.name }, { kv: host.kv, layout, logger });
const records = { stateDir, ...RECORD_KINDS };
const networks = new RecordStore({ stateDir, ...records.networks }, { logger });
const endpoints = new RecordStore({ stateDir, ...records.endpoints }, { logger });
await Promise.all([networks.load(), endpoints.load()]);
const reconciler = new Reconciler(
  {
    instance: host.session.instance,
    lookGapMs: LOOK_GAP_MS,
    graceMs: GRACE_MS,
    intervalMs: setting.reconcileEveryMs ?? 2 ** 30,
  },
  { leases, committer, ownIndex, claimBook, networks, endpoints, claims, engine, net, clock, logger },
);
const poolId = await poolOfHost();

async function poolOfHost(): Promise<string> {
  const known = claims.list()[0];
  if (known?.networkId !== undefined) return known.poolId;
  const soon = deadlineAfter(10_000, clock);
  const granted =
    known ?? (await addresses.requestPool({ subnet, family: subnet.family, options: {} }, soon));
  // Without a network an address that is asked for by name would count as the network's own.
  await addresses.attachNetwork({ networkId: NETWORK, subnets: [{ subnet }] });
  return granted.poolId;
}

async function take(message: ToHost & { do: 'take' }): Promise<void> {
  const { call, timeoutMs, address } = message;
  const wanted = address === undefined ? {} : { address: parseIp(address) };
  const deadline = deadlineAfter(timeoutMs, clock);
  const granted = await addresses.requestAddress({ poolId, gateway: false, ...wanted }, deadline);
  say({ did: 'take', call, address: formatIp(granted.address) });
}

async function carryOut(message: ToHost): Promise<void> {
  switch (message.do) {
    case 'take':
      return take(message);
    case 'release':
      await addresses.releaseAddress(poolId, parseIp(message.address), deadlineAfter(4000, clock));
      return say({ did: 'release', call: message.call });
    case 'reconcile':
      await reconciler.run('end of the race', { dryRun: false });
      return say({ did: 'reconcile', call: message.call });
    case 'note':
      return addresses.noteHolder(subnet, parseIp(message.address), {
        endpointId: endpointOf(message.address),
        networkId: NETWORK,
        macAddress: '02:4c:00:00:00:01',
      });
    case 'shown':
      asked.get(message.call)?.(message.addresses);
      asked.delete(message.call);
  }
}

process.on('message', (batch: readonly ToHost[]) => {
  for (const message of batch) hear(message);
});
process.on('disconnect', () => process.exit(0));
if (setting.reconcileEveryMs !== undefined) reconciler.engineReturned();
say({ did: 'ready' });

function hear(message: ToHost): void {
  carryOut(message).catch((error: unknown) => {
    if (!('call' in message)) return;
    const unknown = error instanceof StoreUnavailable && error.outcomeUnknown;
    say({ did: 'refuse', call: message.call, reason: toDriverError(error).message, unknown });
  });
}
