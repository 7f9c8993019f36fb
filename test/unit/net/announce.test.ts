/** Whole frames as they must be on the wire. */
import { expect } from 'chai';
import { arpAnnouncement, neighbourAdvertisement } from '../../../net/announce.ts';

const MAC = '02:4c:0a:09:00:07';

describe('net/announce', () => {
  it('announces an IPv4 address by an ARP request for itself', () => {
    expect(arpAnnouncement(MAC, '10.9.0.7').toString('hex')).to.equal(
      `ffffffffffff024c0a0900070806${'0001080006040001'}024c0a0900070a090007${'000000000000'}0a090007`,
    );
  });

  it('announces an IPv6 address by an advertisement to all nodes', () => {
    const frame = neighbourAdvertisement(MAC, 'fd00::7');
    expect(frame).to.have.length(14 + 40 + 32);
    expect(frame.subarray(0, 22).toString('hex')).to.equal('333300000001024c0a09000786dd6000000000203aff');
    expect(frame.subarray(22, 54).toString('hex')).to.equal(
      'fd000000000000000000000000000007ff020000000000000000000000000001',
    );
    expect(frame.subarray(58).toString('hex')).to.equal(
      '20000000fd0000000000000000000000000000070201024c0a090007',
    );
    expect(sum(frame), 'the checksum makes the sum all ones').to.equal(0xffff);
  });
});

/** The one's complement sum over pseudo-header and message. */
function sum(frame: Buffer): number {
  let total = 32 + 58;
  for (let at = 22; at < frame.length; at += 2) total += frame.readUInt16BE(at);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}
