import { expect } from 'chai';
import { countPings } from '../../support/ping.ts';

const answer = (sequence: number) => `64 bytes from 10.77.21.9: seq=${sequence - 1} ttl=64 time=0.1 ms\n`;
const summary = (sent: number) =>
  `\n--- 10.77.21.9 ping statistics ---\n${sent} packets transmitted, 0 received\n`;
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

describe('support/ping', () => {
  it('counts nothing lost when every packet is answered, even twice', () => {
    const output = range(1, 10).map(answer).join('') + answer(10) + summary(10);
    expect(countPings(output, 10)).to.deep.equal({ sent: 10, lost: 0, longestGapMs: 0 });
  });

  it('tells losses from answers that are late', () => {
    const output = [1, 2, 5, 4, 9, 10].map(answer).join('') + summary(10);
    expect(countPings(output, 10)).to.deep.equal({ sent: 10, lost: 4, longestGapMs: 30 });
  });

  it('does not count packets that are under way at the end', () => {
    expect(countPings(range(1, 10).map(answer).join('') + summary(12), 10)).to.include({ sent: 10, lost: 0 });
  });

  it('counts an outage that lasts to the end', () => {
    const output = range(1, 10).map(answer).join('') + summary(40);
    expect(countPings(output, 10)).to.deep.equal({ sent: 40, lost: 30, longestGapMs: 300 });
  });

  it('follows the sequence number around its 16 bits', () => {
    const output =
      range(1, 65_540)
        .map((sequence) => answer(((sequence - 1) % 0x1_0000) + 1))
        .join('') + summary(65_540);
    expect(countPings(output, 10)).to.include({ sent: 65_540, lost: 0 });
  });

  it('ignores what is not an answer', () => {
    const noise = 'PING 10.77.21.9 (10.77.21.9): 56 data bytes\nping: something else seq=7\n';
    expect(countPings(noise + answer(3) + summary(3), 10)).to.deep.equal({
      sent: 3,
      lost: 2,
      longestGapMs: 20,
    });
  });

  it('refuses an output without a summary', () => {
    expect(() => countPings(answer(1), 10)).to.throw('without a summary');
  });
});
