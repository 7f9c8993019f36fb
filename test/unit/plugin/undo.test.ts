/** The undo stack: order, commit, and steps that fail. */
import { expect } from 'chai';
import type { LogFields } from '../../../core/log.ts';
import { silentLogger } from '../../../core/log.ts';
import { undoing } from '../../../plugin/undo.ts';

describe('plugin/undo', () => {
  it('takes back the newest first if the work fails, and passes the error on', async () => {
    const taken: string[] = [];
    const work = undoing(silentLogger, async (undo) => {
      undo.push('first', async () => taken.push('first'));
      undo.push('second', async () => taken.push('second'));
      throw new Error('no');
    });
    expect(await work.catch((error: Error) => error.message)).to.equal('no');
    expect(taken).to.deep.equal(['second', 'first']);
  });

  it('takes nothing back after a commit, and gives the result', async () => {
    const taken: string[] = [];
    const result = await undoing(silentLogger, async (undo) => {
      undo.push('first', async () => taken.push('first'));
      undo.commit();
      return 7;
    });
    expect(result).to.equal(7);
    expect(taken).to.deep.equal([]);
  });

  it('takes back what was done if the commit was forgotten', async () => {
    const taken: string[] = [];
    await undoing(silentLogger, async (undo) => {
      undo.push('first', async () => taken.push('first'));
    });
    expect(taken).to.deep.equal(['first']);
  });

  it('goes on after a step that fails, and says which', async () => {
    const taken: string[] = [];
    const said: LogFields[] = [];
    const logger = { ...silentLogger, warn: (_: string, fields: LogFields = {}) => void said.push(fields) };
    await undoing(logger, async (undo) => {
      undo.push('first', async () => taken.push('first'));
      undo.push('second', () => Promise.reject(new Error('stuck')));
    });
    expect(taken).to.deep.equal(['first']);
    expect(said.map((fields) => fields.step)).to.deep.equal(['second']);
  });
});
