/**
 * The contract with the engine: everything that engines 20.10, 26.1 and 28.5 were recorded to send is answered, in
 * their order and with their ids, by the real handlers on a real etcd and the real kernel. What succeeded when it was
 * recorded succeeds, with an answer of the same shape; and at the end of a scenario nothing is left that the engine
 * has let go.
 */
import { expect } from 'chai';
import type { z } from 'zod';
import { parseCidr } from '../../core/ip.ts';
import * as activation from '../../plugin/wire/activation.ts';
import * as ipam from '../../plugin/wire/ipam.ts';
import * as network from '../../plugin/wire/network.ts';
import { until } from '../support/poll.ts';
import { RealStack } from '../support/real-stack.ts';
import { need } from '../support/require.ts';
import {
  type Fields,
  isForeignNetwork,
  type RecordedCall,
  type Recording,
  recordings,
  Translation,
  wasRefused,
} from './recorded-calls.ts';

const REPLIES: Readonly<Record<string, z.ZodObject>> = {
  'Plugin.Activate': activation.activateReply,
  'NetworkDriver.GetCapabilities': network.networkCapabilitiesReply,
  'NetworkDriver.CreateNetwork': network.createNetworkReply,
  'NetworkDriver.DeleteNetwork': network.deleteNetworkReply,
  'NetworkDriver.CreateEndpoint': network.createEndpointReply,
  'NetworkDriver.EndpointOperInfo': network.endpointOperInfoReply,
  'NetworkDriver.DeleteEndpoint': network.deleteEndpointReply,
  'NetworkDriver.Join': network.joinReply,
  'NetworkDriver.Leave': network.leaveReply,
  'NetworkDriver.ProgramExternalConnectivity': network.programReply,
  'NetworkDriver.RevokeExternalConnectivity': network.revokeReply,
  'NetworkDriver.DiscoverNew': network.discoverReply,
  'NetworkDriver.DiscoverDelete': network.discoverReply,
  'IpamDriver.GetCapabilities': ipam.ipamCapabilitiesReply,
  'IpamDriver.GetDefaultAddressSpaces': ipam.addressSpacesReply,
  'IpamDriver.RequestPool': ipam.requestPoolReply,
  'IpamDriver.ReleasePool': ipam.releasePoolReply,
  'IpamDriver.RequestAddress': ipam.requestAddressReply,
  'IpamDriver.ReleaseAddress': ipam.releaseAddressReply,
};

