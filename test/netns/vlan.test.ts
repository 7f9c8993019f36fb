/** What a kernel without 802.1Q says; a kernel that has it is in test/uml/vlan.ts. */
import { expect } from 'chai';
import { NotFound, Unsupported } from '../../core/errors.ts';
import { VLAN_MARK } from '../../core/ids.ts';
import { KernelVlans } from '../../net/kernel-vlans.ts';
import { failure, useKernelLinks } from './kernel-links.ts';

describe('net/vlan', () => {
  const bench = useKernelLinks();
  const spec = { name: 'up0.5', lower: 'up0', vlanId: 5, alias: VLAN_MARK };

  it('makes a sub-interface, or says that the kernel has none', async () => {
    const vlans = new KernelVlans(bench.kernel);
    const { linkKinds } = await bench.links.probe();
    if (linkKinds.vlan === true) {
      expect(await vlans.vlanAdd(spec)).to.include({ made: true });
      expect(bench.namespace.link('up0.5')).to.include({ link: 'up0', ifalias: VLAN_MARK, mtu: 1500 });
      expect(await vlans.vlanAdd(spec)).to.include({ made: false });
      expect(await vlans.vlanDelete({ name: 'up0.5', alias: VLAN_MARK })).to.equal(true);
      return;
    }
    const error = await failure(vlans.vlanAdd(spec));
    expect(error).to.be.instanceOf(Unsupported);
    expect(error.message).to.equal(
      'VLAN sub-interface up0.5 cannot be made, because this kernel has no 802.1Q: modprobe 8021q, or use a kernel with CONFIG_VLAN_8021Q',
    );
    expect(bench.namespace.links()).to.have.length(3);
  });

  it('names the lower link that does not exist, and deletes nothing that is no sub-interface with the mark', async () => {
    const vlans = new KernelVlans(bench.kernel);
    expect(await failure(vlans.vlanAdd({ ...spec, lower: 'eth9' }))).to.be.instanceOf(NotFound);
    bench.namespace.ip('link', 'set', 'up0', 'alias', VLAN_MARK);
    expect(await vlans.vlanDelete({ name: 'up0', alias: VLAN_MARK })).to.equal(false);
    expect(await vlans.vlanDelete({ name: 'none', alias: VLAN_MARK })).to.equal(false);
    expect(bench.namespace.link('up0')).not.to.equal(undefined);
  });
});
