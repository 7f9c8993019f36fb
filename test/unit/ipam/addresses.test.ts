import { expect } from 'chai';
import { systemClock } from '../../../core/clock.ts';
import { type Deadline, deadlineAfter } from '../../../core/deadline.ts';
import { parseCidr } from '../../../core/ip.ts';
import { Addresses, type AddressesDependencies } from '../../../ipam/addresses.ts';
import { type ClaimTerms, poolIdOf } from '../../../ipam/pool/claims.ts';
import { LoopGuard } from '../../../ipam/pool/loop-guard.ts';

const soon = (): Deadline => deadlineAfter(2000, systemClock);

describe('ipam/addresses', () => {
  it('refuses the engine’s endless loop, but not a later wish after one that the engine has forgotten', async () => {
    let now = 0;
    let claims = 0;
    const clock = { now: () => now, wall: () => now };
    const subnet = parseCidr('10.0.0.0/24');
    const options = { configuredPools: [{ name: 'lan', subnet }], defaultPool: 'lan', loopWaitMs: 20 };
    const addresses = new Addresses(options, {
      clock,
      pools: { list: async () => [] },
      claims: {
        make: async (terms: ClaimTerms) => {
          claims += 1;
          return { poolId: poolIdOf(terms, claims) };
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

describe('ipam/loop-guard', () => {
  const codeOf = (work: Promise<void>) =>
    work.then(
      () => 'passed',
      (error: { code: string }) => error.code,
    );

  it('lets two requests at once pass, whichever is used first', async () => {
    const guard = new LoopGuard({ waitMs: 500 }, systemClock);
    await Promise.all([guard.check('p', soon()), guard.check('p', soon())]);
    guard.answered('p#1', 'p');
    guard.answered('p#2', 'p');
    const third = codeOf(guard.check('p', soon()));
    setTimeout(() => guard.used('p#2'), 10);
    setTimeout(() => guard.used('p#1'), 30);
    expect(await third).to.equal('passed');
  });

  it('refuses where one of the earlier answers is not used, and knows pools apart', async () => {
    const guard = new LoopGuard({ waitMs: 30 }, systemClock);
    guard.answered('p#1', 'p');
    guard.answered('p#2', 'p');
    guard.used('p#1');
    expect(await codeOf(guard.check('q', soon()))).to.equal('passed');
    expect(await codeOf(guard.check('p', soon()))).to.equal('conflict');
    guard.used('p#2');
    expect(await codeOf(guard.check('p', soon()))).to.equal('passed');
  });
});
