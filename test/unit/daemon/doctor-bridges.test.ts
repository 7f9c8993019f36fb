import { expect } from 'chai';
import { checkBridges } from '../../../daemon/doctor-bridges.ts';

describe('daemon/doctor-bridges', () => {
  it('warns of each bridge whose frames go through the firewall, with the rule that lets them pass', () => {
    const [found, ...more] = checkBridges(new Set(['br-eth0']));
    expect(more).to.deep.equal([]);
    expect(found).to.include({ check: 'bridge br-eth0', status: 'warn' });
    expect(found?.remedy).to.include('iptables -I DOCKER-USER -i br-eth0 -o br-eth0 -j ACCEPT');
  });

  it('says nothing where there is none', () => {
    expect(checkBridges(new Set())).to.deep.equal([]);
  });
});
