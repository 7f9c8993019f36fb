import { expect } from 'chai';
import { startTime } from '../../../bench/engine-start.ts';

describe('bench/engine-start', () => {
  it("reads the engine's start from its log", () => {
    const log = [
      'time="2026-01-02T03:04:05.100000001Z" level=info msg="Starting up"',
      'time="2026-01-02T03:04:05.200000000Z" level=debug msg="Listener created"',
      'time="2026-01-02T03:04:06.350000000+00:00" level=info msg="Daemon has completed initialization"',
    ].join('\n');
    expect(startTime(log)).to.equal(1250);
    expect(Number.isNaN(startTime(''))).to.equal(true);
  });
});
