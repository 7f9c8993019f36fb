import { expect } from 'chai';
import type { ShapingFeatures } from '../../../../net/shaping/features.ts';
import { FoundFeatures } from '../../../../net/shaping/found-features.ts';

const ALL: ShapingFeatures = {
  ...{ tbf: true, htb: true, clsact: true, ifb: true },
  ...{ redirect: true, police: true, bpf: true },
};

describe('net/shaping/found-features', () => {
  it('asks once where nothing is lacking, and once for all who ask together', async () => {
    let asked = 0;
    const found = new FoundFeatures(async () => {
      asked += 1;
      return ALL;
    });
    await Promise.all([found.get(), found.get()]);
    expect(await found.get()).to.equal(ALL);
    expect(asked).to.equal(1);
  });

  it('asks again some time after something was lacking, and at once after a failure', async () => {
    const answers: (ShapingFeatures | Error)[] = [new Error('no'), { ...ALL, ifb: 'no ifb' }, ALL];
    let nowMs = 0;
    const found = new FoundFeatures(
      async () => {
        const answer = answers.shift() ?? ALL;
        if (answer instanceof Error) throw answer;
        return answer;
      },
      () => nowMs,
    );
    expect(String(await found.get().catch((error: unknown) => error))).to.contain('no');
    expect((await found.get()).ifb).to.equal('no ifb');
    nowMs = 59_000;
    expect((await found.get()).ifb).to.equal('no ifb');
    nowMs = 61_000;
    expect((await found.get()).ifb).to.equal(true);
    expect(answers).to.deep.equal([]);
  });
});
