import { expect } from 'chai';
import { parseCidr } from '../../../core/ip.ts';
import { silentLogger } from '../../../core/log.ts';
import { DEFAULT_MAC_PREFIX } from '../../../core/mac.ts';
import type { ArpWish } from '../../../links/arp-choice.ts';
import type { PreloadPool } from '../../../links/arp-preload.ts';
import { ArpSetting } from '../../../links/arp-setting.ts';
import type { Occasion, SandboxLink } from '../../../links/sandbox-setting.ts';
import type { EndpointRecord, NetworkRecord } from '../../../store/host-records.ts';

const NETWORK = {
  networkId: 'n'.repeat(64),
  parent: 'eth0',
  mode: 'macvlan',
  subnets: [{ subnet: '10.1.0.0/24', gateway: '10.1.0.1' }],
} as unknown as NetworkRecord;

const LINK: SandboxLink = {
  endpoint: { endpointId: 'e1', address: '10.1.0.7/24' } as EndpointRecord,
  network: NETWORK,
  namespacePath: '/run/netns/x',
  name: 'eth0',
  linkIndex: 2,
  mtuBytes: 1500,
};

/** The setting with ports that write down what they are asked. */
class Played {
  known: { readonly pools: readonly PreloadPool[]; readonly wish?: ArpWish } | undefined;
  can: true | string = true;
  readonly asked: string[] = [];
  readonly mended: string[] = [];
  readonly setting = new ArpSetting({
    pools: { of: () => this.known },
    neighbours: {
      load: async (_target, { runs }, { look = 'sample', first = false } = {}) => {
        const entries = runs.reduce((sum, run) => sum + run.last - run.first + 1, 0);
        this.asked.push(`load ${entries} ${look}${first ? ' first' : ''}`);
        return { entries, wrote: 0, removed: 0 };
      },
      clear: async () => {
        this.asked.push('clear');
        return { entries: 0, wrote: 0, removed: 0 };
      },
    },
    responder: {
      supported: async () => this.can,
      attach: async () => {
        this.asked.push('attach');
        return true;
      },
      detach: async () => this.asked.push('detach') > 0,
      plan: async ({ plan }) => this.asked.push(`plan of ${plan.runs.length} runs`) > 0,
      settle: async (networkIds) => {
        this.asked.push(`settle ${networkIds.length}`);
        return [];
      },
    },
    networks: { list: () => [NETWORK] },
    leased: { want: () => {}, keep: () => {} },
    clock: { now: () => performance.now() },
    logger: silentLogger,
  });

  know(wish: ArpWish, fixed: Readonly<Record<string, string>> = {}, excluded = ''): void {
    const pool: PreloadPool = {
      subnet: parseCidr('10.1.0.0/24'),
      ranges: [],
      excludes: excluded === '' ? [] : [{ family: 4, first: BigInt(excluded), last: BigInt(excluded) }],
      macPrefix: DEFAULT_MAC_PREFIX,
      fixedMacs: new Map(Object.entries(fixed)),
    };
    this.known = { pools: [pool], wish };
  }

  async apply(occasion: Occasion): Promise<string | undefined> {
    return this.setting.apply(LINK, occasion, (what) => this.mended.push(what));
  }

  /** What was asked since the last time. */
  get said(): string[] {
    return this.asked.splice(0);
  }
}

describe('links/arp-setting', () => {
  let played: Played;

  beforeEach(() => {
    played = new Played();
  });

  it('writes nothing as long as it is not known who has a MAC of his own', async () => {
    expect(await played.apply('arrived')).to.equal('as usual, until etcd answers');
    expect(played.said).to.deep.equal([]);
  });

  it('writes the whole table of a link that arrives, and looks at it later', async () => {
    played.know('preload');
    expect(await played.apply('arrived')).to.equal('preload, 252 addresses');
    expect(played.said).to.deep.equal(['load 252 none first']);
    await played.apply('check');
    expect(played.said).to.deep.equal(['load 252 sample']);
  });

  it('compares everything on a link that an earlier daemon has left, and takes the filter away', async () => {
    played.know('preload');
    await played.apply('check');
    expect(played.said).to.deep.equal(['load 252 all', 'detach']);
  });

  it('writes one entry when one MAC has changed, and reads the table when an address is planned no more', async () => {
    played.know('preload');
    await played.apply('arrived');
    played.know('preload', { '10.1.0.9': '02:aa:00:00:00:01' });
    expect(played.said).to.have.length(1);
    await played.apply('check');
    expect(played.said).to.deep.equal(['load 1 none', 'load 252 sample']);
    played.know('preload', {}, '0x0a010009');
    await played.apply('check');
    expect(played.said).to.deep.equal(['load 251 all', 'load 251 sample']);
  });

  it('takes away what is chosen no more', async () => {
    played.know('preload');
    await played.apply('arrived');
    played.know('responder');
    expect(played.said).to.have.length(1);
    expect(await played.apply('check')).to.equal('responder, 253 addresses');
    expect(played.said).to.deep.equal(['attach', 'clear']);
    played.know('off');
    expect(await played.apply('check')).to.equal(undefined);
    expect(played.said).to.deep.equal(['detach']);
    await played.apply('check');
    expect(played.said).to.deep.equal([]);
  });

  it('tells of a filter that was gone, but not of the first one', async () => {
    played.know('responder');
    await played.apply('arrived');
    expect(played.mended).to.deep.equal([]);
    await played.apply('check');
    expect(played.mended).to.deep.equal(['the filter was gone']);
  });

  it('tells the responder of changes once for a network', async () => {
    played.know('responder');
    await played.apply('arrived');
    played.know('responder', { '10.1.0.9': '02:aa:00:00:00:01' });
    expect(played.said).to.deep.equal(['attach']);
    await played.setting.changed();
    expect(played.said).to.deep.equal(['plan of 3 runs']);
  });

  it('forgets networks that do not want the responder', async () => {
    await played.setting.settle([NETWORK], []);
    played.know('preload');
    await played.setting.settle([NETWORK], []);
    played.know('responder');
    await played.setting.settle([NETWORK], []);
    expect(played.said).to.deep.equal(['settle 1', 'settle 0', 'settle 1']);
  });

  it('says what it has chosen for a network', async () => {
    expect(await played.setting.chosen(NETWORK)).to.equal(undefined);
    played.know('responder');
    played.can = 'this kernel has no clsact';
    expect(await played.setting.chosen(NETWORK)).to.include({
      how: 'preload',
      wish: 'responder',
      entries: 253,
    });
  });
});
