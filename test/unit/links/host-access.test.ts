import { expect } from 'chai';
import { shimNameOf } from '../../../core/ids.ts';
import { silentLogger } from '../../../core/log.ts';
import { difference, HostAccess, HostAccessRules } from '../../../links/host-access.ts';
import type { HostRoutesChange, ShimPort } from '../../../net/shim-port.ts';
import type { EndpointRecord, NetworkRecord } from '../../../store/host-records.ts';

const SHIM = shimNameOf('eth0');

const network = (more: Partial<NetworkRecord> = {}): NetworkRecord => ({
  v: 1,
  networkId: 'n1',
  parent: 'eth0',
  mode: 'macvlan',
  macvlanMode: 'bridge',
  hostAccess: true,
  internal: false,
  subnets: [{ subnet: '10.0.0.0/24', gateway: '10.0.0.1' }, { subnet: 'fd00::/64' }],
  createdAt: 0,
  ...more,
});

const endpoint = (id: string, address: string, more: Partial<EndpointRecord> = {}): EndpointRecord => ({
  v: 1,
  endpointId: id,
  networkId: 'n1',
  address,
  macAddress: '02:4c:0a:00:00:07',
  linkName: `ln${id}`,
  options: {},
  createdAt: 0,
  instance: 'i',
  ...more,
});

/** A kernel in memory whose host has these addresses towards the segments. */
class PlayedShims implements ShimPort {
  readonly sources: Record<string, string> = { '10.0.0.1': '10.0.0.99', '10.1.0.1': '10.0.0.99' };
  readonly shims = new Map<string, Map<string, string | undefined>>();
  readonly changes: HostRoutesChange[] = [];

  async shimAdd({ name }: { readonly name: string }) {
    if (!this.shims.has(name)) this.shims.set(name, new Map());
    const state = { linkIndex: 9, mtuBytes: 1500, up: true, carrier: true, macAddress: '02:00:00:00:00:99' };
    return { link: { name, ...state }, unset: [] };
  }

  async shimDelete({ name }: { readonly name: string }) {
    return this.shims.delete(name);
  }

  async hostRoutesFind(name: string) {
    const routes = this.shims.get(name);
    if (routes === undefined) return undefined;
    const found = [...routes].map(([address, source]) => ({ address, ...(source ? { source } : {}) }));
    return { routes: found, sources: this.sources, macAddress: '02:00:00:00:00:99' };
  }

  async hostRoutesChange(change: HostRoutesChange) {
    this.changes.push(change);
    const routes = this.shims.get(change.shim);
    if (routes === undefined) return undefined;
    for (const address of change.remove) routes.delete(address);
    for (const { address, towards } of change.put) {
      const source = this.sources[towards];
      if (source !== undefined) routes.set(address, source);
    }
    return this.sources;
  }

  async staticNeighbours() {
    return true;
  }
}

