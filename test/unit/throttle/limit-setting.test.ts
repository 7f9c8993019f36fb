import { expect } from 'chai';
import { KernelError } from '../../../core/errors.ts';
import type { ShapePlace, ShapePlan } from '../../../net/shaping-port.ts';
import type { EndpointRecord, NetworkRecord } from '../../../store/host-records.ts';
import type { EndpointWish } from '../../../throttle/endpoint-wish.ts';
import { type LimitedLink, LimitSetting } from '../../../throttle/limit-setting.ts';
import type { LimitState } from '../../../throttle/limit-state.ts';

const ENDPOINT = 'e'.repeat(64);
const NETWORK: NetworkRecord = {
  v: 1,
  networkId: 'n'.repeat(64),
  parent: 'eth0',
  mode: 'macvlan',
  macvlanMode: 'bridge',
  internal: false,
  subnets: [],
  createdAt: 0,
};
const NOTHING: EndpointWish = { known: true, in: { problems: [] }, out: { problems: [] } };
const OUT: EndpointWish = {
  ...NOTHING,
  container: { containerId: 'c1', name: 'web', netAdmin: false },
  out: { limit: { rateBitsPerSecond: 1e8 }, source: 'env', problems: [] },
};

describe('throttle/limit-setting', () => {
  let wish: EndpointWish;
  let ready: boolean;
  let gone: boolean;
  /** What it is once the container has been waited for. */
  let later: EndpointWish | undefined;
  let mendedByKernel: readonly string[];
  let failure: Error | undefined;
  let bypasses: readonly string[];
  const applied: { place: ShapePlace; plan: ShapePlan }[] = [];
  const settled: string[] = [];
  const mended: string[] = [];
  let states: LimitState[];
  let setting: LimitSetting;

  beforeEach(() => {
    [wish, later, mendedByKernel, failure, bypasses] = [OUT, undefined, [], undefined, []];
    [ready, gone] = [true, false];
    for (const list of [applied, settled, mended]) list.length = 0;
    setting = new LimitSetting(
      { wishTimeoutMs: 100 },
      {
        wishes: {
          get ready() {
            return ready;
          },
          of: () => wish,
          wait: async () => {
            wish = later ?? wish;
          },
        },
        shaping: {
          apply: async (place, plan) => {
            if (failure !== undefined) throw failure;
            applied.push({ place, plan });
            return { ...(plan.out === undefined ? {} : { out: 'tbf' }), mended: mendedByKernel };
          },
          removeBypasses: async () => bypasses,
        },
        host: {
          settleFor: async (_, { parent }) => {
            settled.push(parent);
            return [];
          },
        },
        endpoints: {
          get: (id) => (gone ? undefined : { ...link({}).endpoint, endpointId: id }),
          list: () => [],
        },
      },
    );
    states = [];
    setting.onChange((state) => states.push(state));
  });

  const apply = (occasion: 'arrived' | 'check' = 'check', network: Partial<NetworkRecord> = {}) =>
    setting.apply(link(network), occasion, (what) => mended.push(what));

  it('costs a container for which nobody wishes anything nothing', async () => {
    wish = NOTHING;
    expect(await apply('arrived')).to.equal(undefined);
    await apply();
    expect(applied).to.deep.equal([]);
  });

  it('removes what an earlier process may have left of a limit that is no more wished', async () => {
    wish = NOTHING;
    await apply();
    await apply();
    expect(applied.map(({ plan }) => plan)).to.deep.equal([{}]);
  });

  it('puts limits in force and tells the state once', async () => {
    expect(await apply('arrived')).to.equal('in none, out 100mbit (env)');
    await apply();
    expect(applied[0]?.place).to.deep.equal({ at: 'sandbox', namespacePath: '/run/ns/1', linkIndex: 2 });
    expect(applied[0]?.plan.out?.rateBitsPerSecond).to.equal(1e8);
    expect(states).to.have.length(1);
    expect(states[0]).to.deep.include({ containerName: 'web', netAdmin: false, mended: 0 });
    expect(states[0]?.out).to.deep.equal({ wished: { rateBitsPerSecond: 1e8 }, source: 'env', how: 'tbf' });
    expect(mended).to.deep.equal([]);
  });

  it('has in force what others say before it is known what the container says', async () => {
    wish = {
      ...NOTHING,
      known: false,
      out: { limit: { rateBitsPerSecond: 5e6 }, source: 'cap', problems: [] },
    };
    later = OUT;
    await apply('arrived');
    expect(applied.map(({ plan }) => plan.out?.rateBitsPerSecond)).to.deep.equal([5e6, 1e8]);
  });

  it('takes away what others say when the container turns out to want nothing', async () => {
    wish = {
      ...NOTHING,
      known: false,
      out: { limit: { rateBitsPerSecond: 5e6 }, source: 'cap', problems: [] },
    };
    later = NOTHING;
    await apply('arrived');
    expect(applied.map(({ plan }) => plan.out?.rateBitsPerSecond)).to.deep.equal([5e6, undefined]);
    expect(states.at(-1)?.out).to.deep.equal({});
  });

  it('says nothing of an endpoint that has ended meanwhile', async () => {
    await apply('arrived');
    gone = true;
    await apply();
    expect(states).to.have.length(1);
    expect(setting.states()).to.deep.equal([]);
  });

  it('leaves what stands from before a restart until it is known what people have set', async () => {
    ready = false;
    expect(await apply()).to.equal('as they stand, until etcd answers');
    expect(applied).to.deep.equal([]);
    await apply('arrived');
    expect(applied).to.have.length(1);
    ready = true;
    await apply();
    expect(applied).to.have.length(2);
  });

  it('tells repairs apart from changes', async () => {
    await apply('arrived');
    mendedByKernel = ['out: the qdisc was gone'];
    await apply();
    wish = { ...OUT, out: { limit: { rateBitsPerSecond: 1e7 }, source: 'override', problems: [] } };
    await apply();
    expect(mended).to.deep.equal(['out: the qdisc was gone']);
    expect(states.at(-1)).to.deep.include({ mended: 1 });
    expect(states.at(-1)?.out.source).to.equal('override');
  });

  it('removes links that step around the limit, and tells them, where the container could make them', async () => {
    await apply('arrived');
    bypasses = ['sly'];
    await apply();
    expect(mended).to.deep.equal([]);
    wish = { ...OUT, container: { containerId: 'c1', name: 'web', netAdmin: true } };
    await apply();
    expect(mended.join()).to.contain('link sly stepped around the limit and was removed');
  });

  it('is an error where the kernel refuses, and told as not in force', async () => {
    failure = new KernelError('no TBF here', { errno: 2, errnoName: 'ENOENT' });
    const refusal = await apply('arrived').catch((error: unknown) => error);
    expect(String(refusal)).to.contain('no TBF here');
    expect(states.at(-1)?.out).to.deep.equal({
      wished: { rateBitsPerSecond: 1e8 },
      source: 'env',
      problem: 'no TBF here',
    });
  });

  it('refuses what the container says and cannot be read, with the weaker limit in force', async () => {
    const problem = 'env net_out: rate "5mbps" may mean bits or bytes a second';
    wish = {
      ...OUT,
      out: { limit: { rateBitsPerSecond: 2e6 }, source: 'network', problems: [problem], refusal: problem },
    };
    const refusal = await apply('arrived').catch((error: unknown) => error);
    expect(refusal).to.include({ code: 'invalid', message: problem });
    expect(applied[0]?.plan.out?.rateBitsPerSecond).to.equal(2e6);
    expect(states.at(-1)?.out).to.include({ how: 'tbf', problem });
  });

  it('shapes the end of the host in mode bridge, and the parent with enforce=host', async () => {
    await apply('arrived', { mode: 'bridge' });
    expect(applied[0]?.place).to.deep.equal({ at: 'host-end', linkName: 'lheeeeeeeeeeee' });
    // Another network may enforce there.
    expect(settled).to.deep.equal(['eth0']);
    await apply('check', { enforce: 'host' });
    expect(settled).to.deep.equal(['eth0', 'eth0']);
    expect(applied).to.have.length(1);
    expect(states.at(-1)?.out.how).to.equal('host');
  });

  it('forgets endpoints that have left', async () => {
    await apply('arrived');
    setting.left(ENDPOINT);
    setting.left(ENDPOINT);
    expect(setting.states()).to.deep.equal([]);
  });
});

function link(network: Partial<NetworkRecord>): LimitedLink {
  const endpoint: EndpointRecord = {
    v: 1,
    endpointId: ENDPOINT,
    networkId: NETWORK.networkId,
    macAddress: '02:4c:0a:00:00:07',
    linkName: 'lneeeeeeeeeeee',
    options: {},
    createdAt: 0,
    instance: 'i',
  };
  return {
    endpoint,
    network: { ...NETWORK, ...network },
    namespacePath: '/run/ns/1',
    linkIndex: 2,
    mtuBytes: 1500,
  };
}
