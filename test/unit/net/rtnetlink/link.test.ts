/** Messages about links: golden bytes of the requests, and reading of answers that are short, long or strange. */
import { expect } from 'chai';
import fc from 'fast-check';
import {
  linkAliasSet,
  linkCreate,
  linkDelete,
  linkDump,
  linkGet,
  macvlanData,
  readLink,
  vlanData,
} from '../../../../net/rtnetlink/link.ts';
import { attribute, mac, nested, text, u16, u32 } from '../../../../net/rtnetlink/wire.ts';

const NO_INDEX = '00'.repeat(16);

function header(linkIndex: number, flags: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(1, 2);
  bytes.writeInt32LE(linkIndex, 4);
  bytes.writeUInt32LE(flags, 8);
  return bytes;
}

const macvlanAnswer = Buffer.concat([
  header(9, 0x10043),
  attribute(3, text('ln0123456789ab')),
  attribute(4, u32(1500)),
  attribute(5, u32(3)),
  attribute(1, mac('02:4c:0a:00:00:07')),
  attribute(20, text('lanius:0123')),
  attribute(4095, Buffer.from('a thing of the future')),
  nested(18, attribute(1, text('macvlan')), nested(2, attribute(1, u32(4)), attribute(99, u32(1)))),
]);

describe('net/rtnetlink/link', () => {
  it('writes the creation of a macvlan with name, parent, MAC, MTU and mode', () => {
    const request = linkCreate(
      {
        name: 'ln0',
        parentIndex: 3,
        macAddress: '02:4c:0a:00:00:07',
        mtuBytes: 1400,
        kind: 'macvlan',
        kindData: macvlanData('bridge'),
      },
      'x',
    );
    expect(request).to.include({ type: 16, flags: 0x600, operation: 'x' });
    expect(request.payload.toString('hex')).to.equal(
      [
        NO_INDEX,
        '08000300' + '6c6e3000',
        '08000500' + '03000000',
        '0a000100' + '024c0a0000070000',
        '08000400' + '78050000',
        '1c001280',
        '0b000100' + '6d6163766c616e00',
        '0c000280' + '08000100' + '04000000',
      ].join(''),
    );
  });

  it('writes the other requests', () => {
    expect(linkDelete(5, 'x').payload.toString('hex')).to.equal(`0000000005000000${'00'.repeat(8)}`);
    expect(linkGet('ln0', 'x').payload.toString('hex')).to.equal(
      `${NO_INDEX}080003006c6e300008001d0008000000`,
    );
    expect(linkDump('x').payload.toString('hex')).to.equal(`${NO_INDEX}08001d0008000000`);
    expect(vlanData(10).toString('hex')).to.equal('060001000a000000');
    expect(linkAliasSet('ln0', 'abc', 'macvlan', macvlanData('vepa'), 'x')).to.include({
      type: 16,
      flags: 0,
    });
  });

  it('reads a macvlan and passes over attributes that it does not know', () => {
    expect(readLink(macvlanAnswer)).to.deep.equal({
      name: 'ln0123456789ab',
      linkIndex: 9,
      kind: 'macvlan',
      macvlanMode: 'bridge',
      macAddress: '02:4c:0a:00:00:07',
      alias: 'lanius:0123',
      mtuBytes: 1500,
      up: true,
      carrier: true,
      parentIndex: 3,
    });
  });

  it('reads the VLAN id of a vlan', () => {
    const answer = Buffer.concat([
      header(4, 0),
      attribute(3, text('eth0.10')),
      nested(18, attribute(1, text('vlan')), nested(2, attribute(1, u16(10)))),
    ]);
    expect(readLink(answer)).to.include({ kind: 'vlan', vlanId: 10, up: false, carrier: false });
  });

  it('does not take an index of another namespace for the parent', () => {
    const answer = Buffer.concat([
      header(4, 0),
      attribute(3, text('eth0')),
      attribute(5, u32(7)),
      attribute(37, u32(0)),
    ]);
    expect(readLink(answer)).not.to.have.property('parentIndex');
  });

  it('reads every prefix of an answer without throwing', () => {
    for (let cut = 0; cut < macvlanAnswer.length; cut++) {
      const link = readLink(macvlanAnswer.subarray(0, cut));
      expect(link === undefined || link.name === 'ln0123456789ab').to.equal(true);
    }
  });

  it('reads any bytes without throwing', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (tail) => {
        readLink(Buffer.from(tail));
        readLink(Buffer.concat([header(1, 0), attribute(3, text('x')), nested(18, Buffer.from(tail))]));
      }),
    );
  });
});
