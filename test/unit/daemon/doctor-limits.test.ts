/** What doctor says of bandwidth limits. */
import { expect } from 'chai';
import { checkLimits, type LimitFindings } from '../../../daemon/doctor-limits.ts';
import type { LimitState } from '../../../throttle/limit-state.ts';

const wished = { rateBitsPerSecond: 100e6 };
const good = { wished, source: 'env', how: 'tbf' } as const;
const stateOf = (name: string, more: Partial<LimitState> = {}): LimitState => ({
  endpointId: `${name}${'0'.repeat(64)}`.slice(0, 64),
  networkId: 'n',
  containerName: name,
  netAdmin: false,
  enforce: 'sandbox',
  in: good,
  out: {},
  mended: 0,
  ...more,
});
const found = (findings: Partial<LimitFindings>) =>
  checkLimits({ states: [], overrides: [], figures: [], overcommit: 1, ...findings });

describe('daemon/doctor-limits', () => {
  it('says nothing where nobody has a limit', () => {
    expect(
      found({ states: [stateOf('a', { in: {} }), stateOf('b', { in: { source: 'override' } })] }),
    ).to.deep.equal([]);
  });

  it('says how many are in force', () => {
    expect(found({ states: [stateOf('a'), stateOf('b')] })).to.deep.equal([
      { check: 'limits', status: 'ok', finding: 'the limits of 2 containers are in force' },
    ]);
  });

  it('fails for what is wished and not in force, says why, and names the first of many', () => {
    const lacking = { wished, source: 'env', problem: 'the kernel has no sch_tbf' } as const;
    const [one] = found({ states: [stateOf('web', { in: lacking })] });
    expect(one).to.include({ status: 'fail' });
    expect(one?.finding).to.equal('net_in of web (100mbit) is not in force: the kernel has no sch_tbf');
    const many = found({ states: Array.from({ length: 8 }, (_, i) => stateOf(`c${i}`, { in: lacking })) });
    expect(many).to.have.length(6);
    expect(many.at(-1)).to.deep.equal({ check: 'limits', status: 'fail', finding: 'and 3 more like these' });
    const [unread] = found({
      states: [stateOf('db', { in: {}, out: { problem: 'rate "x" is no number' } })],
    });
    expect(unread?.finding).to.equal('net_out of db is not in force: rate "x" is no number');
    const [waiting] = found({ states: [stateOf('new', { in: { wished, source: 'env' } })] });
    expect(waiting?.finding).to.include('has not been reached yet');
  });

  it('warns of fallbacks of the kernel, once for each reason', () => {
    const lesser = { wished, source: 'env', how: 'police', problem: 'the kernel has no ifb' } as const;
    const checks = found({
      states: [stateOf('a', { in: lesser }), stateOf('b', { in: lesser }), stateOf('c')],
    });
    expect(checks).to.have.length(1);
    expect(checks[0]).to.include({
      status: 'warn',
      finding: 'net_in of a, net_in of b: enforced by police: the kernel has no ifb',
    });
    const [htb] = found({ states: [stateOf('a', { out: { wished, source: 'env', how: 'htb' } })] });
    expect(htb?.finding).to.include('net_out of a: enforced by htb');
  });

  it('warns of who can undo its limits, unless the host enforces them or there are none', () => {
    const [check, ...more] = found({
      states: [
        stateOf('root', { netAdmin: true }),
        stateOf('held', { netAdmin: true, enforce: 'host', in: { ...good, how: 'host' } }),
        stateOf('free', { netAdmin: true, in: {} }),
      ],
    });
    expect(more).to.deep.equal([]);
    expect(check?.finding).to.match(/^root can undo the limits/);
    expect(check?.remedy).to.include('-o enforce=host');
  });

  it('counts what was undone and mended', () => {
    const [check] = found({ states: [stateOf('a', { mended: 3 }), stateOf('b', { mended: 1 })] });
    expect(check?.finding).to.include('again 4 times').and.to.include('a, b');
  });

  it('names overrides that cannot be read, with the command that takes them away', () => {
    const override = { problem: 'rate "x" is no number', modRevision: 1 };
    const [one, two] = found({
      overrides: [
        { containerName: 'web', direction: 'in', override },
        { host: 'h1', containerName: 'web', direction: 'out', override },
        { containerName: 'db', direction: 'in', override: { modRevision: 1 } },
      ],
    });
    expect(one?.finding).to.equal(
      'net_in that is set for web cannot be read and is passed over: rate "x" is no number',
    );
    expect(two?.remedy).to.include('lanius limit rm web --out --host h1');
  });

  it('warns of a parent that has promised more than it has', () => {
    const figures = [
      { parent: 'eth0', in: { capacity: 1e9, committed: 1.6e9 }, out: { committed: 9e9 } },
      { parent: 'eth1', in: { capacity: 1e9, committed: 1.5e9 }, out: { capacity: 1e9, committed: 0 } },
    ];
    const checks = found({ figures, overcommit: 1.5 });
    expect(checks).to.have.length(1);
    expect(checks[0]?.finding).to.equal(
      'net_in of all containers on eth0 is 1600mbit, more than its capacity of 1gbit times 1.5',
    );
  });
});
