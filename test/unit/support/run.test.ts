import { expect } from 'chai';
import { until } from '../../support/poll.ts';
import { run, runOk } from '../../support/run.ts';

describe('support/run', () => {
  it('returns status, stdout and stderr', async () => {
    const result = await run(['sh', '-c', 'cat; echo oops >&2; exit 3'], { input: 'hello' });
    expect(result).to.deep.equal({ status: 3, stdout: 'hello', stderr: 'oops\n' });
  });

  it('says 127 for a program that is not there', async () => {
    expect((await run(['/nowhere/program'])).status).to.equal(127);
  });

  it('ends a program and its children at the time limit', async () => {
    const started = performance.now();
    const failure = await run(['sh', '-c', 'echo begun; sleep 20 | cat'], { timeoutMs: 200 }).catch(
      (error: unknown) => error,
    );
    expect(failure).to.be.instanceOf(Error).with.property('message').that.contains('begun');
    expect(performance.now() - started).to.be.lessThan(5_000);
  });

  it('rejects with what the program said', async () => {
    const failure = await runOk(['sh', '-c', 'echo no such thing >&2; exit 1']).catch(
      (error: unknown) => error,
    );
    expect(failure).to.be.instanceOf(Error).with.property('message').that.contains('no such thing');
  });
});

describe('support/poll', () => {
  it('asks until there is an answer, through errors', async () => {
    let asked = 0;
    const answer = await until(
      'the third question',
      () => {
        asked += 1;
        if (asked === 1) throw new Error('not yet');
        return asked === 3 ? 'answer' : undefined;
      },
      { intervalMs: 1 },
    );
    expect(answer).to.equal('answer');
  });

  it('names what it waited for and the last error when the time is over', async () => {
    const never = until('rain', () => Promise.reject(new Error('dry')), { timeoutMs: 5, intervalMs: 1 });
    const failure = await never.catch((error: unknown) => error);
    expect(failure)
      .to.be.instanceOf(Error)
      .with.property('message', 'waited 5 ms for: rain; last error: dry');
  });
});
