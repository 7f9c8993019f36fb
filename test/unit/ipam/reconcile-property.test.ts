/**
 * The rule of reconciliation as a property: whatever two looks see, nothing that the engine, a sandbox or a request
 * under way uses is freed or deleted. The oracle below knows only the looks, none of the plan's reasons.
 */
import { expect } from 'chai';
import fc from 'fast-check';
import { formatIp, parseCidr, parseIp } from '../../../core/ip.ts';
import {
  agreed,
  isChange,
  type PlanContext,
  plan,
  type Verdict,
} from '../../../ipam/reconcile/reconcile-plan.ts';
import type { Look } from '../../../ipam/reconcile/reconcile-world.ts';

const SUBNETS = ['10.0.0.0/24', '10.0.1.0/24'];
const NETWORKS = ['n1', 'n2', 'n3'];
const ENDPOINTS = ['1', '2', '3', '4'].map((digit) => digit.repeat(64));
const NOW = 1_000_000;
const GRACE_MS = 60_000;

const subnetText = fc.constantFrom(...SUBNETS);
const networkId = fc.constantFrom(...NETWORKS);
const endpointId = fc.constantFrom(...ENDPOINTS);
const instance = fc.constantFrom('now', 'before');
const host = fc.integer({ min: 1, max: 5 });
const addressIn = fc.tuple(subnetText, host).map(([text, n]) => text.replace('0/24', String(n)));
const at = fc.constantFrom(NOW - 1000, NOW - 2 * GRACE_MS, NOW + 2 * GRACE_MS);

const engineEndpoint = fc.record({ networkId, endpointId, ipv4: fc.option(addressIn, { nil: '' }) });
const lease = fc
  .record({
    address: addressIn,
    state: fc.constantFrom('pending', 'bound', 'warm'),
    instance,
    at,
    busy: fc.boolean(),
    stocked: fc.boolean(),
    endpointId: fc.option(endpointId, { nil: undefined }),
    modRevision: fc.integer({ min: 5, max: 6 }),
  })
  .map(({ address, state, busy, stocked, modRevision, ...value }) => ({
    subnet: parseCidr(`${address}/24`),
    address: parseIp(address),
    createRevision: 5,
    modRevision,
    busy,
    stocked,
    value: {
      v: 1,
      state,
      host: 'h1',
      request: `${value.instance}.1`,
      bootId: 'b',
      at: value.at,
      ...(value.endpointId === undefined ? {} : { endpointId: value.endpointId }),
    } as const,
  }));
const record = fc
  .record({ endpointId, networkId, address: addressIn, instance, createdAt: at })
  .map(({ address, ...rest }) => ({
    v: 1 as const,
    ...rest,
    address: `${address}/24`,
    macAddress: '02:4c:00:00:00:01',
    linkName: `ln${rest.endpointId}`,
    options: {},
  }));
const engineNetwork = fc
  .record({
    networkId,
    subnets: fc.uniqueArray(subnetText, { minLength: 1 }),
    endpoints: fc.array(engineEndpoint, { maxLength: 3 }),
  })
  .map(({ endpoints, ...rest }) => ({
    ...rest,
    name: rest.networkId,
    driver: 'lanius',
    ipamDriver: 'lanius',
    internal: false,
    endpoints: endpoints.map((one) => ({ ...one, networkId: rest.networkId })),
  }));
const container = fc.record({
  containerId: fc.constant('c1'),
  name: fc.constant('web'),
  state: fc.constantFrom('running', 'created', 'exited'),
  labels: fc.constant({}),
  endpoints: fc.array(engineEndpoint, { maxLength: 3 }),
});
const claim = fc
  .record({
    v: fc.constant(1 as const),
    number: fc.integer({ min: 1, max: 2 }),
    subnet: subnetText,
    held: fc.array(fc.record({ address: addressIn, role: fc.constant('gateway' as const) }), {
      maxLength: 1,
    }),
    createdAt: at,
  })
  // The id has the subnet in it, so one of the same id is of the same subnet.
  .map(({ number, ...rest }) => ({ ...rest, poolId: `${rest.subnet}#${number}` }));
const network = fc.record({
  v: fc.constant(1 as const),
  networkId,
  parent: fc.constant('eth0'),
  mode: fc.constant('macvlan' as const),
  macvlanMode: fc.constant('bridge' as const),
  internal: fc.constant(false),
  subnets: fc.array(fc.record({ subnet: subnetText }), { maxLength: 1 }),
  createdAt: at,
});
const link = endpointId.map((id) => ({
  name: `ln${id}`,
  linkIndex: 7,
  alias: `lanius:${id}`,
  mtuBytes: 1500,
  up: true,
  carrier: true,
}));

