/** Who counts as a user of what networks stand on, and when something is removed. Parts and engine are played. */
import { expect } from 'chai';
import { Conflict, EngineUnavailable } from '../../../core/errors.ts';
import { VLAN_MARK } from '../../../core/ids.ts';
import { UplinkKeeper } from '../../../links/uplink-keeper.ts';
import { Uplinks } from '../../../links/uplinks.ts';
import { VlanUplink } from '../../../links/vlan-uplink.ts';
import type { HostLinkEvent } from '../../../net/event-types.ts';
import type { LinkInfo } from '../../../net/port.ts';
import type { VlanSpec } from '../../../net/vlan-port.ts';
import type { NetworkRecord } from '../../../store/host-records.ts';
import { type LogLine, recordingLogger } from '../../support/plugin-client.ts';
import { until } from '../../support/poll.ts';

function network(networkId: string, vlanId: number, lower = 'eth0'): NetworkRecord {
  return {
    v: 1,
    networkId,
    parent: `${lower}.${vlanId}`,
    vlan: { lower, vlanId },
    mode: 'macvlan',
    macvlanMode: 'bridge',
    internal: false,
    subnets: [],
    createdAt: 0,
  };
}

/** A kernel with one NIC, records in memory, and an engine that shows what the records have, unless told otherwise. */
function played() {
  const records = new Map<string, NetworkRecord>();
  const links = new Map<string, LinkInfo>([['eth0', linkOf('eth0', 2)]]);
  const lines: LogLine[] = [];
  const logger = recordingLogger(lines);
  let lastIndex = 2;
  const world = {
    engine: async (): Promise<readonly string[]> => [...records.keys()],
    refuse: undefined as Error | undefined,
  };
  const vlans = {
    vlanAdd: async ({ name, lower, vlanId, alias }: VlanSpec) => {
      if (world.refuse !== undefined) throw world.refuse;
      const standing = links.get(name);
      if (standing !== undefined) return { link: standing, made: false };
      lastIndex += 1;
      const parentIndex = links.get(lower)?.linkIndex;
      if (parentIndex === undefined) throw new Error(`no ${lower}`);
      const link: LinkInfo = { ...linkOf(name, lastIndex), kind: 'vlan', vlanId, alias, parentIndex };
      links.set(name, link);
      return { link, made: true };
    },
    vlanDelete: async ({ name }: { readonly name: string }) => links.delete(name),
  };
  const net = { linkList: async () => [...links.values()] };
  const uplinks = new Uplinks({
    parts: [new VlanUplink({ net, vlans, logger })],
    networks: { list: () => [...records.values()] },
    engineNetworks: () => world.engine(),
    logger,
  });
  const create = (record: NetworkRecord) =>
    uplinks.under(record, async () => void records.set(record.networkId, record));
  const remove = (networkId: string) => {
    records.delete(networkId);
    return uplinks.left(networkId);
  };
  const names = () => [...links.keys()].filter((name) => name !== 'eth0').sort();
  return { records, links, lines, logger, world, uplinks, create, remove, names };
}

function linkOf(name: string, linkIndex: number): LinkInfo {
  return { name, linkIndex, mtuBytes: 1500, up: true, carrier: true };
}

