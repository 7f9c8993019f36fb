/** Notifications as bytes: laid out by hand after linux/rtnetlink.h, linux/if_link.h. */
import { expect } from 'chai';
import { EventBatch, eventsOf } from '../../../net/event-parse.ts';
import type { KernelEvent } from '../../../net/event-types.ts';
import * as uapi from '../../../net/rtnetlink/uapi.ts';
import { attribute, text, u32 } from '../../../net/rtnetlink/wire.ts';

const OWN_PORT = 4711;
const ALIAS = `lanius:${'ab'.repeat(32)}`;

function ifinfo(linkIndex: number, flags: number, attributes: readonly Buffer[], family = 0): Buffer {
  const head = Buffer.alloc(16);
  head.writeUInt8(family, 0);
  head.writeInt32LE(linkIndex, 4);
  head.writeUInt32LE(flags, 8);
  return Buffer.concat([head, ...attributes]);
}
const named = (name: string): Buffer => attribute(uapi.IFLA_IFNAME, text(name));
const marked = attribute(uapi.IFLA_IFALIAS, Buffer.from(ALIAS));
const about = (linkIndex: number): Buffer =>
  Buffer.concat([Buffer.alloc(4), u32(linkIndex), Buffer.alloc(12)]);
const told = (type: number, payload: Buffer, nsid?: number): KernelEvent[] =>
  eventsOf({ nsid, messages: [{ type, flags: 0, sequence: 0, port: 0, payload }] }, OWN_PORT);

describe('net/event-parse', () => {
  it('tells of links of the own namespace, and of marked ones elsewhere', () => {
    const own = told(uapi.RTM_NEWLINK, ifinfo(7, 0x10001, [named('eth0')]));
    expect(own).to.have.length(1);
    expect(own[0]).to.not.have.property('nsid');
    expect(own[0]).to.deep.include({
      kind: 'link',
      link: { name: 'eth0', linkIndex: 7, mtuBytes: 0, up: true, carrier: true },
    });
    expect(told(uapi.RTM_NEWLINK, ifinfo(7, 1, [named('eth0')]), 3)).to.deep.equal([]);
    const [there] = told(uapi.RTM_NEWLINK, ifinfo(7, 1, [named('eth0'), marked]), 3);
    expect(there).to.include({ kind: 'link', nsid: 3 });
  });

  it('tells where a link went', () => {
    const where = [attribute(uapi.IFLA_NEW_NETNSID, u32(0)), attribute(uapi.IFLA_NEW_IFINDEX, u32(9))];
    expect(told(uapi.RTM_DELLINK, ifinfo(7, 0, [named('ln0'), marked, ...where]))).to.deep.equal([
      { kind: 'link-gone', name: 'ln0', linkIndex: 7, alias: ALIAS, movedTo: { nsid: 0, linkIndex: 9 } },
    ]);
    expect(told(uapi.RTM_DELLINK, ifinfo(7, 0, [named('eth0')]))).to.deep.equal([
      { kind: 'link-gone', name: 'eth0', linkIndex: 7 },
    ]);
  });

  it('does not take a port that leaves its bridge for a link that is gone', () => {
    const AF_BRIDGE = 7;
    expect(told(uapi.RTM_DELLINK, ifinfo(7, 0, [named('eth0')], AF_BRIDGE))).to.deep.equal([]);
    expect(told(uapi.RTM_NEWLINK, ifinfo(7, 0, [named('eth0')], AF_BRIDGE))).to.deep.equal([]);
  });

  it('tells of addresses, neighbours and filters of other namespaces only', () => {
    const kinds = [
      uapi.RTM_NEWADDR,
      uapi.RTM_DELADDR,
      uapi.RTM_NEWNEIGH,
      uapi.RTM_NEWQDISC,
      uapi.RTM_DELQDISC,
      uapi.RTM_NEWTFILTER,
      uapi.RTM_DELTFILTER,
    ];
    expect(kinds.flatMap((type) => told(type, about(4)))).to.deep.equal([]);
    expect(kinds.flatMap((type) => told(type, about(4), 0))).to.deep.equal([
      { kind: 'address', nsid: 0, linkIndex: 4, gone: false },
      { kind: 'address', nsid: 0, linkIndex: 4, gone: true },
      { kind: 'neighbours', nsid: 0, linkIndex: 4 },
      ...Array.from({ length: 4 }, () => ({ kind: 'traffic-control', nsid: 0, linkIndex: 4 })),
    ]);
  });

  it('is silent about qdiscs and filters that this process writes itself', () => {
    const message = { type: uapi.RTM_NEWQDISC, flags: 0, sequence: 0, payload: about(4) };
    expect(eventsOf({ nsid: 0, messages: [{ ...message, port: OWN_PORT }] }, OWN_PORT)).to.deep.equal([]);
    expect(eventsOf({ nsid: 0, messages: [{ ...message, port: 7 }] }, OWN_PORT)).to.have.length(1);
  });

  it('tells of links elsewhere that can step around one of ours', () => {
    const of = (kind: string) => attribute(uapi.IFLA_LINKINFO, attribute(uapi.IFLA_INFO_KIND, text(kind)));
    expect(told(uapi.RTM_NEWLINK, ifinfo(7, 1, [named('x'), of('macvlan')]), 3)).to.have.length(1);
    expect(told(uapi.RTM_NEWLINK, ifinfo(7, 1, [named('x'), of('ipvtap')]), 3)).to.have.length(1);
    expect(told(uapi.RTM_NEWLINK, ifinfo(7, 1, [named('x'), of('veth')]), 3)).to.deep.equal([]);
  });

  it('makes nothing of what is cut off or unknown', () => {
    for (const type of [uapi.RTM_NEWLINK, uapi.RTM_DELLINK, uapi.RTM_NEWADDR, 99]) {
      for (let bytes = 0; bytes < 8; bytes++) {
        expect(told(type, Buffer.alloc(bytes), 1), `${type} of ${bytes} bytes`).to.deep.equal([]);
      }
    }
    expect(told(uapi.RTM_NEWLINK, ifinfo(7, 1, []))).to.deep.equal([]);
  });

  it('merges swarms, but never what happens to a marked link', () => {
    const batch = new EventBatch();
    const link = (name: string, up: boolean, alias?: string): KernelEvent => ({
      kind: 'link',
      link: {
        name,
        linkIndex: 7,
        mtuBytes: 1500,
        up,
        carrier: up,
        ...(alias === undefined ? {} : { alias }),
      },
    });
    for (let n = 0; n < 100; n++) {
      batch.add(link('eth0', n % 2 === 0));
      batch.add({ kind: 'neighbours', nsid: 1, linkIndex: 2 });
    }
    for (const up of [true, false, true]) batch.add(link('ln0', up, ALIAS));
    expect(batch.size).to.equal(5);
    expect(batch.take().map((event) => (event.kind === 'link' ? event.link.up : event.kind))).to.deep.equal([
      false,
      'neighbours',
      true,
      false,
      true,
    ]);
    expect(batch.take()).to.deep.equal([]);
  });
});
