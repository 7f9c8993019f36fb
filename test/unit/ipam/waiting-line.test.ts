import { expect } from 'chai';
import { WaitingLine } from '../../../ipam/lease/waiting-line.ts';

const long = { leftMs: () => 5000 };

describe('ipam/waiting-line', () => {
  it('lets everybody look while nobody waits', () => {
    const line = new WaitingLine();
    const [one, two] = [line.place(), line.place()];
    expect([one.isFirst, two.isFirst]).to.deep.equal([true, true]);
  });

  it('has turns in the order of coming, also for one that tried in vain and comes back', async () => {
    const line = new WaitingLine();
    const [one, two, three] = [line.place(), line.place(), line.place()];
    line.join(one);
    const turns: string[] = [];
    const waiting = [
      three.turn(long).then(() => turns.push('three')),
      two.turn(long).then(() => turns.push('two')),
    ];
    one.leave();
    await waiting[1];
    line.join(one);
    two.leave();
    await new Promise((resolve) => setImmediate(resolve));
    expect(turns).to.deep.equal(['two']);
    one.leave();
    await waiting[0];
    expect(turns).to.deep.equal(['two', 'three']);
    three.leave();
    expect(line.isEmpty).to.equal(true);
  });

  it('tells one whose time is up that it is not its turn', async () => {
    const line = new WaitingLine();
    const [one, two] = [line.place(), line.place()];
    line.join(one);
    let left = 5;
    expect(await two.turn({ leftMs: () => left-- })).to.equal(false);
    two.leave();
    one.leave();
    expect(line.isEmpty).to.equal(true);
  });

  it('wakes the first when something became free', async () => {
    const line = new WaitingLine();
    const one = line.place();
    const began = performance.now();
    const pause = one.pause(5000);
    line.wake();
    await pause;
    expect(performance.now() - began).to.be.below(1000);
  });
});
