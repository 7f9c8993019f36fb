/** Which link a network is on, by its options and the links that there are. */
import { expect } from 'chai';
import { systemClock } from '../../../core/clock.ts';
import { deadlineAfter } from '../../../core/deadline.ts';
import type { DriverError } from '../../../core/errors.ts';
import { VLAN_MARK, vlanLinkNameOf } from '../../../core/ids.ts';
import type { LinkInfo, NetPort } from '../../../net/port.ts';
import type { NetworkOptions } from '../../../plugin/options.ts';
import { type Place, placeOf, vlanOf } from '../../../plugin/parent.ts';

const LONG = 'enp129s0f0np0';
const NICS: readonly Partial<LinkInfo>[] = [{ name: 'lo' }, { name: 'eth0' }, { name: LONG }];

function netOf(...more: readonly Partial<LinkInfo>[]): NetPort {
  const links = [...NICS, ...more].map((link, index) => ({
    ...{ name: '', linkIndex: index + 1, mtuBytes: 1500, up: true, carrier: true },
    ...link,
  }));
  const notPlayed = (): Promise<never> => Promise.reject(new Error('not played'));
  return {
    macvlanAdd: notPlayed,
    linkDelete: notPlayed,
    linkGet: async (name) => links.find((link) => link.name === name),
    linkList: async () => links,
    linkListIn: notPlayed,
    probe: notPlayed,
  };
}

const deadline = deadlineAfter(1000, systemClock);

function place(options: NetworkOptions, ...links: readonly Partial<LinkInfo>[]): Promise<Place | string> {
  return placeOf(netOf(...links), options, undefined, deadline).catch(
    ({ code, message }: DriverError) => `${code}: ${message}`,
  );
}

const vlan = (name: string, vlanId: number, more: Partial<LinkInfo> = {}): Partial<LinkInfo> => ({
  name,
  kind: 'vlan',
  vlanId,
  parentIndex: 2,
  ...more,
});

describe('plugin/parent', () => {
  it('takes a link that there is as it is', async () => {
    expect(await place({ parent: 'eth0' })).to.deep.equal({ parent: 'eth0' });
    expect(await place({ parent: 'eth0.5' }, vlan('eth0.5', 5))).to.deep.equal({
      parent: 'eth0.5',
      nic: 'eth0',
    });
    expect(await place({ parent: 'dmz' }, vlan('dmz', 5))).to.deep.equal({ parent: 'dmz', nic: 'eth0' });
  });

  it('names a sub-interface that is to be made, the same for both ways to ask for it', async () => {
    const asked = { parent: 'eth0.100', vlan: { lower: 'eth0', vlanId: 100 } };
    expect(await place({ parent: 'eth0.100' })).to.deep.equal(asked);
    expect(await place({ parent: 'eth0', vlan: 100 })).to.deep.equal(asked);
  });

  it('shortens a name of more than 15 characters, the same way on every host', async () => {
    const asked = { parent: 'vlabf0d9fc.100', vlan: { lower: LONG, vlanId: 100 } };
    asked.parent = vlanLinkNameOf(LONG, 100);
    expect(asked.parent).to.match(/^vl[0-9a-f]{8}\.100$/);
    expect(await place({ parent: LONG, vlan: 100 })).to.deep.equal(asked);
    expect(await place({ parent: `${LONG}.100` })).to.deep.equal(asked);
    expect(vlanLinkNameOf('fifteen-letters', 4094)).to.have.length(15);
    expect(vlanLinkNameOf('thirteen-long', 5)).to.equal('thirteen-long.5');
  });

  it('takes the sub-interface that the VLAN has, by whatever name, and leaves it to its operator', async () => {
    for (const options of [{ parent: 'eth0.7' }, { parent: 'eth0', vlan: 7 }]) {
      expect(await place(options, vlan('office', 7))).to.deep.equal({ parent: 'office', nic: 'eth0' });
    }
  });

  it('knows its own again by the mark', async () => {
    const ours = vlan('eth0.7', 7, { alias: VLAN_MARK });
    const want = { parent: 'eth0.7', vlan: { lower: 'eth0', vlanId: 7 } };
    for (const options of [{ parent: 'eth0.7' }, { parent: 'eth0', vlan: 7 }]) {
      expect(await place(options, ours)).to.deep.equal(want);
    }
  });

  it('makes a VLAN in a VLAN, but not the same twice', async () => {
    const outer = vlan('eth0.7', 7);
    expect(await place({ parent: 'eth0.7', vlan: 8 }, outer)).to.deep.equal({
      parent: 'eth0.7.8',
      vlan: { lower: 'eth0.7', vlanId: 8 },
      nic: 'eth0',
    });
    expect(await place({ parent: 'eth0.7', vlan: 7 }, outer)).to.equal(
      'invalid: parent eth0.7 is VLAN 7 already: leave out -o vlan=7',
    );
  });

  it('refuses a name that another link has', async () => {
    const wanted = 'rename it, or give the right sub-interface as -o parent=';
    const said = (what: string) =>
      `conflict: link eth0.7 exists, but is not VLAN 7 of eth0 (it is ${what}): ${wanted}`;
    for (const [link, what] of [
      [vlan('eth0.7', 8), 'VLAN 8 of eth0'],
      [vlan('eth0.7', 7, { parentIndex: 3 }), `VLAN 7 of ${LONG}`],
      [{ name: 'eth0.7', kind: 'bridge' }, 'a bridge'],
      [{ name: 'eth0.7' }, 'a device'],
    ] as const) {
      expect(await place({ parent: 'eth0', vlan: 7 }, link)).to.equal(said(what));
    }
  });

  it('does not take an 802.1ad sub-interface for the VLAN', async () => {
    const service = vlan('svc', 7, { serviceVlan: true });
    expect(await place({ parent: 'eth0', vlan: 7 }, service)).to.deep.include({ parent: 'eth0.7' });
  });

  it('refuses VLANs out of range, the loopback, and parents that do not exist', async () => {
    for (const id of [0, 4095, 4096]) {
      expect(await place({ parent: `eth0.${id}` })).to.equal(
        `invalid: there is no link eth0.${id}, and ${id} is no VLAN of eth0: VLANs are 1 to 4094`,
      );
    }
    expect(await place({ parent: 'lo', vlan: 7 })).to.equal(
      'invalid: parent link lo is the loopback: choose an Ethernet link as -o parent=LINK',
    );
    for (const options of [{ parent: 'eth7.5' }, { parent: 'eth7', vlan: 5 }, { parent: 'eth0.05' }]) {
      expect(await place(options)).to.match(
        /^not_found: parent link eth\d(\.0?5)? does not exist on this host: .* \(there are eth0, enp129s0f0np0\)$/,
      );
    }
    expect(await place({})).to.match(/^invalid: the network has no parent link/);
  });

  it('tells the VLAN of a parent by its link, else by its name', async () => {
    const of = (parent: string) => vlanOf(netOf(vlan('office', 7), vlan('eth0.8', 9)), parent, deadline);
    expect(await Promise.all(['office', 'eth0.8', 'eth0.5', 'eth0', 'eth7.5'].map(of))).to.deep.equal([
      ...[7, 9, 5, undefined, undefined],
    ]);
  });
});
