import { expect } from 'chai';
import { KernelError } from '../../../core/errors.ts';
import { checkSandboxes } from '../../../daemon/doctor-sandboxes.ts';
import type { SandboxCounters, SandboxState } from '../../../links/kept-sandbox.ts';

const counters: SandboxCounters = { arrived: 2, applied: 9, mended: 0, failed: 0, resyncs: 1 };
const no = new KernelError('cannot load: EPERM', { errno: 1, errnoName: 'EPERM' });

function state(id: number, problems: Readonly<Record<string, KernelError>> = {}): SandboxState {
  const endpointId = id.toString(16).padStart(2, '0').repeat(32);
  return { endpointId, ready: true, inForce: new Map(), problems: new Map(Object.entries(problems)) };
}

describe('daemon/doctor-sandboxes', () => {
  it('says how many are kept, what was mended and whether events were lost', () => {
    const states = [state(1), { ...state(2), ready: false }];
    const [quiet] = checkSandboxes({ states, counters, failure: undefined });
    expect(quiet).to.deep.equal({
      check: 'sandboxes',
      status: 'ok',
      finding:
        'the settings of 1 of 2 endpoints are in force; the others are not in a sandbox, down, or without address',
    });
    const busy = { ...counters, mended: 3, resyncs: 3 };
    const [told] = checkSandboxes({ states: [state(1)], counters: busy, failure: undefined });
    expect(told?.finding)
      .to.include('; 3 were mended since the start')
      .and.include('; events were lost 2 times');
  });

  it('names endpoint, setting and reason of what is not in force, but not hundreds', () => {
    const checks = checkSandboxes({ states: [state(0xab, { arp: no })], counters, failure: undefined });
    expect(checks.map(({ status, finding }) => `${status}: ${finding}`)).to.deep.equal([
      'warn: endpoint abababababab: arp: cannot load: EPERM',
    ]);
    const many = Array.from({ length: 100 }, (_, id) => state(id, { arp: no }));
    const findings = checkSandboxes({ states: many, counters, failure: undefined });
    expect(findings).to.have.length(6);
    expect(findings[5]?.finding).to.equal('and 95 more like these');
  });

  it('warns where the kernel is not heard', () => {
    const [warning] = checkSandboxes({ states: [], counters, failure: no });
    expect(warning).to.include({ check: 'link events', status: 'warn' });
    expect(warning?.finding).to.match(/^cannot load: EPERM; /);
  });
});
