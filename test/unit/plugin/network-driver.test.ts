/**
 * The network driver where the world fails: a kernel that refuses or hangs, a store that is down, a disk that is
 * full. The failing parts are played, because they cannot be provoked; the rest is test/integration/plugin.test.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { type DriverError, KernelError, StoreUnavailable } from '../../../core/errors.ts';
import { linkAliasOf } from '../../../core/ids.ts';

import { EID, IDS, linkOf, NID, playedDriver } from '../../support/played-driver.ts';

async function codeOf(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => 'none',
    (error: DriverError) => error.code,
  );
}

describe('plugin/network-driver', () => {
  it('keeps no record of a network whose pools could not be tied, or which the disk refused', async () => {
    const { networks, store, createNetwork } = playedDriver();
    store.attach = () => Promise.reject(new StoreUnavailable('etcd is away'));
    expect(await codeOf(createNetwork())).to.equal('store');
    store.attach = async () => {};
    networks.refuse = true;
    expect(await codeOf(createNetwork())).to.equal('kernel');
    expect(networks.list()).to.deep.equal([]);
  });

  it('puts a network into the VLAN of its pools, and refuses another', async () => {
    const { net, networks, store, createNetwork } = playedDriver();
    store.settings = { title: 'prod', vlan: 5 };
    net.links.set('eth0.5', { ...linkOf('eth0.5'), linkIndex: 3, parentIndex: 2, kind: 'vlan', vlanId: 5 });
    await createNetwork();
    expect(networks.get(NID)?.parent).to.equal('eth0.5');
    await networks.delete(NID);
    const refused = await createNetwork(5000, { vlan: '6' }).catch((error: Error) => error.message);
    expect(refused).to.equal('pool prod is in VLAN 5, not 6: leave out -o vlan, or choose another pool');
    await createNetwork(5000, { parent: 'eth0.5' });
    expect(networks.get(NID)).to.include({ parent: 'eth0.5' }).and.not.have.property('vlan');
    await networks.delete(NID);
    store.settings = { title: 'prod', vlan: 7 };
    const inOther = await createNetwork(5000, { parent: 'eth0.5' }).catch((error: Error) => error.message);
    expect(inOther).to.equal(
      'the pool of the network is in VLAN 7, but parent eth0.5 is VLAN 5: give the link below it as -o parent=, or choose another pool',
    );
    await createNetwork(5000, { parent: 'eth0.7' });
    expect(networks.get(NID)).to.deep.include({ parent: 'eth0.7', vlan: { lower: 'eth0', vlanId: 7 } });
  });

  it('gives endpoints the MAC prefix of their pool', async () => {
    const { endpoints, store, createNetwork, createEndpoint } = playedDriver();
    await createNetwork();
    store.settings = { macPrefix: { bytes: [0x06, 0x01] } };
    await createEndpoint();
    expect(endpoints.get(EID)?.macAddress).to.equal('06:01:0a:00:00:07');
  });

  it('takes the record of a network back that came after the answer', async () => {
    const { networks, createNetwork } = playedDriver();
    networks.slowMs = 40;
    expect(await codeOf(createNetwork(20))).to.equal('deadline');
    expect(networks.list()).to.deep.equal([]);
  });

  it('keeps no record of an endpoint whose lease could not be confirmed, or which the disk refused', async () => {
    const { endpoints, store, createNetwork, createEndpoint } = playedDriver();
    await createNetwork();
    store.confirm = () => Promise.reject(new StoreUnavailable('etcd is away'));
    expect(await codeOf(createEndpoint())).to.equal('store');
    store.confirm = async () => {};
    endpoints.refuse = true;
    expect(await codeOf(createEndpoint())).to.equal('kernel');
    expect(endpoints.list()).to.deep.equal([]);
  });

  it('takes the record of an endpoint back that came after the answer', async () => {
    const { endpoints, createNetwork, createEndpoint } = playedDriver();
    await createNetwork();
    endpoints.slowMs = 40;
    expect(await codeOf(createEndpoint(20))).to.equal('deadline');
    expect(endpoints.list()).to.deep.equal([]);
  });

  it('says what the kernel refused, and tells nobody that the endpoint joined', async () => {
    const { net, told, createNetwork, createEndpoint, join } = playedDriver();
    await createNetwork();
    await createEndpoint();
    net.add = () => Promise.reject(new KernelError('no', { errno: 16, errnoName: 'EBUSY' }));
    expect(await codeOf(join())).to.equal('kernel');
    expect(told).to.deep.equal([]);
  });

  it('deletes a link that the kernel makes after the answer', async () => {
    const { net, told, createNetwork, createEndpoint, join } = playedDriver();
    await createNetwork();
    await createEndpoint();
    net.add = async (spec) => {
      await sleep(40);
      return net.made(spec);
    };
    expect(await codeOf(join(20))).to.equal('deadline');
    await sleep(60);
    expect([...net.links.keys()]).to.deep.equal(['eth0']);
    expect(told).to.deep.equal([]);
  });

  it('takes the link back if the endpoint was deleted meanwhile', async () => {
    const { driver, call, net, createNetwork, createEndpoint, join } = playedDriver();
    await createNetwork();
    await createEndpoint();
    net.add = async (spec) => {
      await driver.deleteEndpoint(IDS, call());
      return net.made(spec);
    };
    expect(await codeOf(join())).to.equal('not_found');
    expect([...net.links.keys()]).to.deep.equal(['eth0']);
  });

  it('joins although the sandbox cannot be recorded, and says so', async () => {
    const { endpoints, lines, told, createNetwork, createEndpoint, join } = playedDriver();
    await createNetwork();
    await createEndpoint();
    endpoints.refuse = true;
    expect(await join()).to.have.property('Gateway', '10.0.0.1');
    expect(lines.map(({ level, message }) => `${level}: ${message}`)).to.include(
      'warn: the sandbox of an endpoint could not be recorded',
    );
    expect(told).to.deep.equal([`joined ${EID}`]);
  });

  it('forgets an endpoint whose link cannot be deleted, and says so', async () => {
    const { driver, call, endpoints, net, lines, createNetwork, createEndpoint, join } = playedDriver();
    await createNetwork();
    await createEndpoint();
    await join();
    net.remove = () => Promise.reject(new KernelError('no', { errno: 16, errnoName: 'EBUSY' }));
    expect(await driver.deleteEndpoint(IDS, call())).to.deep.equal({});
    expect(endpoints.list()).to.deep.equal([]);
    await sleep(1);
    expect(lines.map(({ level, message }) => `${level}: ${message}`)).to.include(
      'error: the link of an endpoint that ended could not be deleted; reconciliation tries again',
    );
  });

  it('ends within the limit where the kernel hangs, and lets endpoints go all the same', async () => {
    const { driver, call, net, createNetwork } = playedDriver();
    net.linkGet = () => new Promise(() => {});
    expect(await codeOf(createNetwork(20))).to.equal('deadline');
    expect(await driver.deleteEndpoint(IDS, call(20))).to.deep.equal({});
  });

  it('leads both families, and the MAC follows IPv4 where there is one', async () => {
    const { createNetwork, createEndpoint, join, net } = playedDriver();
    await createNetwork();
    expect(await createEndpoint(undefined, 'fd00::7/64')).to.deep.equal({
      Interface: { MacAddress: '02:4c:0a:00:00:07' },
    });
    expect(await join()).to.deep.equal({
      InterfaceName: { SrcName: 'lncdcdcdcdcdcd', DstPrefix: 'eth' },
      Gateway: '10.0.0.1',
      GatewayIPv6: 'fd00::1',
      DisableGatewayService: true,
    });
    expect(net.links.get('lncdcdcdcdcdcd')?.alias).to.equal(linkAliasOf(EID));
  });

  it('leads IPv6 alone', async () => {
    const { createNetwork, createEndpoint, join } = playedDriver();
    await createNetwork();
    const { Interface } = await createEndpoint(undefined, 'fd00::7/64', '');
    expect(Interface?.MacAddress).to.match(/^02:4c:/);
    const joined = await join();
    expect(joined).to.have.property('GatewayIPv6', 'fd00::1');
    expect(joined).to.not.have.property('Gateway');
  });

  it('does not join an endpoint of another network, nor an unknown one', async () => {
    const { endpoints, createNetwork, createEndpoint, join } = playedDriver();
    await createNetwork();
    expect(await codeOf(join())).to.equal('not_found');
    await createEndpoint();
    const record = endpoints.get(EID);
    if (record !== undefined) endpoints.kept.set(EID, { ...record, networkId: 'ef'.repeat(32) });
    expect(await codeOf(join())).to.equal('not_found');
  });

  it('warns at the creation of a network if the parent is down', async () => {
    const { lines, net, createNetwork } = playedDriver();
    net.links.set('eth0', { ...linkOf('eth0'), up: false, carrier: false });
    await createNetwork();
    expect(lines.map(({ level, fields }) => `${level} ${String(fields.reason)}`)).to.deep.equal([
      'warn is down',
    ]);
  });

  it('tells the holders of each end, also of endpoints never joined', async () => {
    const { driver, call, told } = playedDriver();
    driver.leave(IDS);
    await driver.deleteEndpoint(IDS, call());
    expect(told).to.deep.equal([`left ${EID}`, `left ${EID}`]);
  });
});
