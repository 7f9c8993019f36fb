import { expect } from 'chai';
import { hostEndNameOf } from '../../../core/ids.ts';
import type { EndpointRecord, NetworkRecord } from '../../../store/host-records.ts';
import { UsagePlaces } from '../../../throttle/usage-places.ts';

const network: NetworkRecord = {
  v: 1,
  networkId: 'n',
  parent: 'eth0',
  mode: 'macvlan',
  macvlanMode: 'bridge',
  internal: false,
  subnets: [],
  createdAt: 0,
};
const endpointOf = (endpointId: string, sandboxKey = '/ns/1'): EndpointRecord => ({
  v: 1,
  endpointId,
  networkId: 'n',
  macAddress: 'm',
  linkName: 'l',
  sandboxKey,
  options: {},
  createdAt: 0,
  instance: 'i',
});

describe('throttle/usage-places', () => {
  it('knows where each kind of link is counted', async () => {
    const records = new Map(['a', 'b', 'c'].map((id) => [id, endpointOf(id)]));
    const places = new UsagePlaces({ endpoints: records });
    const networks: NetworkRecord[] = [
      network,
      { ...network, mode: 'bridge' },
      { ...network, enforce: 'host' },
    ];
    for (const [index, endpoint] of [...records.values()].entries()) {
      const link = { endpoint, network: networks[index] ?? network, namespacePath: '/ns/1', linkIndex: 7 };
      expect(await places.apply(link)).to.equal(undefined);
    }
    expect(places.list()).to.deep.equal([
      { endpointId: 'a', place: { at: 'sandbox', namespacePath: '/ns/1', linkIndex: 7 } },
      { endpointId: 'b', place: { at: 'host-end', linkName: hostEndNameOf('b') } },
      { endpointId: 'c', place: { at: 'parent', parent: 'eth0' } },
    ]);
  });

  it('forgets who has gone, or is in another sandbox', async () => {
    const records = new Map([['a', endpointOf('a')]]);
    const places = new UsagePlaces({ endpoints: records });
    const look = (endpoint: EndpointRecord) =>
      places.apply({ endpoint, network, namespacePath: endpoint.sandboxKey ?? '', linkIndex: 2 });
    await look(endpointOf('a'));
    records.set('a', endpointOf('a', '/ns/2'));
    expect(places.list()).to.deep.equal([]);
    await look(endpointOf('a', '/ns/2'));
    expect(places.list()).to.have.length(1);
    records.clear();
    expect(places.list()).to.deep.equal([]);
  });
});
