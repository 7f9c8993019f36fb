import { expect } from 'chai';
import { KernelError } from '../../../../core/errors.ts';
import { errnoName, kernelError } from '../../../../net/rtnetlink/errno.ts';

describe('net/rtnetlink/errno', () => {
  it('names errno values as the kernel does', () => {
    expect([1, 11, 17, 19, 95, 98, 524, 4000].map(errnoName)).to.deep.equal([
      'EPERM',
      'EAGAIN',
      'EEXIST',
      'ENODEV',
      'EOPNOTSUPP',
      'EADDRINUSE',
      'ENOTSUPP',
      'E4000',
    ]);
  });

  it("writes operation, errno, the kernel's words and the remedy into one line", () => {
    const error = kernelError('create macvlan link "ln0" on "eth0"', 95, 'Unknown device\ntype');
    expect(error).to.be.instanceOf(KernelError);
    expect(error).to.include({ errno: 95, errnoName: 'EOPNOTSUPP', code: 'kernel' });
    expect(error.message).to.equal(
      'cannot create macvlan link "ln0" on "eth0": EOPNOTSUPP: Unknown device type: this kernel lacks it; see lanius doctor',
    );
    expect(error.details).to.deep.equal({
      operation: 'create macvlan link "ln0" on "eth0"',
      kernelText: 'Unknown device\ntype',
    });
  });

  it('names the missing capability and the taken MAC address', () => {
    expect(kernelError('x', 1).message).to.include('CAP_NET_ADMIN');
    expect(kernelError('x', 98).message).to.include('another link on this parent has this MAC address');
  });
});
