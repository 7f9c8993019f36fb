import { expect } from 'chai';
import {
  BRIDGE_MARK,
  bridgeNameOf,
  hostEndNameOf,
  hostIfbNameOf,
  linkAliasOf,
  linkNameOf,
  parentIfbMarkOf,
  parentIfbNameOf,
  SHIM_MARK,
  shimNameOf,
  VLAN_MARK,
} from '../../../core/ids.ts';
import { belongingsOf, type HostView, leaksOf } from '../../../links/belongings.ts';
import type { LinkInfo } from '../../../net/port.ts';
import type { EndpointRecord, NetworkRecord } from '../../../store/host-records.ts';

const NET = 'a'.repeat(64);
const EP = 'e'.repeat(64);

const empty: HostView = {
  links: [],
  hostRoutes: [],
  responder: { networkIds: [], pins: [] },
  networks: [],
  endpoints: [],
  adoptingBridges: [],
  engineEndpoints: new Set(),
};
const network: NetworkRecord = {
  v: 1,
  networkId: NET,
  parent: 'eth0',
  mode: 'macvlan',
  macvlanMode: 'bridge',
  internal: false,
  subnets: [{ subnet: '10.0.0.0/24' }],
  createdAt: 0,
};
const endpoint: EndpointRecord = {
  v: 1,
  endpointId: EP,
  networkId: NET,
  address: '10.0.0.7/24',
  addressIpv6: 'fd00::7/64',
  macAddress: '02:4c:0a:00:00:07',
  linkName: linkNameOf(EP),
  options: {},
  createdAt: 0,
  instance: 'i',
};

function link(name: string, alias?: string, kind = 'macvlan'): LinkInfo {
  const standing = { name, linkIndex: 7, kind, mtuBytes: 1500, up: true, carrier: true };
  return alias === undefined ? standing : { ...standing, alias };
}

/** `kind object owner` of each. */
const all = (view: Partial<HostView>): string[] =>
  belongingsOf({ ...empty, ...view }).map(({ kind, object, owner }) => `${kind} ${object} ${owner ?? '-'}`);

describe('links/belongings', () => {
  it('gives both ends of an endpoint to it, by its record or by what the engine knows', () => {
    const links = [linkNameOf(EP), hostEndNameOf(EP)].map((name) => link(name, linkAliasOf(EP)));
    const owned = [
      'endpoint link lneeeeeeeeeeee endpoint eeeeeeeeeeee',
      'host end lheeeeeeeeeeee endpoint eeeeeeeeeeee',
    ];
    expect(all({ links, endpoints: [endpoint] })).to.deep.equal(owned);
    expect(all({ links, engineEndpoints: new Set([EP]) })).to.deep.equal(owned);
    expect(all({ links })).to.deep.equal(['endpoint link lneeeeeeeeeeee -', 'host end lheeeeeeeeeeee -']);
  });

  it('gives an ifb to its endpoint, or to the network whose parent it is for', () => {
    const ifb = [link(hostIfbNameOf(EP), linkAliasOf(EP), 'ifb')];
    expect(all({ links: ifb, endpoints: [endpoint] })).to.deep.equal([
      'ifb lieeeeeeeeeeee endpoint eeeeeeeeeeee',
    ]);
    expect(all({ links: ifb })).to.deep.equal(['ifb lieeeeeeeeeeee -']);
    const name = parentIfbNameOf('eth0');
    const ofParent = [link(name, parentIfbMarkOf('eth0'), 'ifb')];
    expect(all({ links: ofParent, networks: [{ ...network, enforce: 'host' }] })).to.deep.equal([
      `ifb ${name} network aaaaaaaaaaaa`,
    ]);
    expect(all({ links: ofParent })).to.deep.equal([`ifb ${name} -`]);
    expect(all({ links: [link(name, undefined, 'ifb')] })).to.deep.equal([`link ${name} -`]);
  });

  it('gives a VLAN to the networks on it, and to those on a VLAN of it', () => {
    const links = [link('eth0.5', VLAN_MARK, 'vlan')];
    expect(all({ links })).to.deep.equal(['VLAN eth0.5 -']);
    const on = { ...network, parent: 'eth0.5', vlan: { lower: 'eth0', vlanId: 5 } };
    const above = { ...network, parent: 'eth0.5.6', vlan: { lower: 'eth0.5', vlanId: 6 } };
    for (const user of [on, above])
      expect(all({ links, networks: [user] })).to.deep.equal(['VLAN eth0.5 network aaaaaaaaaaaa']);
  });

  it('gives a bridge to its networks, and to the addresses that it must give back', () => {
    const links = [link('br-eth0', BRIDGE_MARK, 'bridge')];
    const user = { ...network, mode: 'bridge' as const };
    expect(bridgeNameOf('eth0')).to.equal('br-eth0');
    expect(all({ links, networks: [user] })).to.deep.equal(['bridge br-eth0 network aaaaaaaaaaaa']);
    expect(all({ links, networks: [network, { ...user, bridge: 'br1' }] })).to.deep.equal([
      'bridge br-eth0 -',
    ]);
    expect(all({ links, adoptingBridges: ['br-eth0'] })).to.deep.equal([
      'bridge br-eth0 the addresses that it has taken over',
    ]);
  });

  it('gives a shim to networks with host access, and its routes to their endpoints', () => {
    const shim = shimNameOf('eth0');
    const view = {
      links: [link(shim, SHIM_MARK)],
      hostRoutes: ['10.0.0.7', 'fd00::7'],
      endpoints: [endpoint],
    };
    const orphans = [`shim ${shim} -`, 'host route 10.0.0.7 -', 'host route fd00::7 -'];
    expect(all({ ...view, networks: [network] })).to.deep.equal(orphans);
    const reaching = { ...network, hostAccess: true };
    expect(all({ ...view, networks: [reaching] })).to.deep.equal([
      `shim ${shim} network aaaaaaaaaaaa`,
      'host route 10.0.0.7 endpoint eeeeeeeeeeee',
      'host route fd00::7 endpoint eeeeeeeeeeee',
    ]);
    expect(all({ ...view, endpoints: [], networks: [reaching] }).slice(1)).to.deep.equal(orphans.slice(1));
  });

  it('gives tables and pins of the responder to networks that are there', () => {
    const responder = { networkIds: [NET, 'b'.repeat(64)], pins: ['v1/program'] };
    expect(all({ responder, networks: [network] })).to.deep.equal([
      'ARP responder aaaaaaaaaaaa network aaaaaaaaaaaa',
      'ARP responder bbbbbbbbbbbb -',
      'pin v1/program network aaaaaaaaaaaa',
    ]);
    expect(all({ responder: { networkIds: [], pins: ['v1/program'] } })).to.deep.equal(['pin v1/program -']);
  });

  it('says of a mark or name that it does not know that nobody owns it, and nothing of what is not ours', () => {
    const links = [
      link('eth0'),
      link('veth0', 'uplink', 'veth'),
      link('x1', 'lanius:ifb', 'ifb'),
      link('ln0123456789ab'),
      link('ln0123456789ac', undefined, 'tun'),
      link('other', linkAliasOf(EP)),
    ];
    const found = belongingsOf({ ...empty, links });
    expect(found.map(({ object }) => object)).to.deep.equal(['x1', 'ln0123456789ab', 'other']);
    expect(leaksOf(found)).to.deep.equal(found);
  });
});