describe('links/host-access', () => {
  let shims: PlayedShims;
  let networks: NetworkRecord[];
  let endpoints: EndpointRecord[];
  let access: HostAccess;

  beforeEach(() => {
    shims = new PlayedShims();
    networks = [network()];
    endpoints = [];
    access = new HostAccess({
      shims,
      net: {
        linkList: async () =>
          [...shims.shims.keys()].map((name) => {
            return { name, alias: 'lanius:shim', linkIndex: 9, mtuBytes: 1500, up: true, carrier: true };
          }),
      },
      networks: { list: () => networks, get: (id) => networks.find(({ networkId }) => networkId === id) },
      endpoints: { list: () => endpoints },
      logger: silentLogger,
    });
  });

  const routes = (): string[] => [...(shims.shims.get(SHIM)?.keys() ?? [])].sort();

  it('has a shim and routes as long as networks and endpoints need them', async () => {
    await access.prepare(network());
    const first = endpoint('e1', '10.0.0.7/24');
    endpoints.push(first);
    await access.attach(first, network());
    expect(routes()).to.deep.equal(['10.0.0.7']);
    endpoints.length = 0;
    await access.refresh();
    expect(routes()).to.deep.equal([]);
    await access.settle(networks);
    expect([...shims.shims.keys()]).to.deep.equal([SHIM]);
    networks.length = 0;
    await access.settle([]);
    expect([...shims.shims.keys()]).to.deep.equal([]);
    expect(access.shims).to.deep.equal([]);
  });

  it('restores shim and routes of living endpoints', async () => {
    endpoints.push(endpoint('e1', '10.0.0.7/24'));
    await access.prepare(network());
    expect(routes()).to.deep.equal(['10.0.0.7']);
    shims.shims.clear();
    await access.attach(endpoint('e2', '10.0.0.8/24'), network());
    endpoints.push(endpoint('e2', '10.0.0.8/24'));
    await access.refresh();
    expect(routes()).to.deep.equal(['10.0.0.7', '10.0.0.8']);
  });

  it('does nothing for a network without host access', async () => {
    networks = [network({ hostAccess: false })];
    await access.prepare(network({ hostAccess: false }));
    await access.attach(endpoint('e1', '10.0.0.7/24'), network({ hostAccess: false }));
    expect(shims.shims.size + shims.changes.length).to.equal(0);
    expect(access.onLink(endpoint('e1', '10.0.0.7/24'), network({ hostAccess: false }))).to.deep.equal([]);
  });

  it('refuses modes whose containers no shim reaches', async () => {
    for (const [more, text] of [
      [{ macvlanMode: 'private' }, 'macvlan_mode=private'],
      [{ mode: 'bridge' }, 'adopt_address=true'],
      [{ mode: 'ipvlan' }, 'mode=ipvlan'],
    ] as const) {
      let said = '';
      await new HostAccessRules().prepare(network(more)).catch((error: Error) => {
        said = error.message;
      });
      expect(said)
        .to.match(/^option host_access: /)
        .and.contain(text);
    }
    expect(shims.shims.size).to.equal(0);
  });

  it('puts the host on the link of an endpoint whose subnet it is not in, once a sandbox', async () => {
    const far = network({ networkId: 'n2', subnets: [{ subnet: '10.1.0.0/24', gateway: '10.1.0.1' }] });
    const farther = { ...far, networkId: 'n3' };
    networks = [network(), far, farther];
    await access.prepare(far);
    const near = endpoint('e1', '10.0.0.7/24');
    const one = endpoint('e2', '10.1.0.7/24', { networkId: 'n2', sandboxKey: '/s' });
    expect(access.onLink(near, network())).to.deep.equal([]);
    expect(access.onLink(one, far)).to.deep.equal(['10.0.0.99/32']);
    expect(access.hostNeighbours(one, far)).to.deep.equal([
      { address: '10.0.0.99', macAddress: '02:00:00:00:00:99' },
    ]);
    endpoints = [one];
    const two = endpoint('e3', '10.1.0.8/24', { networkId: 'n3', sandboxKey: '/s' });
    expect(access.onLink(two, farther)).to.deep.equal([]);
    expect(access.onLink({ ...two, sandboxKey: '/other' }, farther)).to.deep.equal(['10.0.0.99/32']);
  });

  it('changes only what differs, and keeps a route for which the host has no source at the moment', () => {
    const put = (address: string) => ({ address, macAddress: 'm', towards: 't' });
    const found = {
      routes: [{ address: 'a', source: 's' }, { address: 'b', source: 'old' }, { address: 'c' }],
      sources: { t: 's' },
    };
    expect(difference([put('a'), put('b'), put('d')], found)).to.deep.equal({
      put: [put('b'), put('d')],
      remove: ['c'],
    });
    expect(difference([put('a')], { ...found, sources: {} })).to.deep.equal({ put: [], remove: ['b', 'c'] });
  });
});
