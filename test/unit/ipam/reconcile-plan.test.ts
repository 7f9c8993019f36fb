import { expect } from 'chai';
import { parseCidr, parseIp } from '../../../core/ip.ts';
import { agreed, type Look, type PlanContext, plan } from '../../../ipam/reconcile-plan.ts';
import type { ClaimRecord, NetworkRecord } from '../../../store/host-records.ts';

const NET = 'a'.repeat(64);
const subnet = parseCidr('10.0.0.0/24');
const context: PlanContext = { instance: 'now', graceMs: 60_000, engineLostAtMs: undefined, startedAtMs: 0 };
const NOW = 1_000_000;

const empty: Look = {
  leases: [],
  endpoints: [],
  networks: [],
  claims: [],
  links: [],
  inSandbox: new Set(),
  engineNetworks: [],
  engineContainers: [],
  wallMs: NOW,
};

function lease(
  address: string,
  instance = 'before',
  more: Partial<Look['leases'][number]> = {},
): Look['leases'][number] {
  const value = {
    v: 1,
    state: 'pending',
    host: 'h1',
    request: `${instance}.1`,
    bootId: 'b',
    at: NOW - 1000,
  } as const;
  return {
    subnet,
    address: parseIp(address),
    createRevision: 5,
    modRevision: 5,
    busy: false,
    value,
    ...more,
  };
}

function endpoint(id: string, address: string, instance = 'before'): Look['endpoints'][number] {
  return {
    v: 1,
    endpointId: id,
    networkId: NET,
    address: `${address}/24`,
    macAddress: '02:4c:0a:00:00:07',
    linkName: `ln${id}`,
    options: {},
    createdAt: NOW - 1000,
    instance,
  };
}

function engineWith(id: string, address: string): Partial<Look> {
  const shown = { networkId: NET, endpointId: id, containerId: 'c', containerName: 'web', ipv4: address };
  const network = {
    networkId: NET,
    name: 'n',
    driver: 'lanius',
    ipamDriver: 'lanius',
    subnets: ['10.0.0.0/24'],
    internal: false,
  };
  return { engineNetworks: [{ ...network, endpoints: [shown] }] };
}

const actions = (look: Partial<Look>, with_: Partial<PlanContext> = {}) =>
  plan({ ...empty, ...look }, { ...context, ...with_ }).map(({ kind, action }) => `${kind} ${action}`);

describe('ipam/reconcile-plan', () => {
  it('frees a lease that nothing uses', () => {
    expect(actions({ leases: [lease('10.0.0.7')] })).to.deep.equal(['lease free']);
  });

  it('keeps a lease that the engine shows at a container, whatever the records say', () => {
    expect(actions({ leases: [lease('10.0.0.7')], ...engineWith('e', '10.0.0.7') })).to.deep.equal([
      'lease keep',
    ]);
  });

  it('keeps a lease whose endpoint the engine is starting', () => {
    const look = {
      leases: [lease('10.0.0.7')],
      endpoints: [endpoint('e', '10.0.0.7')],
      ...engineWith('e', ''),
    };
    expect(actions(look)).to.deep.equal(['lease keep', 'endpoint keep']);
  });

  it('keeps an endpoint whose link is up in a sandbox although the engine does not know it', () => {
    const look = {
      leases: [lease('10.0.0.7')],
      endpoints: [endpoint('e', '10.0.0.7')],
      inSandbox: new Set(['e']),
    };
    expect(actions(look)).to.deep.equal(['lease keep', 'endpoint keep']);
  });

  it('frees lease, endpoint and link of an endpoint that the engine has forgotten', () => {
    const link = { name: 'lne', linkIndex: 4, alias: 'lanius:e', mtuBytes: 1500, up: false, carrier: false };
    const look = { leases: [lease('10.0.0.7')], endpoints: [endpoint('e', '10.0.0.7')], links: [link] };
    expect(actions(look)).to.deep.equal(['lease free', 'endpoint delete', 'link keep']);
    expect(actions({ links: [link] })).to.deep.equal(['link delete']);
  });

  it('waits for what this daemon was asked a moment ago by a living engine, not by a dead one', () => {
    const look = { leases: [lease('10.0.0.7', 'now')], endpoints: [endpoint('e', '10.0.0.8', 'now')] };
    expect(actions(look)).to.deep.equal(['lease wait', 'endpoint wait']);
    expect(actions(look, { engineLostAtMs: NOW - 500 })).to.deep.equal(['lease free', 'endpoint delete']);
    expect(actions({ ...look, wallMs: NOW + 60_001 })).to.deep.equal(['lease free', 'endpoint delete']);
  });

  it('waits while a request on the address is under way', () => {
    expect(actions({ leases: [lease('10.0.0.7', 'before', { busy: true })] })).to.deep.equal(['lease wait']);
  });

  it('lets claims and networks go only a grace period after the start', () => {
    const claim: ClaimRecord = {
      v: 1,
      poolId: '10.0.0.0/24#1',
      subnet: '10.0.0.0/24',
      held: [],
      networkId: NET,
      createdAt: 0,
    };
    const network: NetworkRecord = {
      v: 1,
      networkId: NET,
      parent: 'eth0',
      mode: 'macvlan',
      macvlanMode: 'bridge',
      internal: false,
      subnets: [],
      createdAt: 0,
    };
    const look = { claims: [claim], networks: [network] };
    expect(actions(look, { startedAtMs: NOW - 1000 })).to.deep.equal(['network wait', 'claim wait']);
    expect(actions(look)).to.deep.equal(['network delete', 'claim delete']);
    expect(actions({ ...look, ...engineWith('e', '') })).to.deep.equal(['network keep', 'claim keep']);
  });

  it('lets a living endpoint have its lease again when etcd has lost it', () => {
    const look = { endpoints: [endpoint('e', '10.0.0.7')], ...engineWith('e', '10.0.0.7') };
    expect(actions(look)).to.deep.equal(['endpoint adopt']);
    expect(actions({ endpoints: [endpoint('e', '10.0.0.7')] })).to.deep.equal(['endpoint delete']);
  });

  it('does not free a lease for a dead endpoint that had the address before the living one', () => {
    const [dead, living] = [endpoint('dead', '10.0.0.7'), endpoint('live', '10.0.0.7')];
    for (const endpoints of [
      [dead, living],
      [living, dead],
    ]) {
      const look = { leases: [lease('10.0.0.7')], endpoints, inSandbox: new Set(['live']) };
      expect(actions(look)[0]).to.equal('lease keep');
    }
    expect(actions({ leases: [lease('10.0.0.7', 'now')], endpoints: [dead] })).to.deep.equal([
      'lease wait',
      'endpoint delete',
    ]);
  });

  it('does not wait for years when the clock was set back', () => {
    const look = {
      leases: [lease('10.0.0.7', 'now')],
      endpoints: [endpoint('e', '10.0.0.8', 'now')],
      wallMs: NOW - 1e10,
    };
    expect(actions(look)).to.deep.equal(['lease free', 'endpoint delete']);
    expect(actions({ ...look, wallMs: NOW - 5000 })).to.deep.equal(['lease wait', 'endpoint wait']);
  });

  it('acts only on what two looks saw unchanged', () => {
    const first = plan({ ...empty, leases: [lease('10.0.0.7'), lease('10.0.0.8')] }, context);
    const moved = lease('10.0.0.8', 'before', { modRevision: 6 });
    const second = plan({ ...empty, leases: [lease('10.0.0.7'), moved, lease('10.0.0.9')] }, context);
    expect(agreed(first, second).map(({ object }) => object)).to.deep.equal(['10.0.0.7']);
  });
});
