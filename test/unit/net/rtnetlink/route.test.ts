import { expect } from 'chai';
import { readRoute, routeAdd, routeDelete, routeEntry } from '../../../../net/rtnetlink/route.ts';
import { RTA_CACHEINFO, RTA_EXPIRES, RTA_NH_ID } from '../../../../net/rtnetlink/uapi.ts';
import { readAttributes } from '../../../../net/rtnetlink/wire.ts';

const RTMSG_BYTES = 12;

describe('net/rtnetlink/route', () => {
  const made = routeEntry({
    destination: '10.20.0.0',
    prefixLength: 16,
    linkIndex: 2,
    gateway: '10.9.0.1',
    source: '10.9.0.6',
    metric: 100,
    table: 1000,
  });

  it('writes a route that can be read again, through another link too', () => {
    expect(readRoute(routeAdd(made, 'add').payload)).to.deep.equal(made);
    const moved = { ...made, linkIndex: 9 };
    expect(readRoute(routeDelete(moved, 'delete').payload)).to.deep.equal(moved);
  });

  it('says how it treats a route that is there already', () => {
    const flags = (['add', 'beside', 'replace'] as const).map((how) => routeAdd(made, 'add', how).flags);
    expect(flags).to.deep.equal([0x600, 0x400, 0x500]);
  });

  it('turns what is left of the life of an IPv6 route into seconds', () => {
    const info = Buffer.alloc(32);
    info.writeInt32LE(180_050, 8); // ticks of 10 ms
    const route = routeEntry({ destination: '::', prefixLength: 0, linkIndex: 2, gateway: 'fe80::1' });
    const aged = {
      ...route,
      attributes: [...route.attributes, { type: RTA_CACHEINFO, hex: info.toString('hex') }],
    };
    const sent = readAttributes(routeAdd(aged, 'add').payload.subarray(RTMSG_BYTES));
    expect(sent.find(({ type }) => type === RTA_EXPIRES)?.value.readUInt32LE(0)).to.equal(1801);
    expect(sent.some(({ type }) => type === RTA_CACHEINFO)).to.equal(false);
  });

  it('names the nexthop object of a route instead of its way', () => {
    const byObject = { ...made, attributes: [...made.attributes, { type: RTA_NH_ID, hex: '05000000' }] };
    const read = readRoute(routeAdd(byObject, 'add').payload);
    expect(read).to.include({ shared: true });
    expect(read).not.to.have.property('linkIndex');
    expect(read).not.to.have.property('gateway');
  });

  it('reads nothing out of what is cut off', () => {
    expect(readRoute(Buffer.alloc(RTMSG_BYTES - 1))).to.equal(undefined);
    expect(readRoute(Buffer.alloc(RTMSG_BYTES))).to.equal(undefined);
  });
});
