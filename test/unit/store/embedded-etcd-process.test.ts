import { expect } from 'chai';
import { lastWords } from '../../../store/embedded-etcd-process.ts';

describe('store/embedded-etcd-process', () => {
  const line = (level: string, msg: string, error?: string) => JSON.stringify({ level, ts: 'x', msg, error });

  it('gives the last error of the log as the reason, without what follows it', () => {
    const log = [
      line('warn', 'slow'),
      line('fatal', 'cannot open', 'bad page'),
      'goroutine 1 [running]:',
      'main.go',
    ];
    expect(lastWords(log.join('\n'))).to.equal('cannot open (bad page)');
  });

  it('makes do with a panic, a warning, a line, nothing', () => {
    expect(lastWords('panic: freelist\n\ngoroutine 1')).to.equal('panic: freelist');
    expect(lastWords(`${line('warn', 'simple token')}\n`)).to.equal('simple token');
    expect(lastWords('flag provided but not defined: -x\n')).to.include('flag provided');
    expect(lastWords('')).to.equal('it said nothing');
  });
});
