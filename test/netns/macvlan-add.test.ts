/** `KernelLinks.macvlanAdd` against the real kernel, each test in a network namespace of its own. */
import { expect } from 'chai';
import { Conflict, InvalidRequest, KernelError, NotFound } from '../../core/errors.ts';
import { failure, SPEC, useKernelLinks } from './kernel-links.ts';

describe('net/links macvlanAdd', () => {
  const bench = useKernelLinks();

  it('makes a link with mode, MAC, mark, MTU and parent as asked, and leaves it down', async () => {
    for (const [index, mode] of (['bridge', 'private', 'vepa'] as const).entries()) {
      const spec = {
        ...SPEC,
        name: `ln${index}`,
        mode,
        macAddress: `02:4c:0a:00:01:0${index}`,
        mtuBytes: 1400,
      };
      const made = await bench.links.macvlanAdd(spec);
      const seen = bench.namespace.link(spec.name);
      expect(seen).to.include({
        link: 'up0',
        mtu: 1400,
        address: spec.macAddress,
        ifalias: SPEC.alias,
        ifindex: made.linkIndex,
      });
      expect(seen?.linkinfo).to.deep.include({ info_kind: 'macvlan' });
      expect(seen?.linkinfo?.info_data?.mode).to.equal(mode);
      expect(seen?.flags).not.to.include('UP');
      expect(made).to.deep.include({
        name: spec.name,
        kind: 'macvlan',
        macvlanMode: mode,
        macAddress: spec.macAddress,
        alias: SPEC.alias,
        mtuBytes: 1400,
        up: false,
        parentIndex: bench.namespace.link('up0')?.ifindex,
      });
    }
  });

  it('takes the MTU of the parent if none is asked, and MACs in upper case', async () => {
    bench.namespace.ip('link', 'set', 'up0', 'mtu', '1480');
    const made = await bench.links.macvlanAdd({ ...SPEC, macAddress: '02:4C:0A:00:00:0F' });
    expect(made).to.include({ mtuBytes: 1480, macAddress: '02:4c:0a:00:00:0f' });
  });

  it('makes passthru, and says what it needs if the parent is in use', async () => {
    await bench.links.macvlanAdd({ ...SPEC, mode: 'passthru' });
    expect(bench.namespace.link(SPEC.name)?.linkinfo?.info_data?.mode).to.equal('passthru');
    const error = await failure(bench.links.macvlanAdd({ ...SPEC, name: 'ln2', mode: 'passthru' }));
    expect(error).to.be.instanceOf(KernelError);
    expect(error).to.include({ errnoName: 'EINVAL' });
    expect(error.message).to.equal(
      'cannot create macvlan link "ln2" on "up0": EINVAL: mode passthru needs a parent that no other macvlan uses',
    );
  });

  it('answers the same when asked twice', async () => {
    const made = await bench.links.macvlanAdd(SPEC);
    expect(await bench.links.macvlanAdd(SPEC)).to.deep.equal(made);
    expect(bench.namespace.links().filter(({ ifname }) => ifname === SPEC.name)).to.have.length(1);
  });

  it('refuses a name that a link of another mark, mode, MAC or kind has, and leaves that link alone', async () => {
    await bench.links.macvlanAdd(SPEC);
    for (const change of [
      { alias: 'lanius:other' },
      { mode: 'vepa' },
      { macAddress: '02:4c:0a:00:00:08' },
      { parent: 'up1' },
    ] as const) {
      const error = await failure(bench.links.macvlanAdd({ ...SPEC, ...change }));
      expect(error, JSON.stringify(change)).to.be.instanceOf(Conflict);
    }
    expect(bench.namespace.link(SPEC.name)).to.include({ ifalias: SPEC.alias, address: SPEC.macAddress });

    const error = await failure(bench.links.macvlanAdd({ ...SPEC, name: 'up1' }));
    expect(error).to.be.instanceOf(Conflict);
    expect(error.message).to.match(/^a link named "up1" exists already with kind veth instead of macvlan/);
    expect(bench.namespace.link('up1')).not.to.have.property('ifalias');
  });

  it('says that the parent does not exist', async () => {
    const error = await failure(bench.links.macvlanAdd({ ...SPEC, parent: 'eth9' }));
    expect(error).to.be.instanceOf(NotFound);
    expect(error.message).to.equal(
      'parent link "eth9" does not exist on this host: create it or choose another with -o parent=',
    );
    expect(
      await failure(bench.links.macvlanAdd({ ...SPEC, parent: 'a-name-too-long-for-a-link' })),
    ).to.be.instanceOf(NotFound);
  });

  it('names the lower link of a parent that is a macvlan itself', async () => {
    await bench.links.macvlanAdd(SPEC);
    const error = await failure(bench.links.macvlanAdd({ ...SPEC, name: 'ln2', parent: SPEC.name }));
    expect(error).to.be.instanceOf(InvalidRequest);
    expect(error.message).to.include('is a macvlan itself').and.include('choose -o parent=up0');
  });

  it('refuses the loopback and a parent that is a bridge port', async () => {
    expect((await failure(bench.links.macvlanAdd({ ...SPEC, parent: 'lo' }))).message).to.include(
      'is the loopback',
    );
    bench.namespace.ip('link', 'add', 'br0', 'type', 'bridge');
    bench.namespace.ip('link', 'set', 'up0', 'master', 'br0');
    const error = await failure(bench.links.macvlanAdd(SPEC));
    expect(error).to.be.instanceOf(KernelError);
    expect(error).to.include({ errnoName: 'EBUSY' });
    expect(error.message).to.include('the parent is used in another way');
  });

  for (const [what, change, text] of [
    ['a name of 16 characters', { name: 'ln0123456789abcd' }, 'has 16 bytes: the kernel takes 1 to 15'],
    ['an empty name', { name: '' }, 'has 0 bytes'],
    ['a name with a slash', { name: 'a/b' }, 'has a character that the kernel does not take'],
    ['a MAC of five bytes', { macAddress: '02:4c:0a:00:00' }, 'is not six hex pairs'],
    ['a multicast MAC', { macAddress: '03:4c:0a:00:00:01' }, 'is not a unicast address'],
    ['an empty alias', { alias: '' }, 'must be 1 to 255 bytes long'],
    ['an alias of 256 bytes', { alias: 'x'.repeat(256) }, 'must be 1 to 255 bytes long'],
    ["an MTU above the parent's", { mtuBytes: 9000 }, 'MTU 9000 is above the 1500 of parent link "up0"'],
  ] as const) {
    it(`refuses ${what}`, async () => {
      const error = await failure(bench.links.macvlanAdd({ ...SPEC, ...change }));
      expect(error).to.be.instanceOf(InvalidRequest);
      expect(error.message).to.include(text);
      expect(bench.namespace.links()).to.have.length(3);
    });
  }

  it("hands the kernel's own words on", async () => {
    const error = await failure(bench.links.macvlanAdd({ ...SPEC, mtuBytes: 10 }));
    expect(error).to.be.instanceOf(KernelError);
    expect(error.message).to.include('EINVAL: mtu less than device minimum');
    expect(bench.namespace.link(SPEC.name)).to.equal(undefined);
  });

  it('takes a mark of the longest length', async () => {
    const alias = `lanius:${'x'.repeat(248)}`;
    expect(await bench.links.macvlanAdd({ ...SPEC, alias })).to.include({ alias });
  });
});
