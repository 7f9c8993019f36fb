import { expect } from 'chai';
import fc from 'fast-check';
import { TrafficMeter } from '../../../throttle/traffic-meter.ts';

const passed = (bytes: number, packets = bytes / 1000, drops = 0) => ({ bytes, packets, drops });

describe('throttle/traffic-meter', () => {
  it('has totals from the first sample on, and rates from the second', () => {
    const meter = new TrafficMeter();
    expect(meter.figures).to.deep.equal({ bytes: 0, packets: 0, drops: 0 });
    meter.add(passed(5000), 1000);
    expect(meter.figures).to.deep.equal({ bytes: 5000, packets: 5, drops: 0 });
    meter.add({ bytes: 130_000, packets: 130, drops: 7 }, 2000);
    expect(meter.figures).to.deep.equal({
      bytes: 130_000,
      packets: 130,
      drops: 7,
      bitsPerSecondOver1s: 1e6,
      bitsPerSecondOver10s: 1e6,
      packetsPerSecondOver1s: 125,
      dropsPerSecondOver1s: 7,
    });
  });

  it('tells the last second from the last ten', () => {
    const meter = new TrafficMeter();
    for (let second = 0; second <= 20; second += 1) meter.add(passed(second * 1000), second * 1000);
    meter.add(passed(20_000 + 101_000), 21_000);
    const { bitsPerSecondOver1s, bitsPerSecondOver10s } = meter.figures;
    expect(bitsPerSecondOver1s).to.equal(8 * 101_000);
    expect(bitsPerSecondOver10s).to.equal(8 * 11_000);
  });

  it('takes a late or early timer for a whole window, and rare samples for what they are', () => {
    const meter = new TrafficMeter();
    meter.add(passed(0), 0);
    meter.add(passed(10_000), 10_050);
    meter.add(passed(20_000), 20_000);
    expect(meter.figures.bitsPerSecondOver1s).to.equal(Math.round((8 * 10_000 * 1000) / 9950 / 8) * 8);
    expect(meter.figures.bitsPerSecondOver10s).to.equal(meter.figures.bitsPerSecondOver1s);
    meter.add(passed(21_000), 20_900);
    expect(meter.figures.bitsPerSecondOver1s).to.equal(8 * Math.round((1000 * 1000) / 900));
  });

  it('goes on with a counter that begins anew, and passes over a sample that is not newer', () => {
    const meter = new TrafficMeter();
    meter.add(passed(1_000_000), 0);
    meter.add(passed(2000), 1000);
    meter.add(passed(9_999_999), 1000);
    meter.add(passed(3000), 2000);
    expect(meter.figures).to.include({ bytes: 1_003_000, bitsPerSecondOver1s: 8000 });
  });

  it('does not count again what the link has counted all the time when its shaper goes', () => {
    const meter = new TrafficMeter();
    meter.add({ ...passed(1_000_000), counter: 'link' }, 0);
    meter.add({ ...passed(2_000_000), counter: 'shaper' }, 1000);
    meter.add({ ...passed(50_000_000), counter: 'link' }, 2000);
    expect(meter.figures).to.include({ bytes: 3_000_000, bitsPerSecondOver1s: 0 });
    meter.add({ ...passed(50_001_000), counter: 'link' }, 3000);
    expect(meter.figures).to.include({ bytes: 3_001_000, bitsPerSecondOver1s: 8000 });
  });

  it('never goes back, and counts everything, whatever counters do', () => {
    const deltas = fc.array(fc.record({ add: fc.nat(1e9), anew: fc.boolean() }), { maxLength: 50 });
    fc.assert(
      fc.property(deltas, (steps) => {
        const meter = new TrafficMeter();
        let [counter, total, atMs] = [1, 1, 0];
        meter.add(passed(counter, counter), atMs);
        for (const { add, anew } of steps) {
          const isAnew = anew && counter > 0;
          const more = isAnew ? Math.min(add, counter - 1) : add;
          counter = isAnew ? more : counter + more;
          total += more;
          atMs += 1000;
          meter.add(passed(counter, counter), atMs);
          expect(meter.figures.bytes).to.equal(total);
          expect(meter.figures.bitsPerSecondOver1s).to.be.at.least(0);
        }
      }),
    );
  });
});
