import { expect } from 'chai';
import { linkAliasOf } from '../../../core/ids.ts';
import { formatIp, parseCidr, parseIp } from '../../../core/ip.ts';
import { addressKey } from '../../../ipam/address/address-key.ts';
import { agreed, isChange, type PlanContext, plan } from '../../../ipam/reconcile/reconcile-plan.ts';
import type { Look } from '../../../ipam/reconcile/reconcile-world.ts';
import type { ClaimRecord, NetworkRecord } from '../../../store/host-records.ts';

const NET = 'a'.repeat(64);
const subnet = parseCidr('10.0.0.0/24');
const context: PlanContext = { instance: 'now', graceMs: 60_000, engineLostAtMs: undefined, startedAtMs: 0 };
const NOW = 1_000_000;

const empty: Look = {
  leases: [],
  believed: [],
  faults: [],
  others: new Map(),
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
    stocked: false,
    value,
    ...more,
  };
}

const bound = (address: string): Look['leases'][number] => {
  const held = lease(address);
  return { ...held, value: { ...held.value, state: 'bound' } };
};
const warm = (address: string, instance?: string, stocked = false): Look['leases'][number] => {
  const held = lease(address, instance);
  return { ...held, stocked, value: { ...held.value, state: 'warm' } };
};
const claimed: ClaimRecord = {
  v: 1,
  poolId: '10.0.0.0/24#1',
  subnet: '10.0.0.0/24',
  held: [],
  createdAt: 0,
};

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
    expect(actions({ leases: [bound('10.0.0.7')], ...engineWith('e', '10.0.0.7') })).to.deep.equal([
      'lease keep',
    ]);
  });

  it('keeps a lease whose endpoint the engine is starting', () => {
    const look = {
      leases: [bound('10.0.0.7')],
      endpoints: [endpoint('e', '10.0.0.7')],
      ...engineWith('e', ''),
    };
    expect(actions(look)).to.deep.equal(['lease keep', 'endpoint keep']);
  });

  it('waits for what was asked for a moment ago, also after the clock was set back behind a loss of the engine', () => {
    const leases = [lease('10.0.0.7', 'now')];
    expect(actions({ leases }, { engineLostAtMs: NOW + 3_600_000 })).to.deep.equal(['lease wait']);
    expect(actions({ leases }, { engineLostAtMs: NOW - 500 })).to.deep.equal(['lease free']);
  });

  it('keeps a claim as long as endpoints have addresses of it, even if the engine shows no network', () => {
    const look = {
      endpoints: [endpoint('e', '10.0.0.7')],
      leases: [bound('10.0.0.7')],
      inSandbox: new Set(['e']),
    };
    expect(actions({ ...look, claims: [claimed] })).to.deep.equal([
      'lease keep',
      'endpoint keep',
      'claim keep',
    ]);
    expect(actions({ claims: [claimed] })).to.deep.equal(['claim delete']);
  });

  it('keeps an endpoint whose link is in a sandbox although the engine does not know it', () => {
    const look = {
      leases: [bound('10.0.0.7')],
      endpoints: [endpoint('e', '10.0.0.7')],
      inSandbox: new Set(['e']),
    };
    expect(actions(look)).to.deep.equal(['lease keep', 'endpoint keep']);
  });

  it('frees lease, endpoint and link of an endpoint that the engine has forgotten', () => {
    const id = 'e'.repeat(64);
    const link = {
      name: 'lne',
      linkIndex: 4,
      alias: linkAliasOf(id),
      mtuBytes: 1500,
      up: false,
      carrier: false,
    };
    const look = { leases: [lease('10.0.0.7')], endpoints: [endpoint(id, '10.0.0.7')], links: [link] };
    expect(actions(look)).to.deep.equal(['lease free', 'endpoint delete', 'link keep']);
    expect(actions({ links: [link] })).to.deep.equal(['link delete']);
    expect(actions({ links: [{ ...link, alias: 'lanius:vlan' }] })).to.deep.equal(['link keep']);
    const hostEnd = { ...link, name: 'lhe', kind: 'veth', up: true };
    expect(actions({ links: [hostEnd] })).to.deep.equal(['link delete']);
    // The other end is up, so it is in a sandbox.
    expect(actions({ links: [{ ...hostEnd, carrier: true }] })).to.deep.equal(['link keep']);
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
    expect(actions(look)).to.deep.equal(['lease adopt', 'endpoint keep']);
    expect(actions({ endpoints: [endpoint('e', '10.0.0.7')] })).to.deep.equal(['endpoint delete']);
  });

  it('does not free a lease for a dead endpoint that had the address before the living one', () => {
    const [dead, living] = [endpoint('dead', '10.0.0.7'), endpoint('live', '10.0.0.7')];
    for (const endpoints of [
      [dead, living],
      [living, dead],
    ]) {
      const look = { leases: [bound('10.0.0.7')], endpoints, inSandbox: new Set(['live']) };
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

  it('adopts what the engine shows without a record, if the network has its addresses from here', () => {
    const shown = engineWith('e', '10.0.0.7');
    expect(actions(shown)).to.deep.equal([]);
    expect(actions({ ...shown, claims: [claimed] })).to.deep.equal(['lease adopt', 'claim keep']);
  });

  it('does not adopt where each look meets another container between its release and its end', () => {
    const look = (id: string) =>
      plan({ ...empty, ...engineWith(id, '10.0.0.7'), claims: [claimed] }, context);
    expect(agreed(look('e'), look('e')).map(({ action }) => action)).to.include('adopt');
    expect(agreed(look('e'), look('f')).map(({ action }) => action)).to.not.include('adopt');
  });

  it('does not adopt what a container that failed to start had, although the engine goes on showing it', () => {
    const { engineNetworks = [] } = engineWith('e', '10.0.0.7');
    const [network] = engineNetworks;
    const shown = network?.endpoints ?? [];
    const look = (state: string): Partial<Look> => ({
      engineNetworks: engineNetworks.map((one) => ({ ...one, endpoints: [] })),
      engineContainers: [{ containerId: 'c', name: 'web', state, labels: {}, endpoints: shown }],
      claims: [claimed],
    });
    expect(actions(look('created'))).to.deep.equal(['claim keep']);
    expect(actions(look('running'))).to.deep.equal(['lease adopt', 'claim keep']);
  });

  it('says in every run that what lives here belongs to another host in etcd, and changes nothing', () => {
    const other = { ...lease('10.0.0.7').value, host: 'h2', state: 'bound', containerName: 'db' } as const;
    const look = {
      ...empty,
      endpoints: [endpoint('e', '10.0.0.7')],
      claims: [claimed],
      ...engineWith('e', '10.0.0.7'),
      others: new Map([[addressKey({ subnet, address: parseIp('10.0.0.7') }), other]]),
    };
    const [told, ...rest] = plan(look, context);
    expect(told).to.include({ kind: 'lease', object: '10.0.0.7', action: 'conflict' });
    expect(told?.reason).to.equal('the engine shows it at web, but in etcd db on host h2 has it');
    expect(rest.map(({ action }) => action)).to.deep.equal(['keep', 'keep']);
    expect(isChange({ action: 'conflict' })).to.equal(false);
  });

  it('binds a lease that a living container has and that does not say so, and never frees it', () => {
    const shown = engineWith('e', '10.0.0.7');
    const look = { leases: [warm('10.0.0.7')], endpoints: [endpoint('e', '10.0.0.7')], ...shown };
    expect(actions(look)).to.deep.equal(['lease bind', 'endpoint keep']);
    const [verdict] = plan({ ...empty, ...look }, context);
    expect(verdict).to.deep.include({
      holder: {
        endpointId: 'e',
        networkId: NET,
        macAddress: '02:4c:0a:00:00:07',
        containerId: 'c',
        containerName: 'web',
      },
    });
    expect(actions({ leases: [lease('10.0.0.7')], ...shown })).to.deep.equal(['lease bind']);
    expect(actions({ leases: [lease('10.0.0.7', 'now')], ...shown }), 'the note is under way').to.deep.equal([
      'lease keep',
    ]);
    const inSandbox = { endpoints: [endpoint('e', '10.0.0.7')], inSandbox: new Set(['e']) };
    expect(actions({ leases: [warm('10.0.0.7')], ...inSandbox })).to.deep.equal([
      'lease bind',
      'endpoint keep',
    ]);
  });

  it('keeps its own stock, and that of an earlier process for a time of grace', () => {
    expect(actions({ leases: [warm('10.0.0.7', 'now', true)] })).to.deep.equal(['lease keep']);
    expect(actions({ leases: [warm('10.0.0.7', 'now')] }), 'lost from the stock').to.deep.equal([
      'lease free',
    ]);
    const earlier = { leases: [warm('10.0.0.7')] };
    expect(actions(earlier, { startedAtMs: NOW - 59_000 })).to.deep.equal(['lease wait']);
    expect(actions(earlier, { startedAtMs: NOW - 61_000 })).to.deep.equal(['lease free']);
  });

  it('forgets what only memory has, unless something uses it', () => {
    const believed = [bound('10.0.0.7')];
    expect(actions({ believed })).to.deep.equal(['lease delete']);
    const inUse = { claims: [claimed], ...engineWith('e', '10.0.0.7') };
    expect(actions({ believed, ...inUse })).to.deep.equal(['lease adopt', 'claim keep']);
  });

  it('mends the index of leases that it does not free', () => {
    const at = { subnet, address: parseIp('10.0.0.7') };
    const held = bound('10.0.0.7');
    const faults = [{ fault: 'missing', at, held }] as const;
    const lives = { endpoints: [endpoint('e', '10.0.0.7')], ...engineWith('e', '10.0.0.7') };
    expect(actions({ leases: [held], faults, ...lives })).to.deep.equal([
      'lease keep',
      'index repair',
      'endpoint keep',
    ]);
    expect(actions({ leases: [held], faults })).to.deep.equal(['lease free', 'index keep']);
    expect(actions({ faults: [{ fault: 'stray', at, indexRevision: 9 }] })).to.deep.equal(['index delete']);
  });

  it('plans 10,000 leases without holding up the daemon', () => {
    const leases = Array.from({ length: 10_000 }, (_, i) => lease(`10.0.${Math.floor(i / 250)}.${i % 250}`));
    const endpoints = leases.map(({ address }, i) => ({
      ...endpoint(`e${i}`, ''),
      address: `${formatIp(address)}/16`,
    }));
    const shown = endpoints.map(({ endpointId, address }) => ({
      networkId: NET,
      endpointId,
      ipv4: address.replace('/16', ''),
    }));
    const { engineNetworks } = engineWith('e', '');
    const look = {
      ...empty,
      leases: leases.map((one) => ({ ...one, subnet: parseCidr('10.0.0.0/16') })),
      endpoints,
      engineNetworks: (engineNetworks ?? []).map((network) => ({
        ...network,
        subnets: ['10.0.0.0/16'],
        endpoints: shown,
      })),
    };
    const free = { ...empty, leases: look.leases };
    for (const one of [look, free]) {
      plan(one, context);
      // Not the time of day: the machine does other things, too.
      const before = process.cpuUsage();
      const first = plan(one, context);
      const both = agreed(first, first);
      const tookMs = process.cpuUsage(before).user / 1000;
      expect(both).to.have.length(first.length);
      expect(tookMs).to.be.below(400);
    }
  });

  it('acts only on what two looks saw unchanged', () => {
    const first = plan({ ...empty, leases: [lease('10.0.0.7'), lease('10.0.0.8')] }, context);
    const moved = lease('10.0.0.8', 'before', { modRevision: 6 });
    const second = plan({ ...empty, leases: [lease('10.0.0.7'), moved, lease('10.0.0.9')] }, context);
    expect(agreed(first, second).map(({ object }) => object)).to.deep.equal(['10.0.0.7']);
  });
});
