import { expect } from 'chai';
import { silentLogger } from '../../../core/log.ts';
import type { HostShapedEndpoint } from '../../../net/shaping-port.ts';
import type { EndpointRecord, NetworkRecord } from '../../../store/host-records.ts';
import type { EndpointWish } from '../../../throttle/endpoint-wish.ts';
import { HostLimits } from '../../../throttle/host-limits.ts';
import { until } from '../../support/poll.ts';

const LIMITED: EndpointWish = {
  known: true,
  in: { problems: [] },
  out: { limit: { rateBitsPerSecond: 1e7, minBitsPerSecond: 1e6 }, source: 'env', problems: [] },
};

function network(networkId: string, parent: string, more: Partial<NetworkRecord> = {}): NetworkRecord {
  return {
    ...{ v: 1, networkId, parent, mode: 'macvlan', macvlanMode: 'bridge', internal: false, subnets: [] },
    createdAt: 0,
    ...more,
  };
}

function endpoint(index: number, networkId: string): EndpointRecord {
  return {
    ...{ v: 1, endpointId: `${index}`.repeat(64), networkId, macAddress: `02:4c:0a:00:00:0${index}` },
    ...{ linkName: `ln${index}`, options: {}, createdAt: 0, instance: 'i' },
  };
}

describe('throttle/host-limits', () => {
  const held = network('held', 'eth0', { enforce: 'host' });
  const plain = network('plain', 'eth0');
  const ours = network('ours', 'eth0.5', { vlan: { lower: 'eth0', vlanId: 5 } });
  const theirs = network('theirs', 'eth0.6', { nic: 'eth0' });
  const elsewhere = network('elsewhere', 'eth1');
  const endpoints = ['held', 'plain', 'ours', 'theirs', 'elsewhere'].map((id, i) => endpoint(i + 1, id));
  let networks: NetworkRecord[];
  let ready: boolean;
  let broken: string[];
  let differences: readonly string[];
  const settled: { parent: string; endpoints: readonly HostShapedEndpoint[] }[] = [];
  let limits: HostLimits;

  beforeEach(() => {
    networks = [held, plain, ours, theirs, elsewhere];
    [ready, broken, differences] = [true, [], []];
    settled.length = 0;
    limits = new HostLimits({
      wishes: {
        get ready() {
          return ready;
        },
        of: () => LIMITED,
      },
      shaping: {
        settle: async (parent, known) => {
          if (broken.includes(parent)) throw new Error(`${parent} has gone`);
          settled.push({ parent, endpoints: known });
          return differences;
        },
        parents: async () => ['eth9'],
      },
      networks: { list: () => networks, get: (id) => networks.find(({ networkId }) => networkId === id) },
      endpoints: { list: () => endpoints },
      speedOf: () => ({ in: 1e9, out: 1e9 }),
      logger: silentLogger,
    });
  });
  const of = (id: string) => endpoints.find(({ networkId }) => networkId === id) ?? endpoint(9, id);

  it('names everybody whose frames pass the parent, those on VLANs of it too, and holds its own alone', async () => {
    await limits.settle('eth0');
    const [{ endpoints: known } = { endpoints: [] }] = settled;
    expect(known.map(({ endpointId }) => endpointId[0])).to.deep.equal(['1', '2', '3', '4']);
    expect(known.map(({ plan }) => plan.out?.rateBitsPerSecond)).to.deep.equal([
      1e7,
      ...Array(3).fill(undefined),
    ]);
    expect(known[0]).to.include({ minOutBitsPerSecond: 1e6 });
  });

  it('lets a parent know each endpoint that comes, whatever its network wants', async () => {
    for (const one of networks) expect(await limits.settleFor(of(one.networkId), one)).to.deep.equal([]);
    expect(settled.map(({ parent }) => parent)).to.deep.equal(['eth0', 'eth0', 'eth0', 'eth0']);
  });

  it('tells of an endpoint what was about it or about all, and nothing about others', async () => {
    differences = [
      'out: 111111111111: its class was missing',
      'in: 222222222222: x',
      'out: host: y',
      'in: the ifb',
    ];
    expect(await limits.settleFor(of('held'), held)).to.deep.equal([differences[0], differences[3]]);
    expect(await limits.settleFor(of('plain'), plain)).to.deep.equal([]);
  });

  it('leaves what stands until it is known what people have set', async () => {
    ready = false;
    limits.left(held);
    expect(await limits.settleFor(of('plain'), plain)).to.deep.equal([]);
    const refusal = await limits.settleFor(of('held'), held).catch((error: unknown) => error);
    expect(refusal).to.include({ code: 'store' });
    await limits.settleAll();
    expect(settled.map(({ parent }) => parent)).to.deep.equal(['eth9']);
    ready = true;
    limits.left(theirs);
    await until('it is settled', () => settled.some(({ parent }) => parent === 'eth0'));
  });

  it('lets an endpoint start whose own network does not enforce, although others cannot', async () => {
    broken = ['eth0'];
    expect(await limits.settleFor(of('plain'), plain)).to.deep.equal([]);
    const failure = await limits.settleFor(of('held'), held).catch((error: unknown) => error);
    expect(String(failure)).to.contain('eth0 has gone');
  });

  it('takes a parent on which nobody enforces any more as empty, and lets one that fails keep no other', async () => {
    networks = [network('other', 'eth2', { enforce: 'host' }), held];
    broken = ['eth9', 'eth2'];
    await limits.settleAll();
    expect(settled.map(({ parent }) => parent)).to.deep.equal(['eth0']);
    networks = [plain];
    await limits.settle('eth0');
    expect(settled.at(-1)?.endpoints).to.deep.equal([]);
  });
});
