import { expect } from 'chai';
import { arpResults, type ModeFigures } from '../../../bench/arp-results.ts';
import type { Result } from '../../../bench/report.ts';
import type { ArpFrame } from '../../support/arp-wire.ts';

const IPS = ['10.80.0.2', '10.80.0.3'];

function frame(senderIp: string, targetIp: string, operation = 1): ArpFrame {
  return { atMs: 0, broadcast: true, operation, senderMac: '02:4c:0a:50:00:02', senderIp, targetIp };
}

const QUESTION = frame('10.80.0.2', '10.80.0.3');
const ANNOUNCEMENT = frame('10.80.0.3', '10.80.0.3');

function figures(given: Partial<ModeFigures>): ModeFigures {
  const memory = { slabBytes: 0, bpfObjects: 0, bpfBytes: 0 };
  return {
    mode: 'off',
    machines: 1,
    ips: IPS,
    talk: { firstMs: [0.1, 0.3, 0.2], secondMs: [0.1], lost: 0, together: { sent: 2, lost: 0 } },
    frames: [],
    withOne: memory,
    withAll: memory,
    ...given,
  };
}

function found(results: readonly Result[], id: string): Result {
  const result = results.find((one) => one.id === id);
  if (result === undefined) throw new Error(`there is no result ${id}`);
  return result;
}

describe('bench/arp-results', () => {
  it('wants broadcasts with arp=off and none with the others', () => {
    const results = arpResults([
      figures({ mode: 'off', frames: [QUESTION] }),
      figures({ mode: 'preload', frames: [ANNOUNCEMENT] }),
      figures({ mode: 'responder', frames: [QUESTION] }),
    ]);
    expect(found(results, 'arp.off.broadcasts')).to.include({ value: 1, ok: true });
    expect(found(results, 'arp.preload.broadcasts')).to.include({ value: 0, ok: true });
    expect(found(results, 'arp.preload.announcements')).to.include({ value: 1, ok: true });
    expect(found(results, 'arp.responder.broadcasts')).to.include({ value: 1, ok: false });
    expect(found(arpResults([figures({})]), 'arp.off.broadcasts').ok).to.equal(false);
  });

  it('judges lost pings everywhere and slow first pings with the responder', () => {
    const talk = { firstMs: [1.2], secondMs: [0.1], lost: 0, together: { sent: 2, lost: 1 } };
    const results = arpResults([figures({ talk }), figures({ mode: 'responder', talk })]);
    expect(found(results, 'arp.off.lost')).to.include({ value: 1, ok: false });
    expect(found(results, 'arp.off.first-ping.median')).to.include({ value: 1.2, limit: null, ok: true });
    expect(found(results, 'arp.responder.first-ping.median').ok).to.equal(false);
  });

  it('tells memory of further containers beyond arp=off, and wants that of the responder to stay', () => {
    const [withOne, withAll] = [
      { slabBytes: 0, bpfObjects: 4, bpfBytes: 8192 },
      { slabBytes: 2048, bpfObjects: 4, bpfBytes: 8192 },
    ];
    const preload = { slabBytes: 2048 + 4096, bpfObjects: 0, bpfBytes: 0 };
    const results = arpResults([
      figures({ withOne, withAll }),
      figures({ mode: 'preload', withOne, withAll: preload }),
      figures({ mode: 'responder', withOne, withAll }),
    ]);
    expect(found(results, 'arp.off.memory.container').value).to.equal(2);
    expect(found(results, 'arp.preload.memory.container').value).to.equal(4);
    expect(found(results, 'arp.responder.memory.host')).to.include({ value: 8, ratio: 1, ok: true });
    const grown = { ...withAll, bpfObjects: 5 };
    const more = arpResults([figures({ mode: 'responder', withOne, withAll: grown })]);
    expect(found(more, 'arp.responder.objects.host').ok).to.equal(false);
  });
});
