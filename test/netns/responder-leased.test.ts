/** The ARP responder with `responder=leased`: only what is leased is answered. */
import { expect } from 'chai';
import type { KernelResponder } from '../../net/responder.ts';
import { need } from '../support/require.ts';
import { run } from '../support/run.ts';
import {
  C1,
  C2,
  Capture,
  coldPing,
  NETWORK_ID,
  numberOf,
  PLAN,
  questions,
  Segment,
  targetOf,
} from './responder-segment.ts';

const NETWORK = { networkId: NETWORK_ID, plan: PLAN };

describe('net/responder, for leased addresses only', () => {
  let segment: Segment;
  let responder: KernelResponder;

  before(function () {
    need(this, 'root', 'netns');
  });

  beforeEach(() => {
    segment = new Segment();
    responder = segment.responder();
  });

  afterEach(async () => {
    await segment.remove();
  });

  const leased = (...addresses: string[]) => ({
    networkId: NETWORK_ID,
    addresses: addresses.map(numberOf),
    validForMs: 60_000,
  });

  /** @returns the neighbour's state */
  function ask(address: string): string {
    try {
      coldPing(segment.c1, address, 1, 1);
    } catch {
      // nobody answers
    }
    return segment.c1.ip('neighbour', 'show', address);
  }

  it('gives no answer for others, which fail by themselves', async () => {
    await responder.attach(targetOf(segment.c1), NETWORK);
    await responder.setLeased(leased(C1, C2));
    expect(ask(C2)).to.include('REACHABLE');
    expect(ask('10.77.9.9')).to.match(/FAILED|INCOMPLETE/);
    const words = ['-n', '-c', '1', '-W', '10', '10.77.9.8'];
    const start = performance.now();
    const { stdout } = await run(['ip', 'netns', 'exec', segment.c1.name, 'ping', ...words]);
    expect(stdout).to.include('Destination Host Unreachable');
    expect(performance.now() - start).to.be.below(6000);
    await responder.changeLeased({
      networkId: NETWORK_ID,
      added: [numberOf('10.77.9.9')],
      removed: [numberOf(C2)],
      validForMs: 60_000,
    });
    expect(ask('10.77.9.9')).to.include('02:4c:0a:4d:09:09');
    expect(ask(C2)).to.match(/FAILED|INCOMPLETE/);
  }).timeout(40_000);

  it('answers for all again when its list has become too old', async () => {
    await responder.attach(targetOf(segment.c1), NETWORK);
    await responder.setLeased({ ...leased(C1), validForMs: 300 });
    const start = performance.now();
    while (!ask(C2).includes('REACHABLE')) expect(performance.now() - start).to.be.below(15_000);
    expect(performance.now() - start).to.be.at.least(200);
    await responder.setLeased(leased(C1));
    await responder.setLeased({ ...leased(C1), validForMs: 0 });
    expect(ask(C2)).to.include('REACHABLE');
  }).timeout(40_000);

  it('reaches the wire with nothing of an address that is not leased', async () => {
    await responder.attach(targetOf(segment.c1), NETWORK);
    await responder.setLeased(leased(C1));
    const wire = await Capture.start(segment.wire, 'up1');
    ask(C2);
    expect(questions(await wire.stop())).to.deep.equal([]);
  }).timeout(40_000);
});
