/** `KernelIpvlans` against the real kernel. Where it has no ipvlan, its refusal; test/uml/ipvlan.ts has one that has. */
import { expect } from 'chai';
import { Conflict, NotFound, Unsupported } from '../../core/errors.ts';
import { linkAliasOf, linkNameOf } from '../../core/ids.ts';
import { KernelIpvlans } from '../../net/ipvlan-port.ts';
import { failure, useKernelLinks } from './kernel-links.ts';

const ENDPOINT = 'cd'.repeat(32);
const SPEC = { name: linkNameOf(ENDPOINT), parent: 'up0', alias: linkAliasOf(ENDPOINT) };

describe('net/ipvlan', () => {
  const bench = useKernelLinks();
  const ipvlans = (): KernelIpvlans => new KernelIpvlans(bench.kernel);

  it('says that the kernel has none, and what to do, if it has none; and leaves nothing', async () => {
    if ((await bench.links.probe()).linkKinds.ipvlan === true) return ipvlans().ipvlanTry('up0');
    for (const work of [ipvlans().ipvlanTry('up0'), ipvlans().ipvlanAdd(SPEC)]) {
      const error = await failure(work);
      expect(error).to.be.instanceOf(Unsupported);
      expect(error.message).to.equal(
        'option mode: this kernel has no ipvlan links: load the module (modprobe ipvlan), or use a kernel with CONFIG_IPVLAN, or choose mode=macvlan',
      );
    }
    expect(bench.namespace.links().map(({ ifname }) => ifname)).to.have.members(['lo', 'up0', 'up1']);
  });

  it('refuses a parent that is not there and a name that is taken', async () => {
    expect(await failure(ipvlans().ipvlanTry('up9'))).to.be.instanceOf(NotFound);
    expect(await failure(ipvlans().ipvlanAdd({ ...SPEC, parent: 'up9' }))).to.be.instanceOf(NotFound);
    bench.namespace.ip('link', 'add', SPEC.name, 'type', 'veth', 'peer', 'name', 'other');
    expect(await failure(ipvlans().ipvlanAdd(SPEC))).to.be.instanceOf(Conflict);
  });
});
