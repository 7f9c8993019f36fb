/** For which endpoints a lost link is made again, and with what. The kernel is played. */
import { expect } from 'chai';
import { KernelError } from '../../../core/errors.ts';
import { linkAliasOf } from '../../../core/ids.ts';
import { EndpointRevival } from '../../../links/endpoint-revival.ts';
import type { LostLinkFate, LostLinkSpec } from '../../../net/lost-link-port.ts';
import type { EndpointRecord, NetworkRecord } from '../../../store/host-records.ts';
import { type LogLine, recordingLogger } from '../../support/plugin-client.ts';

function network(networkId: string, parent: string, more: Partial<NetworkRecord> = {}): NetworkRecord {
  return {
    ...{ v: 1, networkId, parent, mode: 'macvlan', macvlanMode: 'vepa', internal: false, createdAt: 0 },
    subnets: [
      { subnet: '10.0.0.0/16', gateway: '10.0.0.1' },
      { subnet: 'fd00::/64', gateway: 'fd00::1' },
    ],
    ...more,
  };
}

function endpoint(digit: string, networkId: string, more: Partial<EndpointRecord> = {}): EndpointRecord {
  return {
    ...{ v: 1, endpointId: digit.repeat(64), networkId, address: `10.0.0.${digit}/16` },
    ...{ macAddress: `02:4c:0a:00:00:0${digit}`, linkName: `ln${digit.repeat(12)}`, options: {} },
    ...{ sandboxKey: `/netns/${digit}`, createdAt: Number(digit), instance: 'i' },
    ...more,
  };
}

function played(networks: readonly NetworkRecord[], endpoints: readonly EndpointRecord[]) {
  const asked: LostLinkSpec[] = [];
  const lines: LogLine[] = [];
  const world = { revive: async (): Promise<LostLinkFate> => 'made' };
  const revival = new EndpointRevival({
    lostLinks: {
      lostLinkRevive: (spec) => {
        asked.push(spec);
        return world.revive();
      },
    },
    endpoints: {
      list: () => endpoints,
      get: (id) => endpoints.find(({ endpointId }) => endpointId === id),
    },
    networks: { get: (id) => networks.find(({ networkId }) => networkId === id) },
    logger: recordingLogger(lines),
  });
  const names = () => asked.splice(0).map(({ linkName }) => linkName.slice(2, 3));
  return { revival, asked, names, lines, world };
}

describe('links/endpoint-revival', () => {
  const vlan = { lower: 'eth0', vlanId: 5 };
  const networks = [
    network('flat', 'eth0', { mtuBytes: 1400 }),
    network('five', 'eth0.5', { vlan }),
    network('other', 'eth1', { internal: true }),
    network('bridged', 'eth0', { mode: 'bridge' }),
  ];

  it('asks for those whose network stood on the link, in the order in which they came', async () => {
    const { sandboxKey: _, ...notJoined } = endpoint('4', 'flat');
    const { revival, names } = played(networks, [
      endpoint('2', 'five'),
      endpoint('1', 'flat'),
      endpoint('3', 'other'),
      notJoined,
      endpoint('5', 'bridged'),
      endpoint('6', 'unknown'),
    ]);
    await revival.revive(new Set(['eth0']));
    expect(names()).to.deep.equal(['1', '2']);
    await revival.revive(new Set(['eth0.5']));
    expect(names()).to.deep.equal(['2']);
    await revival.revive(new Set());
    expect(names()).to.deep.equal([]);
  });

  it('gives what the engine had set, with the name that an event told', async () => {
    const { revival, asked } = played(networks, [
      endpoint('1', 'flat', { addressIpv6: 'fd00::1:1/64' }),
      endpoint('3', 'other'),
    ]);
    const alias = linkAliasOf('1'.repeat(64));
    const link = { linkIndex: 7, mtuBytes: 1400, up: false, carrier: false, alias };
    revival.heard([
      { kind: 'link', nsid: 4, link: { ...link, name: 'eth3' } },
      { kind: 'link', nsid: 4, link: { ...link, name: 'ln111111111111' } },
      { kind: 'link', link: { ...link, name: 'host' } },
    ]);
    await revival.revive(new Set(['eth0', 'eth1']));
    expect(asked).to.deep.equal([
      {
        namespacePath: '/netns/1',
        parent: 'eth0',
        mode: 'vepa',
        macAddress: '02:4c:0a:00:00:01',
        alias,
        mtuBytes: 1400,
        linkName: 'ln111111111111',
        name: 'eth3',
        addresses: ['10.0.0.1/16', 'fd00::1:1/64'],
        gateways: ['10.0.0.1', 'fd00::1'],
      },
      {
        namespacePath: '/netns/3',
        parent: 'eth1',
        mode: 'vepa',
        macAddress: '02:4c:0a:00:00:03',
        alias: linkAliasOf('3'.repeat(64)),
        linkName: 'ln333333333333',
        addresses: ['10.0.0.3/16'],
        gateways: [],
      },
    ]);
  });

  it('keeps what failed, tells it once, and tries it again in every look', async () => {
    const { revival, names, lines, world } = played(networks, [endpoint('1', 'flat')]);
    world.revive = () => Promise.reject(new KernelError('busy', { errno: 16, errnoName: 'EBUSY' }));
    await revival.revive(new Set(['eth0']));
    await revival.revive(new Set());
    expect(names()).to.deep.equal(['1', '1']);
    expect(revival.problems.get('1'.repeat(64))?.message).to.equal('busy');
    expect(lines).to.have.length(1);
    world.revive = async () => 'made';
    await revival.revive(new Set());
    expect(revival.problems.size).to.equal(0);
    expect(lines.map(({ level }) => level)).to.deep.equal(['error', 'warn']);
  });
});
