/** That `KernelShaping` holds its rates on real links: both directions, both families, while they are changed. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { DIRECTIONS, type Direction } from '../../core/limit.ts';
import type { KernelShaping } from '../../net/shaping/kernel-shaping.ts';
import type { EndpointTraffic, ShapePlace } from '../../net/shaping-port.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { PEER, PEER_IPV6, rateBy, type Sandbox, ShapedHost, shape } from './shaped-host.ts';

describe('net/shaping, rates', () => {
  let host: ShapedHost;
  let shaping: KernelShaping;

  before(function () {
    need(this, 'root', 'netns', 'iperf3');
  });

  beforeEach(() => {
    host = new ShapedHost();
    shaping = host.shaping();
  });

  afterEach(async () => {
    await host.remove();
  });

  async function passed(place: ShapePlace): Promise<EndpointTraffic> {
    const [found] = await shaping.traffic([place]);
    if (found === undefined) throw new Error('no traffic');
    return found;
  }

  /** Never above; and it comes to it, when the machine has time for the sender. */
  async function holds(
    place: ShapePlace,
    direction: Direction,
    megabits: number,
    what: string,
  ): Promise<void> {
    const count = async () => (await passed(place))[direction].bytes;
    const found = await until(
      `${what} comes to ${megabits} Mbit/s`,
      async () => {
        const rate = await rateBy(count);
        if (rate < 0.9 * megabits) console.log(`      ${what}: ${rate.toFixed(2)}, again`);
        return rate >= 0.9 * megabits && rate;
      },
      { timeoutMs: 30_000 },
    );
    console.log(`      ${what}: ${found.toFixed(2)} of ${megabits} Mbit/s`);
    expect(found).to.be.at.most(1.1 * megabits);
  }

  const places: [string, () => { box: Sandbox; place: ShapePlace }][] = [
    [
      'in the sandbox of a macvlan',
      () => {
        const box = host.macvlan();
        return { box, place: box.place };
      },
    ],
    [
      'at the host end of a veth pair',
      () => {
        const box = host.veth();
        return { box, place: box.hostEnd };
      },
    ],
  ];
  for (const [where, make] of places) {
    it(`holds both directions, both families, ${where}`, async () => {
      const { box, place } = make();
      await shaping.apply(place, { in: shape(20), out: shape(50) });
      for (const address of [PEER, PEER_IPV6]) {
        const sending = await host.flow(box.namespace, host.peer, address);
        await holds(place, 'out', 50, `out, TCP to ${address}`);
        await sending.stop();
        const receiving = await host.flow(box.namespace, host.peer, address, '-R');
        await holds(place, 'in', 20, `in, TCP from ${address}`);
        await receiving.stop();
      }
      // Several: what waits in the queue holds each one's socket back.
      const flood = await host.flow(box.namespace, host.peer, PEER, '-R', '-u', '-b', '8M', '-P', '8');
      await holds(place, 'in', 20, 'in, UDP of three times as much');
      await flood.stop();
      expect((await passed(place)).in.drops).to.be.above(100);
      expect((await shaping.apply(place, { in: shape(20), out: shape(50) }))?.mended).to.deep.equal([]);
    });
  }

  it('holds between two containers of one parent', async () => {
    const [one, other] = [host.macvlan(), host.macvlan()];
    await shaping.apply(one.place, { out: shape(30) });
    const flow = await host.flow(one.namespace, other.namespace, other.address);
    await holds(one.place, 'out', 30, 'out of one');
    await shaping.apply(other.place, { in: shape(10) });
    await holds(other.place, 'in', 10, 'in of the other');
    await flow.stop();
  });

  it('changes the rate under load, down and up, and no connection is lost or stuck', async () => {
    const box = host.macvlan();
    const flows = [
      await host.flow(box.namespace, host.peer, PEER),
      await host.flow(box.namespace, host.peer, PEER, '-R'),
    ];
    for (const megabits of [1000, 100, 1, 100]) {
      await shaping.apply(box.place, { in: shape(megabits), out: shape(megabits) });
      if (megabits > 100) continue;
      await sleep(megabits === 1 ? 2000 : 500);
      for (const direction of DIRECTIONS) {
        await holds(box.place, direction, megabits, `${direction}, changed`);
      }
    }
    for (const flow of flows) {
      expect(flow.said())
        .to.match(/connected to/)
        .and.not.match(/error|refused|reset|closed/i);
      await flow.stop();
    }
  });

  it('is not stepped around by a process that sets priorities', async () => {
    const box = host.macvlan();
    await shaping.apply(box.place, { out: shape(50) });
    const sender = host.prioritySender(box.namespace, PEER, 0x4c00_0000);
    await holds(box.place, 'out', 50, 'UDP with SO_PRIORITY');
    await sender.stop();
    expect(sender.said()).to.equal('sending\n');
  });

  it('lets no more than a burst pass at once, and that no faster than its peak', async () => {
    const box = host.macvlan();
    const burst = { rateBitsPerSecond: 1e6, burstBytes: 3_000_000, limitBytes: 4_000_000 };
    await shaping.apply(box.place, {
      out: { ...burst, peakBitsPerSecond: 20e6, peakBurstBytes: 15_140 },
    });
    const flow = await host.flow(box.namespace, host.peer, PEER, '-u', '-b', '50M');
    const found = await rateBy(async () => (await passed(box.place)).out.bytes, 100, 700);
    console.log(`      within the burst, at the peak: ${found.toFixed(2)} of 20 Mbit/s`);
    expect(found).to.be.within(10, 22);
    await flow.stop();
  });

  it('notices a queue that somebody has wedged, and frees it', async () => {
    const box = host.macvlan();
    await shaping.apply(box.place, { out: shape(10) });
    const flow = await host.flow(box.namespace, host.peer, PEER);
    await sleep(500);
    // a link that is set to pass nothing: the burst is below every packet
    host.tc(
      box.namespace,
      ...'qdisc change dev eth0 root handle 4c00: tbf rate 10mbit burst 100 limit 30k'.split(' '),
    );
    const outcome = await shaping.apply(box.place, { out: shape(10) });
    expect(outcome?.mended).to.have.length(1);
    await holds(box.place, 'out', 10, 'after it was freed');
    await flow.stop();
  });
});
