import { expect } from 'chai';
import { type ArpFrame, announcementsOf, questionsFor } from '../../support/arp-wire.ts';

const IPS = ['10.80.0.2', '10.80.0.3'];

function frame(senderIp: string, targetIp: string, operation = 1): ArpFrame {
  return { atMs: 0, broadcast: true, operation, senderMac: '02:4c:0a:50:00:02', senderIp, targetIp };
}

const QUESTION = frame('10.80.0.2', '10.80.0.3');
const ANNOUNCEMENT = frame('10.80.0.3', '10.80.0.3');

describe('support/arp-wire', () => {
  it('takes for a question what asks for a known address, and no probe, announcement, reply or stranger', () => {
    const others = [
      ANNOUNCEMENT,
      frame('0.0.0.0', '10.80.0.3'),
      frame('10.80.0.2', '10.80.0.3', 2),
      frame('10.80.0.2', '10.80.0.1'),
    ];
    expect(questionsFor([QUESTION, ...others], IPS)).to.deep.equal([QUESTION]);
    expect(announcementsOf([QUESTION, ...others], IPS)).to.deep.equal([ANNOUNCEMENT]);
  });
});
