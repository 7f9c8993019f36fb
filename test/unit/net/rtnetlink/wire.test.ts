/** The bytes of netlink: known layouts, round trips, and a reader that survives anything. */
import { expect } from 'chai';
import fc from 'fast-check';
import {
  align,
  asMac,
  asText,
  asU16,
  asU32,
  attribute,
  attributeMap,
  mac,
  message,
  nested,
  readAttributes,
  readMessages,
  text,
  u16,
  u32,
} from '../../../../net/rtnetlink/wire.ts';

const bytes = fc.uint8Array({ maxLength: 64 }).map((array) => Buffer.from(array));

describe('net/rtnetlink/wire', () => {
  it('writes a message header as struct nlmsghdr and pads the payload', () => {
    expect(message(18, 0x305, 7, Buffer.from('ab')).toString('hex')).to.equal(
      ['12000000', '1200', '0503', '07000000', '00000000', '61620000'].join(''),
    );
  });

  it('writes attributes with unpadded length, and marks nested ones', () => {
    expect(attribute(3, text('eth')).toString('hex')).to.equal('0800030065746800');
    expect(attribute(1, mac('02:4c:0a:00:00:07')).toString('hex')).to.equal('0a000100024c0a0000070000');
    expect(nested(18, attribute(4, u32(1500))).toString('hex')).to.equal('0c00128008000400dc050000');
    expect(attribute(1, u16(10)).toString('hex')).to.equal('060001000a000000');
  });

  it('refuses a value that does not fit into an attribute', () => {
    expect(() => attribute(1, Buffer.alloc(70_000))).to.throw(RangeError);
  });

  it('reads back the messages that it wrote', () => {
    const oneMessage = fc.record({
      type: fc.integer({ min: 0, max: 0xffff }),
      flags: fc.integer({ min: 0, max: 0xffff }),
      sequence: fc.integer({ min: 0, max: 0xffffffff }),
      payload: bytes,
    });
    fc.assert(
      fc.property(fc.array(oneMessage, { maxLength: 5 }), (written) => {
        const datagram = Buffer.concat(written.map((m) => message(m.type, m.flags, m.sequence, m.payload)));
        expect(readMessages(datagram)).to.deep.equal(written.map((m) => ({ ...m, port: 0 })));
      }),
    );
  });

  it('reads back the attributes that it wrote, nested ones too', () => {
    const oneAttribute = fc.record({ type: fc.integer({ min: 0, max: 0x3fff }), value: bytes });
    fc.assert(
      fc.property(fc.array(oneAttribute, { maxLength: 5 }), (written) => {
        const children = written.map(({ type, value }) => attribute(type, value));
        expect(readAttributes(Buffer.concat(children))).to.deep.equal(written);
        const [outer] = readAttributes(nested(18, ...children));
        expect(outer?.type).to.equal(18);
        expect(readAttributes(outer?.value ?? Buffer.alloc(0))).to.deep.equal(written);
      }),
    );
  });

  it('reads any bytes without leaving them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (array) => {
        const input = Buffer.from(array);
        const read =
          readMessages(input).reduce((sum, { payload }) => sum + 16 + payload.length, 0) +
          readAttributes(input).reduce((sum, { value }) => sum + 4 + value.length, 0);
        expect(read).to.be.at.most(2 * input.length);
      }),
    );
  });

  it('keeps what is whole when the end is cut off', () => {
    const whole = Buffer.concat([attribute(1, u32(1)), attribute(2, u32(2))]);
    for (let cut = 0; cut < whole.length; cut++) {
      const expected = cut < 8 ? [] : [1];
      expect(readAttributes(whole.subarray(0, cut)).map(({ type }) => type)).to.deep.equal(expected);
    }
  });

  it('ends at a length below the header instead of turning in circles', () => {
    expect(readAttributes(Buffer.from('0000010001000000', 'hex'))).to.deep.equal([]);
    expect(readMessages(Buffer.alloc(64))).to.deep.equal([]);
  });

  it('gives undefined for values that are too short, and cuts longer ones', () => {
    expect(asU32(Buffer.from([1, 0, 0]))).to.equal(undefined);
    expect(asU32(Buffer.from([1, 0, 0, 0, 9]))).to.equal(1);
    expect(asU16(Buffer.from([1]))).to.equal(undefined);
    expect(asU16(Buffer.from([1, 0, 9]))).to.equal(1);
    expect(asMac(Buffer.alloc(20))).to.equal(undefined);
    expect(asMac(mac('02:4c:0a:00:00:07'))).to.equal('02:4c:0a:00:00:07');
    expect(asText(Buffer.from('no nul'))).to.equal('no nul');
    expect(asText(Buffer.from('a\0b'))).to.equal('a');
    expect(asU32(undefined)).to.equal(undefined);
  });

  it('keeps the first of two attributes of one type in a map', () => {
    expect(asU32(attributeMap(Buffer.concat([attribute(1, u32(5)), attribute(1, u32(6))])).get(1))).to.equal(
      5,
    );
    expect(attributeMap(undefined).size).to.equal(0);
  });

  it('aligns to four', () => {
    expect([0, 1, 4, 5].map(align)).to.deep.equal([0, 4, 4, 8]);
  });
});
