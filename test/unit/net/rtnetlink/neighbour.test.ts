import { expect } from 'chai';
import type { NeighbourRun } from '../../../../net/neighbour-plan.ts';
import {
  BATCH_BYTES,
  NeighbourBatch,
  neighbourDumpPayload,
  neighbourGetPayload,
  readNeighbour,
  standsAs,
  upperOf,
} from '../../../../net/rtnetlink/neighbour.ts';
import { attribute, u32 } from '../../../../net/rtnetlink/wire.ts';

const IPV4: NeighbourRun = {
  family: 4,
  upper: '',
  first: 0x0a01_0007,
  last: 0x0a01_ffff,
  macHead: 0x024c,
  macXor: 0,
};
const IPV6: NeighbourRun = {
  family: 6,
  upper: 'fd00000000000000000000aa',
  first: 0x8000_0001,
  last: 0x8000_0001,
  macHead: 0xfedc,
  macXor: 0xffff_0000,
};

/** The messages of a batch as hex; the lengths are the messages' own. */
function messages(batch: NeighbourBatch): string[] {
  return batch.take((bytes) => {
    const found: string[] = [];
    for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at)) {
      found.push(bytes.toString('hex', at, at + bytes.readUInt32LE(at)));
    }
    return found;
  });
}

function answer(family: number, state: number, ...attributes: readonly Buffer[]): Buffer {
  const ndmsg = Buffer.alloc(12);
  ndmsg.writeUInt8(family, 0);
  ndmsg.writeInt32LE(9, 4);
  ndmsg.writeUInt16LE(state, 8);
  return Buffer.concat([ndmsg, ...attributes]);
}

const read = (bytes: Buffer) => readNeighbour(bytes, 0, bytes.length);

describe('net/rtnetlink/neighbour', () => {
  it('writes PERMANENT entries with address, MAC and mark, and asks for an acknowledgement of the last', () => {
    const batch = new NeighbourBatch();
    expect(batch.add('replace', 9, { ...IPV4, last: IPV4.first + 1 }, IPV4.first)).to.equal(2);
    const ndmsg = '02000000' + '09000000' + '8000' + '0000';
    expect(messages(batch)).to.deep.equal(
      [
        `380000001c0001050100000000000000${ndmsg}08000100 0a010007 0a000200 024c0a010007 0000 05000c00 4c000000`,
        `380000001c0005050200000000000000${ndmsg}08000100 0a010008 0a000200 024c0a010008 0000 05000c00 4c000000`,
      ].map((text) => text.replaceAll(' ', '')),
    );
  });

  it('writes IPv6 addresses with the MAC that the run says', () => {
    const batch = new NeighbourBatch();
    expect(batch.add('replace', 9, IPV6, IPV6.first)).to.equal(1);
    const [one = ''] = messages(batch);
    expect(one).to.contain('14000100fd00000000000000000000aa80000001');
    expect(one).to.contain('0a000200fedc7fff0001');
    expect(batch.addressOf(0)).to.equal('fd00::aa:8000:1');
  });

  it('writes deletions without MAC', () => {
    const batch = new NeighbourBatch();
    batch.add('delete', 9, { ...IPV4, last: IPV4.first }, IPV4.first);
    expect(messages(batch)).to.deep.equal([
      '240000001d0005000100000000000000' + '02000000090000000000000008000100' + '0a010007',
    ]);
  });

  it('takes as many as there is room for, and different messages only when it is empty', () => {
    const batch = new NeighbourBatch();
    const most = Math.floor(BATCH_BYTES / 56);
    expect(batch.add('replace', 9, { ...IPV4, last: IPV4.first }, IPV4.first)).to.equal(1);
    expect(batch.add('replace', 9, { ...IPV4, macHead: 1 }, IPV4.first)).to.equal(most - 1);
    expect(batch.add('replace', 9, IPV4, IPV4.first)).to.equal(0);
    expect(batch.take((bytes, count) => [bytes.length, count])).to.deep.equal([most * 56, most]);
    expect(batch.add('replace', 9, IPV4, IPV4.first)).to.equal(most);
    expect(batch.add('delete', 9, IPV4, IPV4.first)).to.equal(0);
    expect(batch.add('replace', 10, IPV4, IPV4.first)).to.equal(0);
    expect(batch.add('replace', 9, IPV6, IPV6.first)).to.equal(0);
    expect(messages(batch)).to.have.length(most);
    expect(batch.add('delete', 9, IPV4, IPV4.first)).to.be.greaterThan(most);
  });

  it('leaves no acknowledgement behind in a batch that is used again', () => {
    const batch = new NeighbourBatch();
    batch.add('replace', 9, { ...IPV4, last: IPV4.first }, IPV4.first);
    batch.take(() => {});
    batch.add('replace', 9, { ...IPV4, last: IPV4.first + 1 }, IPV4.first);
    expect(messages(batch).map((text) => text.slice(12, 16))).to.deep.equal(['0105', '0505']);
  });

  it('reads what it writes, and what others add', () => {
    const found = read(
      answer(
        2,
        0x80,
        attribute(1, Buffer.from('0a010007', 'hex')),
        attribute(4095, Buffer.from('a thing of the future')),
        attribute(2, Buffer.from('024c0a010007', 'hex')),
        attribute(12, Buffer.from([0x4c])),
        attribute(3, Buffer.alloc(16)),
      ),
    );
    expect(found).to.include({ linkIndex: 9, family: 4, low: 0x0a01_0007, permanent: true, ours: true });
    expect(found && standsAs(found, IPV4)).to.equal(true);
    expect(found && standsAs(found, { ...IPV4, macHead: 0x0202 })).to.equal(false);
    expect(found && standsAs(found, { ...IPV4, macXor: 1 })).to.equal(false);
  });

  it('reads IPv6, other states, other owners and entries without MAC', () => {
    const address = Buffer.from('fd00000000000000000000aa80000001', 'hex');
    const sixth = read(
      answer(10, 0x80, attribute(1, address), attribute(2, Buffer.from('fedc7fff0001', 'hex'))),
    );
    expect(sixth && [upperOf(sixth), sixth.ours, standsAs(sixth, IPV6)]).to.deep.equal([
      IPV6.upper,
      false,
      true,
    ]);
    const reachable = read(answer(2, 0x02, attribute(1, u32(1)), attribute(2, Buffer.alloc(6))));
    expect(reachable).to.include({ permanent: false });
    const incomplete = read(answer(2, 0x01, attribute(1, u32(1))));
    expect(incomplete).to.include({ macHead: -1, ours: false });
  });

  it('is not confused by what is cut off, or is no IP neighbour', () => {
    const whole = answer(2, 0x80, attribute(1, u32(1)), attribute(2, Buffer.alloc(6)));
    for (let length = 0; length < 20; length++) expect(read(whole.subarray(0, length))).to.equal(undefined);
    expect(read(answer(7, 0x80, attribute(2, Buffer.alloc(6))))).to.equal(undefined);
    const lying = Buffer.concat([answer(2, 0x80), Buffer.from('ffff0100', 'hex')]);
    expect(read(lying)).to.equal(undefined);
    expect(read(Buffer.concat([answer(2, 0x80), Buffer.alloc(4)]))).to.equal(undefined);
  });

  it('asks for one neighbour, and for those of one link', () => {
    expect(neighbourGetPayload(9, IPV4).toString('hex')).to.equal(
      '020000000900000000000000' + '080001000a010007',
    );
    expect(neighbourDumpPayload(9).toString('hex')).to.equal(`${'00'.repeat(12)}0800080009000000`);
  });
});
