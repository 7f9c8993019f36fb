import { expect } from 'chai';
import { addressAdd, addressDelete, addressEntry, readAddress } from '../../../../net/rtnetlink/address.ts';

/** `10.9.0.6/24 brd 10.9.0.255 scope global secondary eth0:1`, as Linux 6.18 tells it. */
const LABELLED = Buffer.from(
  [
    '0218810002000000', // AF_INET, /24, flags, universe, index 2
    '080001000a090006', // IFA_ADDRESS
    '080002000a090006', // IFA_LOCAL
    '080004000a0900ff', // IFA_BROADCAST
    '0b000300657468303a310000', // IFA_LABEL eth0:1
    '0800080081000000', // IFA_FLAGS permanent, secondary
    '14000600ffffffffffffffff1234567812345678', // IFA_CACHEINFO, for ever
  ].join(''),
  'hex',
);

describe('net/rtnetlink/address', () => {
  it('reads an address with all that it has', () => {
    const read = readAddress(LABELLED);
    expect(read).to.include({ family: 4, linkIndex: 2, address: '10.9.0.6', prefixLength: 24, scope: 0 });
    expect(read).to.include({ flags: 0x81, label: 'eth0:1' });
    expect(read).not.to.have.property('validSeconds');
  });

  it('writes one that was read as it was, on another link', () => {
    const read = readAddress(LABELLED);
    if (read === undefined) throw new Error('it was not read');
    const again = readAddress(addressAdd({ ...read, linkIndex: 7 }, 'add').payload);
    expect(again).to.deep.equal({ ...read, linkIndex: 7 });
  });

  it('deletes by address and prefix only', () => {
    const read = readAddress(LABELLED);
    if (read === undefined) throw new Error('it was not read');
    const deleted = readAddress(addressDelete(read, 'delete').payload);
    expect(deleted).to.include({ address: '10.9.0.6', prefixLength: 24 });
    expect(deleted?.attributes.map(({ type }) => type)).to.have.members([1, 2]);
  });

  it('makes up IPv6 addresses, and reads nothing out of what is cut off', () => {
    const made = addressEntry({ linkIndex: 3, address: 'fd09::5', prefixLength: 128, flags: 2 });
    const { payload } = addressAdd(made, 'add');
    expect(readAddress(payload)).to.deep.equal(made);
    for (let length = 0; length < 12; length++)
      expect(readAddress(payload.subarray(0, length))).to.equal(undefined);
  });
});