describe('links/uplinks', () => {
  it('makes a sub-interface with the first network on it, and removes it with the last', async () => {
    const { create, remove, names } = played();
    await create(network('a', 5));
    await create(network('b', 5));
    await create(network('c', 6));
    expect(names()).to.deep.equal(['eth0.5', 'eth0.6']);
    await remove('a');
    expect(names()).to.deep.equal(['eth0.5', 'eth0.6']);
    await remove('b');
    expect(names()).to.deep.equal(['eth0.6']);
  });

  it('removes what it made for a network whose creation failed', async () => {
    const { uplinks, names } = played();
    const failing = uplinks.under(network('a', 5), async () => {
      expect(names()).to.deep.equal(['eth0.5']);
      throw new Conflict('refused');
    });
    expect(await failing.catch((error: Error) => error.message)).to.equal('refused');
    await uplinks.settle();
    expect(names()).to.deep.equal([]);
  });

  it('does not take from a network that is being created what one that goes had', async () => {
    const { create, remove, records, uplinks, names } = played();
    await create(network('a', 5));
    await uplinks.under(network('b', 5), async () => {
      await remove('a');
      expect(names()).to.deep.equal(['eth0.5']);
      records.set('b', network('b', 5));
    });
    await uplinks.settle();
    expect(names()).to.deep.equal(['eth0.5']);
  });

  it('never removes one without the mark, nor one that others use', async () => {
    const { create, remove, links, lines, names } = played();
    links.set('eth0.5', { ...linkOf('eth0.5', 50), kind: 'vlan', vlanId: 5, parentIndex: 2 });
    await create(network('a', 5));
    await remove('a');
    expect(names()).to.deep.equal(['eth0.5']);
    await create(network('b', 6));
    const parentIndex = links.get('eth0.6')?.linkIndex ?? 0;
    links.set('mine', { ...linkOf('mine', 60), kind: 'macvlan', parentIndex });
    await remove('b');
    await remove('b');
    expect(names()).to.include('eth0.6');
    expect(lines.filter(({ message }) => /is kept/.test(message))).to.have.length(1);
    links.delete('mine');
    await remove('b');
    expect(names()).to.deep.equal(['eth0.5']);
  });

  it('removes nothing while the engine does not answer, or has a network that is not recorded', async () => {
    const { create, remove, records, world, uplinks, names } = played();
    await create(network('a', 5));
    world.engine = () => Promise.reject(new EngineUnavailable('away'));
    await remove('a');
    expect(names()).to.deep.equal(['eth0.5']);
    world.engine = async () => ['a'];
    await uplinks.settle();
    expect(names(), 'the engine still shows what it is removing').to.deep.equal([]);

    await create(network('b', 5));
    records.delete('b'); // as if its file were damaged
    world.engine = async () => ['b'];
    await uplinks.settle();
    expect(names()).to.deep.equal(['eth0.5']);
    world.engine = async () => [];
    await uplinks.settle();
    expect(names()).to.deep.equal([]);
  });

  it('does not let a network wait that is being created, though the engine is silent', async () => {
    const { create, remove, world, names } = played();
    await create(network('a', 5));
    let answer: (ids: readonly string[]) => void = () => {};
    world.engine = () =>
      new Promise((resolve) => {
        answer = resolve;
      });
    const removing = remove('a');
    await create(network('b', 6));
    expect(names()).to.deep.equal(['eth0.5', 'eth0.6']);
    answer(['b']);
    await removing;
    expect(names()).to.deep.equal(['eth0.6']);
  });

  it('restores a VLAN in a VLAN after the one that it is in', async () => {
    const { records, uplinks, names } = played();
    records.set('inner', network('inner', 8, 'eth0.7'));
    records.set('outer', network('outer', 7));
    await uplinks.restore();
    expect(names()).to.deep.equal(['eth0.7', 'eth0.7.8']);
    expect(uplinks.problems.size).to.equal(0);
  });

  it('keeps and tells once what cannot be made, and tells when it is there', async () => {
    const { records, world, lines, uplinks } = played();
    records.set('a', network('a', 5));
    world.refuse = new Conflict('taken');
    await uplinks.restore();
    await uplinks.restore();
    expect(uplinks.problems.get('a')?.message).to.equal('taken');
    world.refuse = undefined;
    await uplinks.restore();
    expect(uplinks.problems.size).to.equal(0);
    expect(lines.map(({ message }) => message)).to.deep.equal([
      'what a network stands on is not there, and cannot be made',
      'a VLAN sub-interface was made',
      'what a network stands on is there again',
    ]);
  });
});

describe('links/uplink-keeper', () => {
  it('makes a sub-interface again when its parent has gone and come back, and says which is back', async () => {
    const { records, links, uplinks, names, logger, lines } = played();
    records.set('a', network('a', 5));
    const returned: string[] = [];
    const keeper = new UplinkKeeper(
      {},
      {
        uplinks,
        networks: { list: () => [...records.values()] },
        returned: async (back) => void returned.push(...back),
        logger,
      },
    );
    const tell = (name: string, kind: 'link' | 'link-gone', linkIndex: number): void => {
      const event: HostLinkEvent =
        kind === 'link' ? { kind, link: linkOf(name, linkIndex) } : { kind, name, linkIndex };
      keeper.heard(event);
    };
    await keeper.start(1000);
    expect(names()).to.deep.equal(['eth0.5']);
    keeper.heard({ kind: 'link', link: linkOf('eth0', 2) });
    tell('eth0.5', 'link', 3);

    links.clear();
    tell('eth0.5', 'link-gone', 3);
    tell('eth0', 'link-gone', 2);
    await until('that is noted', async () => uplinks.problems.size === 1);
    links.set('eth0', linkOf('eth0', 9));
    tell('eth0', 'link', 9);
    await until('it is made again', async () => names().length === 1);
    await until('that is told', async () => returned.length > 0);
    expect(returned).to.include('eth0');
    tell('other', 'link-gone', 44);
    await keeper.close();
    expect(links.get('eth0.5')).to.include({ alias: VLAN_MARK, parentIndex: 9 });
    expect(lines.filter(({ fields }) => fields.link === 'other')).to.deep.equal([]);
  });
});
