/** Messages about qdiscs and filters: golden bytes, as tc sends and the kernel answers, and what is cut off. */
import { expect } from 'chai';
import fc from 'fast-check';
import {
  bpfFilterReplace,
  filterDelete,
  filterDump,
  qdiscAdd,
  qdiscDump,
  readFilter,
  readQdisc,
} from '../../../../net/rtnetlink/traffic-control.ts';
import { attribute, nested, text, u32 } from '../../../../net/rtnetlink/wire.ts';

const PLACE = { linkIndex: 2, parent: 0xffff_fff3, priority: 0x4c41, protocol: 0x0806, handle: 1 };

describe('net/rtnetlink/traffic-control', () => {
  it('writes a clsact', () => {
    const qdisc = { linkIndex: 2, handle: 0xffff_0000, parent: 0xffff_fff1, kind: 'clsact' };
    expect(qdiscAdd(qdisc, 'x')).to.include({ type: 36, flags: 0x600, operation: 'x' });
    expect(qdiscAdd(qdisc, 'x').payload.toString('hex')).to.equal(
      '00000000' + '02000000' + '0000ffff' + 'f1ffffff' + '00000000' + '0b000100' + '636c736163740000',
    );
    expect(qdiscDump('x')).to.include({ type: 38, flags: 0 });
  });

  it('writes a filter that runs a program, and its removal', () => {
    const filter = bpfFilterReplace({ ...PLACE, name: 'try', programFd: 21, classId: 7 }, 'x');
    const head = '00000000' + '02000000' + '01000000' + 'f3ffffff' + '0806414c';
    const kind = '08000100' + '62706600';
    expect(filter).to.include({ type: 44, flags: 0x500 });
    expect(filter.payload.toString('hex')).to.equal(
      head +
        kind +
        '24000280' +
        '0800030007000000' +
        '0800060015000000' +
        '0800070074727900' +
        '0800080001000000',
    );
    expect(filterDelete(PLACE, 'bpf', 'x')).to.include({ type: 45, flags: 0 });
    expect(filterDelete(PLACE, 'bpf', 'x').payload.toString('hex')).to.equal(head + kind);
    expect(filterDump(2, 0xffff_fff3, 'x').payload.toString('hex')).to.equal(
      '00000000' + '02000000' + '00000000' + 'f3ffffff' + '00000000',
    );
  });

  it('reads a filter with its program, and others without', () => {
    const { payload } = filterDelete(PLACE, 'bpf', 'x');
    const options = nested(2, attribute(3, u32(7)), attribute(7, text('try')), attribute(11, u32(99)));
    expect(readFilter(Buffer.concat([payload, options]))).to.deep.equal({
      ...PLACE,
      kind: 'bpf',
      name: 'try',
      programId: 99,
      classId: 7,
    });
    const other = filterDelete(PLACE, 'u32', 'x').payload;
    expect(readFilter(Buffer.concat([other, options]))).to.deep.equal({ ...PLACE, kind: 'u32' });
  });

  it('reads a qdisc', () => {
    const qdisc = { linkIndex: 3, handle: 0x8001_0000, parent: 0xffff_ffff, kind: 'tbf' };
    expect(readQdisc(qdiscAdd(qdisc, 'x').payload)).to.deep.equal(qdisc);
  });

  it('takes whatever bytes come without a throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        readFilter(Buffer.from(bytes));
        readQdisc(Buffer.from(bytes));
      }),
    );
    expect(readFilter(Buffer.alloc(19))).to.equal(undefined);
    expect(readQdisc(Buffer.alloc(20))).to.equal(undefined);
  });
});
