import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { systemClock as clock } from '../../../core/clock.ts';
import { silentLogger as logger } from '../../../core/log.ts';
import type { EndpointTraffic, ShapePlace } from '../../../net/shaping-port.ts';
import { type MeasuredEndpoint, Usage } from '../../../throttle/usage.ts';
import { until } from '../../support/poll.ts';

const traffic = (bytes: number): EndpointTraffic => ({
  in: { bytes, packets: 1, drops: 0 },
  out: { bytes: 2 * bytes, packets: 2, drops: 3 },
});
const inSandbox = (endpointId: string): MeasuredEndpoint => ({
  endpointId,
  place: { at: 'sandbox', namespacePath: `/x/${endpointId}`, linkIndex: 2 },
});

describe('throttle/usage', () => {
  let endpoints: MeasuredEndpoint[];
  let samples: number;
  let work: (places: readonly ShapePlace[]) => Promise<readonly (EndpointTraffic | undefined)[]>;
  let usage: Usage | undefined;

  beforeEach(() => {
    endpoints = [inSandbox('e1'), inSandbox('e2')];
    samples = 0;
    work = async (places) => places.map((_place, index) => traffic(100 * (index + 1)));
  });
  afterEach(() => usage?.close());

  const start = (options = {}, host = {}): Usage => {
    usage = new Usage(
      { askedMs: 10, idleMs: 60_000, questionMs: 100, ...options },
      {
        shaping: {
          traffic: (places) => {
            samples += 1;
            return work(places);
          },
        },
        endpoints: () => endpoints,
        ...host,
        clock,
        logger,
      },
    );
    usage.start();
    return usage;
  };

  it('answers the first question with a fresh sample, by endpoint', async () => {
    const [one, two] = await start().figures();
    expect(one).to.deep.equal({
      endpointId: 'e1',
      in: { bytes: 100, packets: 1, drops: 0 },
      out: { bytes: 200, packets: 2, drops: 3 },
    });
    expect(two?.in.bytes).to.equal(200);
  });

  it('samples often while somebody asks, and seldom when nobody does any more', async () => {
    const asked = start();
    await asked.figures();
    await until('it samples', () => samples > 3, { intervalMs: 5 });
    await until(
      'it rests',
      async () => {
        const before = samples;
        await sleep(60);
        return samples === before;
      },
      { intervalMs: 1 },
    );
    expect(asked.known()).to.have.length(2);
    const rested = samples;
    await asked.figures();
    await until('it samples again', () => samples > rested, { intervalMs: 5 });
  });

  it('leaves out who has gone, and keeps who cannot be read for a moment', async () => {
    const asked = start();
    await asked.figures();
    work = async () => [undefined];
    endpoints = [inSandbox('e2')];
    await until('e1 is left out', async () => (await asked.figures()).length === 1);
    expect((await asked.figures())[0]).to.deep.include({ endpointId: 'e2' });
    endpoints = [];
    await until('all are left out', async () => (await asked.figures()).length === 0);
  });

  it('waits no longer than its limit for a sample that hangs, and survives one that fails', async () => {
    work = () => new Promise(() => {});
    expect(await start({ waitMs: 20 }).figures()).to.deep.equal([]);
    usage?.close();
    let fails = true;
    work = async () => {
      if (fails) throw new Error('no');
      return [traffic(1), traffic(1)];
    };
    const failing = start();
    expect(await failing.figures()).to.deep.equal([]);
    fails = false;
    await until('it goes on', async () => (await failing.figures()).length === 2);
  });

  it('asks the parent for those that the host shapes, and lets one parent fail alone', async () => {
    endpoints = [
      inSandbox('e1'),
      { endpointId: 'e3', place: { at: 'parent', parent: 'eth0' } },
      { endpointId: 'e4', place: { at: 'parent', parent: 'gone' } },
    ];
    const host = {
      traffic: async (parent: string, ids: readonly string[]) => {
        if (parent === 'gone') throw new Error('it is gone');
        return new Map(ids.map((id) => [id, traffic(7)]));
      },
    };
    const found = await start({}, { host }).figures();
    expect(found.map(({ endpointId, in: { bytes } }) => [endpointId, bytes])).to.deep.equal([
      ['e1', 100],
      ['e3', 7],
    ]);
  });
});
