import { expect } from 'chai';
import { FIRST, LAST, NEXT } from '../../../net/kernel-worker.ts';
import { WaitingRequests } from '../../../net/waiting-requests.ts';

describe('net/waiting-requests', () => {
  it('tells the other thread whether something as urgent waits, or more urgent', () => {
    const here = new WaitingRequests();
    const there = new WaitingRequests(here.memory);
    expect(there.some(LAST)).to.equal(false);
    here.add(NEXT);
    expect([LAST, NEXT, FIRST].map((priority) => there.some(priority))).to.deep.equal([true, true, false]);
    here.add(FIRST);
    here.remove(NEXT);
    expect([LAST, NEXT, FIRST].map((priority) => there.some(priority))).to.deep.equal([true, true, true]);
    here.remove(FIRST);
    expect(there.some(LAST)).to.equal(false);
  });
});
