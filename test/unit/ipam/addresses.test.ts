import { expect } from 'chai';
import { deadlineAfter } from '../../../core/deadline.ts';
import { parseCidr } from '../../../core/ip.ts';
import { Addresses, type AddressesDependencies } from '../../../ipam/addresses.ts';
import { poolIdOf } from '../../../ipam/claims.ts';

describe('ipam/addresses', () => {
  it('refuses the engine’s endless loop, but not a later wish after one that the engine has forgotten', async () => {
    let now = 0;
    let claims = 0;
    const clock = { now: () => now, wall: () => now };
    const subnet = parseCidr('10.0.0.0/24');
    const addresses = new Addresses({ configuredPools: [{ name: 'lan', subnet }], defaultPool: 'lan' }, {
      clock,
      claims: {
        make: async () => {
          claims += 1;
          return { poolId: poolIdOf(subnet, undefined, claims) };
        },
      },
    } as unknown as AddressesDependencies);
    const ask = () => addresses.requestPool({ family: 4, options: {} }, deadlineAfter(1000, clock));
    await ask();
    now = 10;
    const refused = await ask().then(
      () => expect.fail('it did not fail'),
      (error: Error) => error.message,
    );
    expect(refused).to.match(/^pool 10\.0\.0\.0\/24 overlaps a route/);
    now = 6000;
    expect((await ask()).poolId).to.equal('10.0.0.0/24#2');
  });
});
