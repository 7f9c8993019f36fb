/** Links of containers that were destroyed with their parent, against the real kernel. */
import { expect } from 'chai';
import { NotFound } from '../../core/errors.ts';
import { KernelLostLinks } from '../../net/kernel-lost-links.ts';
import type { LostLinkSpec } from '../../net/lost-link-port.ts';
import { failure, useKernelLinks } from './kernel-links.ts';
import { TestNamespace } from './namespace.ts';

interface IpAddress {
  readonly ifname: string;
  readonly addr_info: readonly {
    readonly local: string;
    readonly prefixlen: number;
    readonly scope: string;
  }[];
}

describe('net/lost-link', () => {
  const bench = useKernelLinks();
  let sandbox: TestNamespace;
  let spec: LostLinkSpec;

  beforeEach(() => {
    sandbox = new TestNamespace();
    sandbox.ip('link', 'set', 'lo', 'up');
    spec = {
      namespacePath: sandbox.path,
      parent: 'up0',
      mode: 'bridge',
      macAddress: '02:4c:0a:00:00:07',
      alias: `lanius:${'ab'.repeat(32)}`,
      mtuBytes: 1400,
      linkName: 'lnabababababab',
      addresses: ['10.0.0.7/16', 'fd00::7/64'],
      gateways: ['10.0.0.1', 'fd00::1'],
    };
  });
  afterEach(() => sandbox.remove());

  const revive = (more: Partial<LostLinkSpec> = {}) =>
    new KernelLostLinks(bench.kernel).lostLinkRevive({ ...spec, ...more });

  it('makes the link with all that the engine had set', async () => {
    expect(await revive()).to.equal('made');
    expect(sandbox.link('eth0')).to.include({
      address: spec.macAddress,
      ifalias: spec.alias,
      mtu: 1400,
    });
    const addresses = JSON.parse(sandbox.ip('-j', 'addr', 'show', 'dev', 'eth0')) as IpAddress[];
    const texts = addresses[0]?.addr_info.map(
      ({ local, prefixlen, scope }) => `${local}/${prefixlen} ${scope}`,
    );
    expect(texts).to.include.members(['10.0.0.7/16 global', 'fd00::7/64 global']);
    expect(sandbox.ip('route', 'show', 'default')).to.match(/^default via 10\.0\.0\.1 dev eth0/);
    expect(sandbox.ip('-6', 'route', 'show', 'default')).to.match(/^default via fd00::1 dev eth0/);
    expect(bench.namespace.links().map(({ ifname }) => ifname)).not.to.include(spec.linkName);
  });

  it('does nothing while the link stands, in the sandbox or on its way there', async () => {
    expect(await revive()).to.equal('made');
    const { ifindex } = sandbox.link('eth0') ?? {};
    expect(await revive()).to.equal('stands');
    expect(sandbox.link('eth0')).to.include({ ifindex });
    const moving = { alias: 'lanius:moving', linkName: 'lnmoving' };
    bench.namespace.ip('link', 'add', 'lnmoving', 'link', 'up0', 'type', 'macvlan', 'mode', 'bridge');
    bench.namespace.ip('link', 'set', 'lnmoving', 'alias', 'lanius:moving');
    expect(await revive(moving)).to.equal('stands');
  });

  it('takes the name that it had, or the first that is free, and leaves another default route alone', async () => {
    sandbox.addUplink('eth0', 'far');
    sandbox.ip('addr', 'add', '192.168.9.2/24', 'dev', 'eth0');
    sandbox.ip('route', 'add', 'default', 'via', '192.168.9.1');
    expect(await revive({ name: 'eth7', addresses: ['10.0.0.7/16'], gateways: ['10.0.0.1'] })).to.equal(
      'made',
    );
    expect(sandbox.link('eth7')).to.include({ ifalias: spec.alias });
    expect(sandbox.ip('route', 'show', 'default')).to.match(/^default via 192\.168\.9\.1 dev eth0 *\n$/);
    expect(sandbox.ip('-6', 'addr', 'show', 'dev', 'eth7'), 'no IPv6 address of its own').to.equal('');

    const second = { alias: 'lanius:second', linkName: 'lnsecond', macAddress: '02:4c:0a:00:00:08' };
    expect(await revive({ ...second, addresses: ['10.0.0.8/16'], gateways: [] })).to.equal('made');
    expect(sandbox.link('eth1')).to.include({ ifalias: 'lanius:second' });
  });

  it('does away with what an attempt that was cut off left', async () => {
    const name = spec.linkName;
    bench.namespace.ip('link', 'add', name, 'link', 'up0', 'netns', sandbox.name, 'type', 'macvlan');
    expect(await revive()).to.equal('made');
    expect(sandbox.links().map(({ ifname }) => ifname)).to.deep.equal(['lo', 'eth0']);
  });

  it('says if sandbox or parent are gone, and leaves nothing when something is refused', async () => {
    expect(await failure(revive({ parent: 'eth9' }))).to.be.instanceOf(NotFound);
    expect(await failure(revive({ mtuBytes: 9000 }))).to.have.property('errnoName', 'EINVAL');
    const unreachable = revive({ gateways: ['192.168.99.1'] });
    expect((await failure(unreachable)).message).to.match(/set the default route .*ENETUNREACH/);
    expect(sandbox.links().map(({ ifname }) => ifname)).to.deep.equal(['lo']);
    sandbox.remove();
    expect(await revive()).to.equal('gone');
  });

  it('brings back what the deletion of the parent took', async () => {
    expect(await revive()).to.equal('made');
    bench.namespace.ip('link', 'del', 'up0');
    expect(sandbox.link('eth0')).to.equal(undefined);
    bench.namespace.addUplink('up0', 'up1');
    const from = performance.now();
    expect(await revive({ name: 'eth0' })).to.equal('made');
    console.log(`      made again in ${(performance.now() - from).toFixed(1)} ms`);
    expect(sandbox.link('eth0')).to.include({ address: spec.macAddress });
  });
});