describe('plugin against recorded engines', () => {
  let stack: RealStack;
  const all = recordings();

  before(async function () {
    need(this, 'root', 'netns', 'etcd');
    const pool = { name: 'default', subnet: parseCidr('10.78.0.0/16') };
    stack = await RealStack.start({ configuredPools: [pool], defaultPool: 'default' });
  });
  after(async () => stack?.stop());

  it('has recordings of three engines', () => {
    expect([...new Set(all.map(({ engine }) => engine))]).to.deep.equal(['20.10.24', '26.1.5', '28.5.2']);
  });

  for (const recording of all) {
    it(`answers ${recording.engine} in the scenario ${recording.scenario}`, async () => {
      const living = await replay(recording);
      const left = stack.endpoints.list().map(({ endpointId }) => endpointId);
      expect([...living.endpoints].sort(), 'endpoints').to.deep.equal(left.sort());
      expect(
        stack.networks
          .list()
          .map(({ networkId }) => networkId)
          .sort(),
      ).to.deep.equal([...living.networks].sort());
      await until(
        'there are no more links than endpoints',
        () => stack.links().length <= living.endpoints.size,
      );
      await clear(recording.host);
    });
  }

  it('is told -p by every engine, and refuses it', async () => {
    const published = all
      .filter(({ scenario }) => scenario === 'options')
      .map(({ calls, host }) => {
        const at = calls.findIndex(
          ({ method, request }) =>
            method === 'NetworkDriver.CreateEndpoint' && JSON.stringify(request).includes('"HostPort":8080'),
        );
        return { calls, host, at };
      });
    expect(published.map(({ at }) => at > 0)).to.deep.equal([true, true, true]);
    for (const { calls, host, at } of published) {
      const translation = new Translation();
      const upTo = calls.slice(0, at).filter((call) => !wasRefused(call));
      for (const call of upTo) translation.learn(call, await send(call, translation, host));
      const call = calls[at];
      if (call === undefined) throw new Error('no call');
      const body = translation.request(call) as Fields;
      const asked = { ...body, Options: call.request?.Options };
      const answer = await stack.socket.call(call.method, asked, { host });
      expect(answer.status).to.equal(400);
      expect(answer.body.Err).to.match(
        /^-p\/--publish has no effect on a flat network: .*:80 directly; start it without -p \(invalid/,
      );
      await clear(host);
    }
  });

  /** Sends the calls in order. @returns what the engine would still list at the end */
  async function replay({
    calls,
    host,
  }: Recording): Promise<{ endpoints: Set<string>; networks: Set<string> }> {
    const translation = new Translation();
    const endpoints = new Set<string>();
    const networks = new Set<string>();
    for (const call of calls) {
      if (wasRefused(call)) continue;
      const { method, request } = call;
      const networkId = String(request?.NetworkID);
      const endpointId = String(request?.EndpointID);
      const ours = await send(call, translation, host);
      if (isForeignNetwork(call)) continue;
      translation.learn(call, ours);
      if (method === 'NetworkDriver.CreateNetwork') networks.add(networkId);
      if (method === 'NetworkDriver.DeleteNetwork') networks.delete(networkId);
      if (method === 'NetworkDriver.CreateEndpoint') endpoints.add(endpointId);
      if (method === 'NetworkDriver.DeleteEndpoint') endpoints.delete(endpointId);
    }
    return { endpoints, networks };
  }

  async function send(call: RecordedCall, translation: Translation, host: string): Promise<Fields> {
    const body = translation.request(call);
    const answer = await stack.socket.call(call.method, body, { host });
    const what = `${call.method} ${JSON.stringify(body)}`;
    if (isForeignNetwork(call)) {
      expect(answer.body.Err, what).to.match(/needs its own IPAM/);
      return answer.body;
    }
    expect(answer.body.Err, what).to.equal(undefined);
    expect(answer.status, what).to.equal(200);
    expectSameShape(call, answer.body, translation);
    return answer.body;
  }

  function expectSameShape({ method, reply }: RecordedCall, ours: Fields, translation: Translation): void {
    const shape = REPLIES[method];
    if (shape === undefined) throw new Error(`no shape for ${method}`);
    expect(shape.safeParse(reply).success, `${method}: the recorded reply fits the shape`).to.equal(true);
    expect(shape.strict().safeParse(ours).error, `${method} ${JSON.stringify(ours)}`).to.equal(undefined);
    if (method !== 'NetworkDriver.Join') return;
    const gateway = translation.addressOf(String(reply.Gateway));
    expect(ours.Gateway ?? '', 'gateway').to.equal(gateway);
    expect(ours.InterfaceName).to.include({ DstPrefix: 'eth' });
  }

  /** Ends what a scenario left standing, as an operator would. */
  async function clear(host: string): Promise<void> {
    for (const { networkId, endpointId } of stack.endpoints.list()) {
      const ids = { NetworkID: networkId, EndpointID: endpointId };
      expect((await stack.socket.call('NetworkDriver.DeleteEndpoint', ids, { host })).status).to.equal(200);
    }
    for (const { networkId } of stack.networks.list()) {
      await stack.socket.call('NetworkDriver.DeleteNetwork', { NetworkID: networkId }, { host });
    }
    for (const { poolId } of stack.claims.list()) {
      await stack.socket.call('IpamDriver.ReleasePool', { PoolID: poolId }, { host });
    }
    await Promise.all(
      stack.leases.list().map(({ subnet, address }) => stack.leases.release(subnet, address)),
    );
    await until('the links are deleted', () => stack.links().length === 0);
  }
});
