import { expect } from 'chai';
import { systemClock as clock } from '../../core/clock.ts';
import { linkAliasOf } from '../../core/ids.ts';
import { formatIp, parseCidr } from '../../core/ip.ts';
import { silentLogger as logger } from '../../core/log.ts';
import type { EnginePort } from '../../engine/port.ts';
import { Reconciler } from '../../ipam/reconciler.ts';
import type { LinkInfo, NetPort } from '../../net/port.ts';
import { type EndpointRecord, RECORD_KINDS } from '../../store/host-records.ts';
import { RecordStore } from '../../store/records.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { IpamHost, layout, soon } from '../support/ipam-host.ts';
import { need } from '../support/require.ts';

const subnet = parseCidr('10.40.0.0/24');
const NET = 'n'.repeat(64);

describe('ipam/reconciler on a real etcd', function () {
  this.timeout(20_000);
  let etcd: EtcdProcess;
  let host: IpamHost;
  let poolId: string;
  let endpoints: RecordStore<EndpointRecord>;
  let reconciler: Reconciler;
  const links = new Map<string, LinkInfo>();
  const shown: { endpointId: string; ipv4: string }[] = [];
  const refused = new Set<string>();

  before(async function () {
    need(this, 'etcd');
    etcd = await EtcdProcess.start();
  });
  after(async () => await etcd?.stop());

  beforeEach(async () => {
    links.clear();
    shown.length = 0;
    refused.clear();
    host = await IpamHost.start({ etcd: etcd.host, name: 'r1' });
    poolId = (await host.addresses.requestPool({ subnet, family: 4, options: {} }, soon())).poolId;
    const { stateDir, leases, claimBook, claims } = host;
    endpoints = new RecordStore({ stateDir, ...RECORD_KINDS.endpoints }, { logger });
    const networks = new RecordStore({ stateDir, ...RECORD_KINDS.networks }, { logger });
    await endpoints.load();
    await networks.load();
    reconciler = new Reconciler(
      { instance: 'another', lookGapMs: 10, graceMs: 60_000, intervalMs: 600_000 },
      { leases, claimBook, networks, endpoints, claims, engine, net, clock, logger },
    );
  });
  afterEach(async () => {
    await reconciler.close();
    await host.stop();
  });

  const engine: EnginePort = {
    version: () => Promise.reject(new Error('not played')),
    networks: async () => [
      {
        networkId: NET,
        name: 'n',
        driver: 'lanius',
        ipamDriver: 'lanius',
        subnets: ['10.40.0.0/24'],
        internal: false,
        endpoints: shown.map((one) => ({ networkId: NET, containerName: 'web', ...one })),
      },
    ],
    network: () => Promise.reject(new Error('not played')),
    containers: async () => [],
    follow: () => ({ close: () => {} }),
  };
  const net: NetPort = {
    macvlanAdd: () => Promise.reject(new Error('not played')),
    linkDelete: async (name) => {
      if (refused.has(name)) throw new Error('the kernel refuses');
      return links.delete(name);
    },
    linkGet: async (name) => links.get(name),
    linkList: async () => [...links.values()],
    linkListIn: async () => undefined,
    probe: () => Promise.reject(new Error('not played')),
    close: async () => {},
  };

  const any = async () => {
    const { address } = await host.addresses.requestAddress({ poolId, gateway: false }, soon());
    return address;
  };
  async function endpoint(id: string, address: string): Promise<void> {
    await endpoints.put(id, {
      v: 1,
      endpointId: id,
      networkId: NET,
      address: `${address}/24`,
      macAddress: '02:4c:0a:28:00:07',
      linkName: `ln${id}`,
      options: {},
      createdAt: clock.wall(),
      instance: 'before',
    });
  }
  const link = (id: string, alias: string): void => {
    links.set(`ln${id}`, {
      name: `ln${id}`,
      linkIndex: links.size + 2,
      alias,
      mtuBytes: 1500,
      up: false,
      carrier: false,
    });
  };
  const leased = async () => (await host.leases.read()).map(({ address }) => formatIp(address));

  it('frees what it can although one link cannot be deleted, whose address it keeps', async () => {
    const [stuck, free] = [formatIp(await any()), formatIp(await any())];
    await endpoint('aa', stuck);
    await endpoint('bb', free);
    link('aa', linkAliasOf('aa'));
    link('bb', linkAliasOf('bb'));
    refused.add('lnaa');
    const report = await reconciler.run('test', { dryRun: false });
    expect(report.problem).to.match(/the kernel refuses/);
    expect(await leased()).to.deep.equal([stuck]);
    expect([...links.keys()]).to.deep.equal(['lnaa']);
  });

  it('leaves a link alone that has the name of a dead endpoint but not its mark', async () => {
    await endpoint('cc', '10.40.0.99');
    link('cc', 'of somebody else');
    await reconciler.run('test', { dryRun: false });
    expect([...links.keys()]).to.deep.equal(['lncc']);
    expect(endpoints.list()).to.deep.equal([]);
  });

  it('takes the lease of a living endpoint again that etcd has lost', async () => {
    const address = await any();
    await endpoint('dd', formatIp(address));
    shown.push({ endpointId: 'dd', ipv4: formatIp(address) });
    await host.kv.txn({ compare: [], success: [{ do: 'delete', range: { prefix: layout.prefix } }] });
    expect((await reconciler.run('test', { dryRun: true })).decisions.map(({ action }) => action)).to.include(
      'adopt',
    );
    expect(await leased()).to.deep.equal([]);
    await reconciler.run('test', { dryRun: false });
    expect(await leased()).to.deep.equal([formatIp(address)]);
    expect((await host.kv.range({ key: layout.pool(subnet) })).count).to.equal(1);
  });
});
