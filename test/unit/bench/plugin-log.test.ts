import { expect } from 'chai';
import { callDurations } from '../../../bench/plugin-log.ts';

describe('bench/plugin-log', () => {
  it('takes the time of each plugin call by method, and passes over everything else', () => {
    const log = [
      '{"time":"t","level":"info","msg":"the daemon serves","pid":1}',
      '{"time":"t","level":"info","msg":"plugin call","method":"NetworkDriver.Join","durationMs":2.5,"outcome":"ok"}',
      'Segmentation fault',
      '{"time":"t","level":"info","msg":"plugin call","method":"IpamDriver.RequestAddress","durationMs":1}',
      '{"time":"t","level":"info","msg":"plugin call","method":"NetworkDriver.Join","durationMs":4}',
      '',
    ].join('\n');
    const durations = callDurations(log);
    expect(durations.names()).to.deep.equal(['Join', 'RequestAddress']);
    expect(durations.of('Join')).to.deep.equal([2.5, 4]);
  });
});