const look: fc.Arbitrary<Look> = fc.record({
  leases: fc.uniqueArray(lease, { maxLength: 6, selector: (one) => formatIp(one.address) }),
  faults: fc.constant([]),
  others: fc.constant(new Map()),
  believed: fc.constant([]),
  endpoints: fc.uniqueArray(record, { maxLength: 4, selector: (one) => one.endpointId }),
  networks: fc.uniqueArray(network, { maxLength: 3, selector: (one) => one.networkId }),
  claims: fc.uniqueArray(claim, { maxLength: 2, selector: (one) => one.poolId }),
  links: fc.uniqueArray(link, { maxLength: 3, selector: (one) => one.name }),
  inSandbox: fc.uniqueArray(endpointId, { maxLength: 2 }).map((ids) => new Set(ids)),
  engineNetworks: fc.uniqueArray(engineNetwork, { maxLength: 3, selector: (one) => one.networkId }),
  engineContainers: fc.array(container, { maxLength: 2 }),
  wallMs: fc.constant(NOW),
});
const context: fc.Arbitrary<PlanContext> = fc.record({
  instance: fc.constant('now'),
  graceMs: fc.constant(GRACE_MS),
  engineLostAtMs: fc.constant(undefined),
  startedAtMs: fc.constantFrom(0, NOW - 100),
});

/** What one look shows, on networks of ours. */
function shownOf({ engineNetworks, engineContainers }: Look) {
  const ours = new Set(engineNetworks.map((one) => one.networkId));
  const all = [...engineNetworks, ...engineContainers].flatMap(({ endpoints }) => endpoints);
  return all.filter((one) => ours.has(one.networkId));
}

const isYoung = (atMs: number): boolean => Math.abs(NOW - atMs) < GRACE_MS;

function endpointLives(seen: Look, one: Look['endpoints'][number]): boolean {
  const known = shownOf(seen).some((shown) => shown.endpointId === one.endpointId);
  return known || seen.inSandbox.has(one.endpointId) || (one.instance === 'now' && isYoung(one.createdAt));
}

/** An address counts as shown if a network of the engine that shows it has its subnet. */
function addressLives(seen: Look, one: Look['leases'][number]): boolean {
  const text = formatIp(one.address);
  const has = (id: string): boolean =>
    seen.engineNetworks.some(
      (net) => net.networkId === id && net.subnets.includes(text.replace(/\d+$/, '0/24')),
    );
  const shown = shownOf(seen).some((it) => it.ipv4 === text && has(it.networkId));
  const recorded = seen.endpoints.some((it) => it.address === `${text}/24` && endpointLives(seen, it));
  const { state, endpointId: id, request, at: askedAt } = one.value;
  const underWay = state === 'pending' && request === 'now.1' && isYoung(askedAt);
  const stock = state === 'warm' && request === 'now.1' && one.stocked;
  return shown || recorded || one.busy || underWay || stock || (id !== undefined && seen.inSandbox.has(id));
}

/** @returns why the verdict is wrong in the light of this look */
function wrong(verdict: Verdict, seen: Look): string | undefined {
  if (verdict.action !== 'free' && verdict.action !== 'delete') return undefined;
  switch (verdict.kind) {
    case 'lease': {
      const its = seen.leases.find((one) => formatIp(one.address) === verdict.object);
      return its !== undefined && addressLives(seen, its) ? 'the address is in use' : undefined;
    }
    case 'endpoint':
      return endpointLives(seen, verdict.endpoint) ? 'the endpoint lives' : undefined;
    case 'link': {
      const id = verdict.link.alias?.slice('lanius:'.length) ?? '';
      const known = shownOf(seen).some((shown) => shown.endpointId === id);
      return known || seen.endpoints.some((one) => one.endpointId === id) ? 'its endpoint lives' : undefined;
    }
    case 'network': {
      const id = verdict.network.networkId;
      const known = seen.engineNetworks.some((one) => one.networkId === id);
      return known || seen.endpoints.some((one) => one.networkId === id) ? 'the network lives' : undefined;
    }
    case 'claim': {
      const { subnet } = verdict.claim;
      const known = seen.engineNetworks.some((one) => one.subnets.includes(subnet));
      return known ? 'a network has the subnet' : undefined;
    }
    case 'index':
      return undefined;
  }
}

describe('ipam/reconcile-plan, for any looks', () => {
  it('never frees or deletes what one of the two looks shows in use', () => {
    let acted = 0;
    const property = fc.property(look, fc.option(look, { nil: undefined }), context, (one, other, about) => {
      const two = other ?? one;
      const sure = agreed(plan(one, about), plan(two, about)).filter(isChange);
      acted += sure.length;
      for (const verdict of sure) {
        for (const seen of [one, two]) {
          expect(wrong(verdict, seen), `${verdict.kind} ${verdict.object} ${verdict.action}`).to.equal(
            undefined,
          );
        }
      }
    });
    fc.assert(property, { numRuns: 3000 });
    // A plan that never does anything would be right, too.
    expect(acted).to.be.greaterThan(1000);
  });

  it('gives every lease, endpoint, link, network and claim of a look one verdict', () => {
    const property = fc.property(look, context, (seen, about) => {
      const of = (kind: Verdict['kind']): number =>
        plan(seen, about).filter((verdict) => verdict.kind === kind && !('lost' in verdict)).length;
      expect(of('lease')).to.equal(seen.leases.length);
      expect(of('endpoint')).to.equal(seen.endpoints.length);
      expect(of('link')).to.equal(seen.links.length);
      expect(of('network')).to.equal(seen.networks.length);
      expect(of('claim')).to.equal(seen.claims.length);
    });
    fc.assert(property, { numRuns: 300 });
  });
});
