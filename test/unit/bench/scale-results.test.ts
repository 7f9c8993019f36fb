import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { cpuSecondsIn } from '../../../bench/cpu-time.ts';
import { leaseResults, sessionResult } from '../../../bench/scale-results.ts';

describe('bench/scale-results', () => {
  const daemon = { startMs: 900, memoryMb: 140, leaseMs: 1.9, leaseP99Ms: 4 };
  const empty = { ...daemon, leaseMs: 1 };
  const figures = { full: daemon, empty, starts: 5, samples: 100 };

  it('has limits where the store is fullest, and none elsewhere', () => {
    const limits = (held: boolean) => leaseResults(1000, figures, { limits: held }).map(({ limit }) => limit);
    expect(limits(true)).to.deep.equal(['<= 1000.00', '<= 150.00', '<= 2.00', null]);
    expect(limits(false)).to.deep.equal([null, null, null, null]);
  });

  it('compares a lease with one on an empty etcd', () => {
    const [, , lease] = leaseResults(1000, figures, { limits: true });
    expect(lease).to.include({ id: 'scale.1000.lease.p50', ratio: 1.9, ok: true });
  });

  it('judges the load of etcd as a share of one core', () => {
    const of = (load: number) =>
      sessionResult({ count: 1000, leases: 10, load, nobody: 1, idleMs: 30_000, limits: true });
    expect(of(9.9)).to.include({ id: 'scale.sessions.1000', unit: '%', ok: true });
    expect(of(10.1).ok).to.equal(false);
  });
});

describe('bench/cpu-time', () => {
  it('adds user and kernel time, whatever the name of the program is', () => {
    const rest = 'S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 5 0 100';
    expect(cpuSecondsIn(`7 (etcd) ${rest}`)).to.equal(3);
    expect(cpuSecondsIn(`7 (a) b (c) ${rest}`)).to.equal(3);
  });

  it('reads the real one, and refuses what is none', () => {
    expect(cpuSecondsIn(readFileSync('/proc/self/stat', 'utf8'))).to.be.above(0);
    expect(() => cpuSecondsIn('7 (etcd) S')).to.throw(RangeError);
  });
});
