import { expect } from 'chai';
import { type ArpCase, chooseArp } from '../../../links/arp-choice.ts';

const CASE: ArpCase = { mode: 'macvlan', entries: 4096, responder: true };
const NO = 'this kernel has no act_bpf';

describe('links/arp-choice', () => {
  it('takes tables for small ranges, the responder for large ones', () => {
    expect(chooseArp(CASE)).to.include({ wish: 'auto', how: 'preload', entries: 4096 });
    expect(chooseArp({ ...CASE, entries: 4097 })).to.include({ how: 'responder' });
    expect(chooseArp({ ...CASE, entries: 16_000_000 })).to.include({ how: 'responder' });
  });

  it('takes tables where the kernel has no responder, up to a size, and says why', () => {
    const some = chooseArp({ ...CASE, entries: 65_000, responder: NO });
    expect(some.how).to.equal('preload');
    expect(some.reason).to.include(NO);
    expect(some.problem).to.equal(undefined);
    expect(chooseArp({ ...CASE, entries: 16_000_000, responder: NO }).how).to.equal('off');
  });

  it('obeys the network, then the pool', () => {
    expect(chooseArp({ ...CASE, ofPool: 'responder' })).to.include({
      how: 'responder',
      reason: 'its pool says responder',
    });
    expect(chooseArp({ ...CASE, ofPool: 'responder', ofNetwork: 'off' })).to.include({ how: 'off' });
    expect(chooseArp({ ...CASE, ofPool: 'off', ofNetwork: 'auto' })).to.include({ how: 'preload' });
    expect(chooseArp({ ...CASE, entries: 65_534, ofNetwork: 'preload' })).to.include({ how: 'preload' });
  });

  it('says what is wrong with a wish that cannot be', () => {
    const responder = chooseArp({ ...CASE, ofNetwork: 'responder', responder: NO });
    expect(responder.how).to.equal('preload');
    expect(responder.problem).to.include(NO);
    const large = chooseArp({ ...CASE, ofNetwork: 'preload', entries: 500_000 });
    expect(large.how).to.equal('responder');
    expect(large.problem).to.include('at most 131072 addresses');
    expect(chooseArp({ ...CASE, ofNetwork: 'preload', entries: 500_000, responder: NO }).how).to.equal('off');
  });

  it('leaves ARP alone where nothing is planned, and always with ipvlan', () => {
    expect(chooseArp({ ...CASE, entries: 0, ofNetwork: 'preload' })).to.include({ how: 'off' });
    expect(chooseArp({ ...CASE, mode: 'ipvlan' })).to.include({ how: 'off' });
    const asked = chooseArp({ ...CASE, mode: 'ipvlan', ofNetwork: 'responder' });
    expect(asked.how).to.equal('off');
    expect(asked.problem).to.include('the MAC of their parent');
    expect(chooseArp({ ...CASE, mode: 'bridge' })).to.include({ how: 'preload' });
  });
});
