import { expect } from 'chai';
import { systemClock } from '../../../core/clock.ts';
import { deadlineAfter } from '../../../core/deadline.ts';
import type { EndpointRecord, NetworkRecord } from '../../../store/host-records.ts';
import { Admission } from '../../../throttle/admission.ts';
import { Capacities } from '../../../throttle/capacities.ts';
import { EndpointLimits } from '../../../throttle/endpoint-limits.ts';
import type { EndpointWish } from '../../../throttle/endpoint-wish.ts';

const NETWORK: NetworkRecord = {
  v: 1,
  networkId: 'n1',
  parent: 'eth0.5',
  vlan: { lower: 'eth0', vlanId: 5 },
  mode: 'macvlan',
  macvlanMode: 'bridge',
  internal: false,
  subnets: [],
  createdAt: 0,
};
const wishOf = (mbit: number): EndpointWish => ({
  known: true,
  in: { problems: [] },
  out: { limit: { rateBitsPerSecond: mbit * 1e6 }, source: 'env', problems: [] },
});
const NOBODY: EndpointWish = { known: false, in: { problems: [] }, out: { problems: [] } };

describe('throttle/endpoint-limits', () => {
  const records = new Map<string, EndpointRecord>();
  const wishes = new Map<string, EndpointWish>();
  const told: string[] = [];
  let waitedMs: number[];
  /** While it is waited for what the container says. */
  let meanwhile: () => void;
  let admission: Admission;

  beforeEach(() => {
    for (const list of [records, wishes]) list.clear();
    told.length = 0;
    waitedMs = [];
    meanwhile = () => {};
  });

  const make = (refuse = true): EndpointLimits => {
    admission = new Admission(
      { host: 'h1', refuse, overcommit: 1, unlimited: {} },
      { capacityOf: () => ({ out: 1e9 }), onChange: () => {} },
    );
    return new EndpointLimits(
      { wishTimeoutMs: 300 },
      {
        wishes: {
          ready: true,
          of: ({ endpointId }) => wishes.get(endpointId) ?? NOBODY,
          wait: async (_, timeoutMs) => {
            waitedMs.push(timeoutMs);
            meanwhile();
          },
        },
        containers: {
          joined: ({ endpointId }) => told.push(`joined ${endpointId}`),
          left: (endpointId) => told.push(`container ${endpointId} left`),
        },
        admission,
        networks: { get: (id) => (id === NETWORK.networkId ? NETWORK : undefined) },
        endpoints: { list: () => [...records.values()], get: (id) => records.get(id) },
        changed: (endpointId) => told.push(`changed ${endpointId}`),
        forget: (endpointId, network) => told.push(`forget ${endpointId} of ${network?.networkId}`),
      },
    );
  };
  const deadline = () => deadlineAfter(5000, systemClock);
  const committed = () => admission.figures(['eth0'])[0]?.out.committed;

  it('waits for nothing where nothing is refused, and asks who the container is at the end', async () => {
    const limits = make(false);
    limits.joining(record('e1'));
    expect(told).to.deep.equal([]);
    limits.joined(record('e1'));
    expect(told).to.deep.equal(['joined e1']);
    wishes.set('e1', wishOf(5000));
    await limits.admit(record('e1'), NETWORK, deadline());
    expect(waitedMs).to.deep.equal([]);
    expect(committed()).to.equal(5e9);
  });

  it('counts on the NIC, waits for what the container says, and refuses what is too much', async () => {
    const limits = make();
    wishes.set('e1', wishOf(800));
    wishes.set('e2', wishOf(300));
    await limits.admit(record('e1'), NETWORK, deadline());
    expect(waitedMs).to.deep.equal([300]);
    const refusal = await limits.admit(record('e2'), NETWORK, deadline()).catch((error: unknown) => error);
    expect(refusal).to.include({ code: 'bandwidth_exhausted' });
    limits.joining(record('e1'));
    limits.left('e1');
    await limits.admit(record('e2'), NETWORK, deadline());
    expect(told).to.include.members(['joined e1', 'container e1 left', 'forget e1 of n1']);
  });

  it('counts a start that is refused at no time', async () => {
    const limits = make();
    records.set('e1', record('e1'));
    wishes.set('e1', wishOf(2000));
    meanwhile = () => {
      limits.wishChanged('e1');
      expect(committed()).to.equal(0);
    };
    const refusal = await limits.admit(record('e1'), NETWORK, deadline()).catch((error: unknown) => error);
    expect(refusal).to.include({ code: 'bandwidth_exhausted' });
  });

  it('refuses what the container says and cannot be read', async () => {
    const limits = make();
    wishes.set('e1', { ...NOBODY, out: { problems: ['env net_out: no'], refusal: 'env net_out: no' } });
    const refusal = await limits.admit(record('e1'), NETWORK, deadline()).catch((error: unknown) => error);
    expect(refusal).to.include({ code: 'invalid', message: 'env net_out: no' });
  });

  it('takes over what is on record, counts changes, and has them put in force', () => {
    const limits = make();
    records.set('e1', record('e1'));
    wishes.set('e1', wishOf(100));
    limits.start();
    expect(committed()).to.equal(1e8);
    wishes.set('e1', wishOf(2000));
    limits.wishChanged('e1');
    limits.wishChanged('unknown');
    expect(committed()).to.equal(2e9);
    expect(told.filter((line) => line === 'changed e1')).to.have.length(2);
  });

  it('sweeps endpoints whose records went without a word', () => {
    const limits = make();
    records.set('e1', record('e1'));
    wishes.set('e1', wishOf(100));
    limits.start();
    limits.sweep();
    expect(committed()).to.equal(1e8);
    records.clear();
    limits.sweep();
    expect(committed()).to.equal(0);
  });
});

describe('throttle/capacities', () => {
  it('are as configured, else as the link says, by direction, and asked again after some seconds', () => {
    let now = 0;
    let speed: number | undefined = 1e10;
    let asked = 0;
    const capacities = new Capacities(
      { configured: { eth0: { in: 1e9 } } },
      {
        speedOf: () => {
          asked++;
          return speed;
        },
        clock: { now: () => now },
      },
    );
    expect(capacities.of('eth0')).to.deep.equal({ in: 1e9, out: 1e10 });
    speed = undefined;
    expect(capacities.of('eth0')).to.deep.equal({ in: 1e9, out: 1e10 });
    expect(asked).to.equal(1);
    now = 11_000;
    expect(capacities.of('eth0')).to.deep.equal({ in: 1e9 });
    expect(capacities.of('eth1')).to.deep.equal({});
  });
});

function record(endpointId: string): EndpointRecord {
  return {
    v: 1,
    endpointId,
    networkId: NETWORK.networkId,
    macAddress: '02:4c:0a:00:00:07',
    linkName: 'ln0',
    sandboxKey: '/run/ns/1',
    options: {},
    createdAt: 0,
    instance: 'i',
  };
}
