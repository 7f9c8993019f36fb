/** Usage counted on real links: totals that survive a new limit and the end of one. */
import { expect } from 'chai';
import { systemClock as clock } from '../../core/clock.ts';
import { silentLogger as logger } from '../../core/log.ts';
import { type EndpointUsage, Usage } from '../../throttle/usage.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { PEER, type Sandbox, ShapedHost, shape } from './shaped-host.ts';

const SAMPLE_MS = 100;
const PINGS = 50;

describe('throttle/usage on real links', function () {
  this.timeout(60_000);
  let host: ShapedHost;
  let usage: Usage;

  before(function () {
    need(this, 'root', 'netns');
  });
  beforeEach(() => {
    host = new ShapedHost();
  });
  afterEach(async () => {
    usage?.close();
    await host.remove();
  });

  /** Full frames there and back; returns when the counters have been read after it. */
  const ping = async (box: Sandbox): Promise<EndpointUsage> => {
    const program = host.start(box.namespace, 'ping', '-c', String(PINGS), '-i', '0.01', '-s', '1400', PEER);
    await until('the pings are answered', () => program.said().includes('received'), { timeoutMs: 30_000 });
    expect(program.said()).to.include(' 0% packet loss');
    const from = performance.now();
    return until('the counters were read', async () => {
      const [found] = await usage.figures();
      return performance.now() - from > 3 * SAMPLE_MS ? found : undefined;
    });
  };

  it('counts through the making, the change and the end of a limit', async () => {
    const shaping = host.shaping();
    const box = host.macvlan();
    const { endpointId, place } = box;
    usage = new Usage(
      { askedMs: SAMPLE_MS },
      { shaping, endpoints: () => [{ endpointId, place }], clock, logger },
    );
    usage.start();
    await usage.figures();
    const totals: number[] = [];
    const said: string[] = [];
    for (const plan of [{}, { in: shape(100), out: shape(100) }, { in: shape(50), out: shape(50) }, {}]) {
      await shaping.apply(place, plan);
      const found = await ping(box);
      totals.push(found.in.bytes);
      said.push(`${found.in.bytes}/${found.out.bytes}`);
      expect(found.endpointId).to.equal(endpointId);
      expect(found.in.bitsPerSecondOver10s).to.be.above(0);
    }
    console.log(
      `      received/sent in all, without, with, with another and without a limit: ${said.join(', ')} bytes`,
    );
    const each = PINGS * (1400 + 8 + 20 + 14);
    for (const [index, total] of totals.entries()) {
      const passed = total - (totals[index - 1] ?? 0);
      expect(passed, `step ${index}`).to.be.within(0.9 * each, 1.3 * each);
    }
  });

  it('counts on the host side of a veth pair, and leaves out a link that is gone', async () => {
    const shaping = host.shaping();
    const box = host.veth();
    const { endpointId, hostEnd } = box;
    usage = new Usage(
      { askedMs: SAMPLE_MS },
      { shaping, endpoints: () => [{ endpointId, place: hostEnd }], clock, logger },
    );
    usage.start();
    await usage.figures();
    const { in: received, out: sent } = await ping(box);
    const each = PINGS * (1400 + 8 + 20 + 14);
    expect(received.bytes).to.be.within(0.9 * each, 1.5 * each);
    expect(sent.bytes).to.be.within(0.9 * each, 1.5 * each);
    box.namespace.ip('link', 'del', 'eth0');
    const [standing] = await usage.figures();
    expect(standing?.in.bytes, 'what is known stands').to.be.at.least(received.bytes);
  });
});
