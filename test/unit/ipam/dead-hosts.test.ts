import { expect } from 'chai';
import { type HostsLook, judgeHosts } from '../../../ipam/host/dead-hosts.ts';

const look = (part: Partial<HostsLook>): HostsLook => ({
  hosts: ['h1', 'h2'],
  alive: new Set(['h1']),
  holding: new Set(['h1', 'h2']),
  marked: [],
  waiting: new Set(),
  ...part,
});

describe('ipam/dead-hosts', () => {
  it('notices a host that holds something and has no session', () => {
    expect(judgeHosts(look({}))).to.deep.equal({ notice: ['h2'], forget: [], clear: [] });
    expect(judgeHosts(look({ holding: new Set(['h1']) }))).to.deep.equal({
      notice: [],
      forget: [],
      clear: [],
    });
  });

  it('waits for the end of the grace period', () => {
    const marked = { marked: ['h2'], waiting: new Set(['h2']) };
    expect(judgeHosts(look(marked))).to.deep.equal({ notice: [], forget: [], clear: [] });
    expect(judgeHosts(look({ ...marked, waiting: new Set() }))).to.deep.equal({
      notice: [],
      forget: ['h2'],
      clear: [],
    });
  });

  it('frees nothing of a host that lives, whatever its marks say', () => {
    const back = look({ alive: new Set(['h1', 'h2']), marked: ['h2'] });
    expect(judgeHosts(back)).to.deep.equal({ notice: [], forget: [], clear: ['h2'] });
  });

  it('clears the mark of a host that holds nothing any more', () => {
    const empty = look({ holding: new Set(), marked: ['h2'], waiting: new Set(['h2']) });
    expect(judgeHosts(empty)).to.deep.equal({ notice: [], forget: [], clear: ['h2'] });
  });
});
