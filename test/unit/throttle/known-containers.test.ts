/** Endpoints and their containers, with a finder that answers when the test says so. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { silentLogger } from '../../../core/log.ts';
import type { FoundContainer } from '../../../engine/container-finder.ts';
import { type EndpointRecord, RECORD_KINDS } from '../../../store/host-records.ts';
import { RecordStore } from '../../../store/records.ts';
import { KnownContainers } from '../../../throttle/known-containers.ts';
import { until } from '../../support/poll.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function recordOf(endpointId: string, more: Partial<EndpointRecord> = {}): EndpointRecord {
  return {
    v: 1,
    endpointId,
    networkId: 'n1',
    macAddress: '02:4c:0a:00:00:07',
    linkName: 'ln1',
    sandboxKey: '/run/x',
    options: {},
    createdAt: 0,
    instance: 'i',
    ...more,
  };
}

function found(name: string, env: Record<string, string> = {}): FoundContainer {
  const labels = new Map([
    ['lanius.net_out', ' 5mbit '],
    ['secret', 'x'],
  ]);
  return { containerId: `id-${name}`, name, env: new Map(Object.entries(env)), labels, netAdmin: false };
}

const WEB = {
  containerId: 'id-web',
  name: 'web',
  netAdmin: false,
  env: { net_in: '1mbit', NET_OUT_BURST: '64kb' },
  labels: { 'lanius.net_out': '5mbit' },
};

describe('throttle/known-containers', () => {
  let records: Map<string, EndpointRecord>;
  let puts: number;
  let questions: { readonly endpointId: string; readonly answer: (found?: FoundContainer) => void }[];
  let known: KnownContainers;
  let told: string[];

  beforeEach(() => {
    records = new Map();
    puts = 0;
    questions = [];
    told = [];
    known = new KnownContainers({
      finder: {
        find: (_, endpointId) =>
          new Promise((resolve) => {
            questions.push({ endpointId, answer: resolve });
          }),
      },
      endpoints: {
        get: (id) => records.get(id),
        list: () => [...records.values()],
        put: async (id, record) => {
          puts += 1;
          records.set(id, record);
        },
      },
      logger: silentLogger,
    });
    known.onFound((endpointId, renamed) => told.push(`${endpointId} ${renamed ? 'renamed' : 'found'}`));
  });
  afterEach(() => known.close());

  const joined = (id: string): void => {
    records.set(id, recordOf(id));
    known.joined(recordOf(id));
  };
  const answer = async (index: number, container?: FoundContainer): Promise<void> => {
    questions[index]?.answer(container);
    await turn();
  };

  it('keeps what is about limits, in memory and in the record, and tells it', async () => {
    joined('e1');
    expect(known.of('e1')).to.equal(undefined);
    await answer(0, found('web', { net_in: '1mbit', NET_OUT_BURST: '64kb', PASSWORD: 'x', Net_In: '3' }));
    expect(known.of('e1')).to.deep.equal(WEB);
    expect(records.get('e1')).to.deep.equal({ ...recordOf('e1'), container: WEB });
    expect(told).to.deep.equal(['e1 found']);
    known.joined(recordOf('e1'));
    expect(questions).to.have.length(1);
  });

  it('loses nothing that others write meanwhile, and makes no deleted record again', async () => {
    joined('e1');
    joined('e2');
    records.set('e1', recordOf('e1', { sandboxKey: '/run/other' }));
    records.delete('e2');
    await answer(0, found('web'));
    await answer(1, found('db'));
    expect(records.get('e1')?.sandboxKey).to.equal('/run/other');
    expect(records.get('e1')?.container?.name).to.equal('web');
    expect([...records.keys()]).to.deep.equal(['e1']);
    expect(puts).to.equal(1);
  });

  it('knows nothing any more of an endpoint that has left, also if the answer comes later', async () => {
    joined('e1');
    joined('e2');
    known.left('e1');
    await answer(0, found('web'));
    await answer(1, found('db'));
    known.left('e2');
    expect(known.of('e1')).to.equal(undefined);
    expect(known.of('e2')).to.equal(undefined);
    expect(told).to.deep.equal(['e2 found']);
    expect(records.get('e1')?.container).to.equal(undefined);
  });

  it('lets wait until it is known, until the question brought nothing, or until the time is over', async () => {
    joined('e1');
    joined('e2');
    joined('e3');
    const first = known.wait('e1', 10_000);
    const second = known.wait('e2', 10_000);
    expect(await known.wait('e3', 5)).to.equal(undefined);
    await answer(0, found('web'));
    await answer(1);
    expect((await first)?.name).to.equal('web');
    expect(await second).to.equal(undefined);
    expect((await known.wait('e1', 0))?.name).to.equal('web');
    expect(await known.wait('e2', 10_000)).to.equal(undefined);
    expect(await known.wait('never', 10_000)).to.equal(undefined);
  });

  it('asks again after a second, and at once when the engine returns', async function () {
    this.timeout(20_000);
    joined('e1');
    await answer(0);
    await until('the second question', () => questions.length === 2);
    known.engineReturned();
    expect(questions).to.have.length(2);
    await answer(1);
    known.engineReturned();
    expect(questions).to.have.length(3);
    await answer(2, found('web'));
    expect(known.of('e1')?.name).to.equal('web');
  });

  it('asks anew of all when the engine returns, for it may have been renamed meanwhile', async () => {
    joined('e1');
    await answer(0, found('web'));
    known.engineReturned();
    expect(questions).to.have.length(2);
    await answer(1, found('web'));
    expect(told).to.deep.equal(['e1 found']);
    known.engineReturned();
    await answer(2, { ...found('shop'), containerId: 'id-web' });
    expect(told).to.deep.equal(['e1 found', 'e1 renamed']);
  });

  it('stops to ask for an endpoint whose record has gone', async () => {
    joined('e1');
    await answer(0);
    records.delete('e1');
    known.engineReturned();
    await answer(1);
    known.engineReturned();
    expect(questions).to.have.length(2);
  });

  it('is in order with what real records write at the same time', async () => {
    const stateDir = await mkdtemp(join(tmpdir(), 'lanius-known-'));
    try {
      const store = () => new RecordStore({ stateDir, ...RECORD_KINDS.endpoints }, { logger: silentLogger });
      const endpoints = store();
      await endpoints.load();
      const later: ((found: FoundContainer) => void)[] = [];
      const finder = { find: () => new Promise<FoundContainer>((resolve) => later.push(resolve)) };
      const over = new KnownContainers({ finder, endpoints, logger: silentLogger });
      const writes: Promise<unknown>[] = [];
      for (const id of ['kept', 'gone', 'going']) {
        await endpoints.put(id, recordOf(id, { sandboxKey: '' }));
        over.joined(recordOf(id));
        writes.push(endpoints.put(id, recordOf(id)));
      }
      writes.push(endpoints.delete('gone'));
      for (const resolve of later) resolve(found('web'));
      await turn();
      writes.push(endpoints.delete('going'));
      await Promise.all(writes);
      const again = store();
      await again.load();
      const container = { ...WEB, env: {} };
      expect(again.list()).to.deep.equal([{ ...recordOf('kept'), container }]);
    } finally {
      await rm(stateDir, { recursive: true });
    }
  });

  it('takes over what the records say at the start, and asks for the rest', async () => {
    records.set('e1', recordOf('e1', { container: WEB }));
    records.set('e2', recordOf('e2'));
    const { sandboxKey: _, ...never } = recordOf('e3');
    records.set('e3', never);
    known.start();
    expect(known.of('e1')).to.deep.equal(WEB);
    expect(questions.map(({ endpointId }) => endpointId)).to.deep.equal(['e2']);
    expect(told).to.deep.equal([]);
  });

  it('asks anew after a rename, and keeps what it knew until then', async () => {
    joined('e1');
    await answer(0, found('web'));
    known.renamed('id-other');
    expect(questions).to.have.length(1);
    known.renamed('id-web');
    expect(questions).to.have.length(2);
    expect(known.of('e1')?.name).to.equal('web');
    await answer(1, { ...found('shop'), containerId: 'id-web' });
    expect(known.of('e1')?.name).to.equal('shop');
    expect(records.get('e1')?.container?.name).to.equal('shop');
    expect(told).to.deep.equal(['e1 found', 'e1 renamed']);
  });
});
