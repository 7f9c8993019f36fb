import { expect } from 'chai';
import { planOf, randomOf } from '../../race/race-plan.ts';

const size = {
  hosts: 4,
  pairsPerHost: 5000,
  callersPerHost: 12,
  free: 60,
  hostKills: 3,
  leaderKills: 1,
  losses: 2,
};

describe('race/race-plan', () => {
  it('plans the same for the same seed, and something else for another', () => {
    expect(planOf(7, size)).to.deep.equal(planOf(7, size));
    expect(planOf(7, size)).not.to.deep.equal(planOf(8, size));
  });

  it('kills at least so many hosts and leaders as asked, in the order of their moments, all before the end', () => {
    for (let seed = 1; seed <= 50; seed += 1) {
      const { hostKills, leaderKills, losses } = planOf(seed, size);
      expect(hostKills.length).to.be.within(3, 5);
      expect(leaderKills.length).to.be.within(1, 2);
      expect(losses).to.have.length(2);
      for (const faults of [hostKills, leaderKills, losses]) {
        const moments = faults.map(({ atPairs }) => atPairs);
        expect(moments).to.deep.equal([...moments].sort((a, b) => a - b));
        expect(Math.max(...moments)).to.be.below(0.9 * 20_000);
      }
    }
  });

  it('draws numbers from 0 to below 1, evenly', () => {
    const random = randomOf(3);
    const drawn = Array.from({ length: 10_000 }, random);
    expect(Math.min(...drawn)).to.be.at.least(0);
    expect(Math.max(...drawn)).to.be.below(1);
    expect(drawn.reduce((sum, value) => sum + value, 0) / drawn.length).to.be.within(0.48, 0.52);
  });
});
