import { expect } from 'chai';
import { systemClock } from '../../../core/clock.ts';
import { deadlineAfter } from '../../../core/deadline.ts';
import { SharedQuestion } from '../../../engine/shared-question.ts';
import { until } from '../../support/poll.ts';

const inTime = () => deadlineAfter(10_000, systemClock);

describe('engine/shared-question', () => {
  it('asks together what comes together, and next what comes while an answer is under way', async () => {
    const asked: string[][] = [];
    const answers: (() => void)[] = [];
    const question = new SharedQuestion<string, string>(async (keys) => {
      asked.push([...keys]);
      await new Promise<void>((resolve) => answers.push(resolve));
      return keys.join();
    });
    const answered = async (index: number): Promise<void> => {
      await until('the question is put', () => answers.length > index, { intervalMs: 1 });
      answers[index]?.();
    };
    const first = [question.ask('a', inTime()), question.ask('b', inTime())];
    await until('the question is put', () => asked.length === 1, { intervalMs: 1 });
    const later = [question.ask('c', inTime()), question.ask('a', inTime()), question.ask('c', inTime())];
    await answered(0);
    expect(await Promise.all(first)).to.deep.equal(['a,b', 'a,b']);
    expect(question.idle).to.equal(false);
    await answered(1);
    expect(await Promise.all(later)).to.deep.equal(['c,a', 'c,a', 'c,a']);
    expect(asked).to.deep.equal([
      ['a', 'b'],
      ['c', 'a'],
    ]);
    expect(question.idle).to.equal(true);
  });

  it('fails for all who asked together, and goes on', async () => {
    let fail = true;
    const question = new SharedQuestion<string, string>(async ([key = '']) => {
      if (fail) throw new Error('no answer');
      return key;
    });
    const failed = await Promise.allSettled([question.ask('a', inTime()), question.ask('b', inTime())]);
    expect(failed.map(({ status }) => status)).to.deep.equal(['rejected', 'rejected']);
    fail = false;
    expect(await question.ask('c', inTime())).to.equal('c');
  });

  it('waits as long as the most patient asker, and asks nothing for those whose time is over', async () => {
    const limits: number[] = [];
    const question = new SharedQuestion<string, string>(async (_, timeoutMs) => {
      limits.push(timeoutMs);
      return 'answer';
    });
    await Promise.all([
      question.ask('a', { leftMs: () => 5 }),
      question.ask('b', { leftMs: () => 700 }),
      question.ask('c', { leftMs: () => 0 }),
    ]);
    expect(limits).to.deep.equal([700]);
    const late = await Promise.allSettled([question.ask('a', { leftMs: () => 0 })]);
    expect(late[0]?.status).to.equal('rejected');
    expect(limits).to.have.length(1);
  });
});
