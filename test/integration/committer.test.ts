import { expect } from 'chai';
import { systemClock as clock } from '../../core/clock.ts';
import { type Conflict, NotFound, StoreUnavailable } from '../../core/errors.ts';
import { randomId } from '../../core/ids.ts';
import { parseCidr, parseIp } from '../../core/ip.ts';
import { silentLogger as logger } from '../../core/log.ts';
import { Committer } from '../../ipam/commit/committer.ts';
import { Session } from '../../ipam/commit/session.ts';
import type { Step } from '../../ipam/commit/step.ts';
import { LeaseSteps } from '../../ipam/lease/lease-steps.ts';
import { EtcdKv } from '../../store/etcd-kv.ts';
import type { KvPort, Transaction, TransactionResult } from '../../store/kv.ts';
import { layoutOf } from '../../store/layout.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { soon } from '../support/ipam-host.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

const layout = layoutOf('/lanius/v1/');
const subnet = parseCidr('10.20.0.0/24');
const lost = () => new StoreUnavailable('the answer was lost', { outcomeUnknown: true });

/** A real store of which a test can delay or lose single answers. */
class MeddledKv {
  readonly kv: EtcdKv;
  readonly port: KvPort;
  readonly ttlIds: string[] = [];
  /** Takes the next transactions, one each. */
  readonly meddle: ((send: () => Promise<TransactionResult>) => Promise<TransactionResult>)[] = [];
  /** All transactions, as they were asked. */
  readonly asked: Transaction[] = [];
  /** Reads wait for this. */
  gate: Promise<void> = Promise.resolve();

  constructor(host: string) {
    const kv = new EtcdKv({ hosts: [host], timeoutMs: 1000 }, { logger, clock });
    this.kv = kv;
    this.port = {
      range: async (...given) => {
        await this.gate;
        return kv.range(...given);
      },
      txn: (txn, options) => {
        this.asked.push(txn);
        const send = () => kv.txn(txn, options);
        return this.meddle.shift()?.(send) ?? send();
      },
      ttlGrant: async (...given) => {
        const id = await kv.ttlGrant(...given);
        this.ttlIds.push(id);
        return id;
      },
      ttlKeepAlive: (...given) => kv.ttlKeepAlive(...given),
      ttlRevoke: (...given) => kv.ttlRevoke(...given),
      watch: (...given) => kv.watch(...given),
      status: (...given) => kv.status(...given),
      close: () => kv.close(),
    };
  }
}

describe('ipam/committer and session on a real etcd', function () {
  this.timeout(20_000);
  let etcd: EtcdProcess;
  let store: MeddledKv;
  let session: Session;
  let committer: Committer;
  let superseded: Conflict | undefined;
  let names = 0;

  before(async function () {
    need(this, 'etcd');
    etcd = await EtcdProcess.start();
  });
  after(async () => await etcd?.stop());

  beforeEach(async () => {
    names += 1;
    const host = `h${names}`;
    store = new MeddledKv(etcd.host);
    superseded = undefined;
    session = new Session(
      {
        host,
        hostname: host,
        machineId: `m-${host}`,
        bootId: 'b',
        instance: randomId(8),
        version: '0',
        ttlSeconds: 60,
      },
      {
        kv: store.port,
        layout,
        clock,
        logger,
        onSuperseded: (reason) => {
          superseded = reason;
        },
      },
    );
    committer = new Committer({}, { kv: store.port, session, logger });
    await session.start();
  });
  afterEach(async () => {
    committer.close();
    await session.stop();
    store.kv.close();
    expect(superseded).to.equal(undefined);
  });

  function take(address: string): Step {
    const steps = new LeaseSteps(layout, session.host, subnet, parseIp(address));
    const request = `${session.instance}.${address}`;
    return steps.take({ v: 1, state: 'pending', host: session.host, request, bootId: 'b', at: 1 });
  }
  /** Under way in a transaction of its own, if one can be sent. */
  async function sent(step: Step): Promise<{ readonly done: Promise<unknown> }> {
    const done = committer.submit(step);
    await new Promise((resolve) => setImmediate(resolve));
    return { done };
  }
  const standing = async (address: string) =>
    (await store.kv.range({ key: layout.lease(subnet, parseIp(address)) })).count;

  it('undoes a step whose first copy was executed and whose caller left during the second', async () => {
    store.meddle.push(async (send) => {
      await send();
      throw lost();
    });
    // The bump of the session in between.
    store.meddle.push((send) => send());
    store.meddle.push(async (send) => {
      const result = await send();
      await new Promise((resolve) => setTimeout(resolve, 700));
      return result;
    });
    const failed = await committer.submit({ ...take('10.20.0.7'), deadline: soon(400) }).then(
      () => expect.fail('it did not fail'),
      (error: Error) => error,
    );
    expect(failed).to.be.instanceOf(StoreUnavailable);
    expect(await standing('10.20.0.7')).to.equal(1);
    await until('it is undone', async () => (await standing('10.20.0.7')) === 0);
  });

  it('sends nothing under an epoch with an unknown outcome, also if another transaction fails meanwhile', async () => {
    const epoch = session.epoch;
    let open = () => {};
    store.gate = new Promise((resolve) => {
      open = resolve;
    });
    store.meddle.push(async () => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      throw lost();
    });
    store.meddle.push(async () => {
      await new Promise((resolve) => setTimeout(resolve, 100));
      throw new StoreUnavailable('no connection');
    });
    const before = store.asked.length;
    const both = Promise.all(
      [await sent(take('10.20.0.8')), await sent(take('10.20.0.9'))].map(({ done }) => done),
    );
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(store.asked.length - before).to.equal(2);
    open();
    await both;
    const fences = store.asked.slice(before + 2).map(({ compare }) => compare[0]);
    expect(fences.filter((fence) => fence?.test === 'modRevision' && fence.equals === epoch)).to.have.length(
      1,
    );
    expect(session.epoch).to.be.above(epoch ?? 0);
  });

  it('goes on when the TTL was lost and the answer to its renewal, too', async () => {
    await store.kv.ttlRevoke(store.ttlIds[0] ?? '');
    store.meddle.push(async (send) => {
      await send();
      throw lost();
    });
    await session.fenceBroken(session.epoch ?? 0, undefined);
    await session.bump(session.epoch ?? 0);
    await committer.submit({ ...take('10.20.0.10'), deadline: soon(2000) });
    expect(await standing('10.20.0.10')).to.equal(1);
  });

  it('mends the session however odd the failure is, instead of staying useless', async () => {
    store.meddle.push(async () => {
      throw lost();
    });
    store.meddle.push(async () => {
      throw new Error('odd');
    });
    await committer.submit({ ...take('10.20.0.11'), deadline: soon(3000) });
    expect(await standing('10.20.0.11')).to.equal(1);
  });

  it('fails only the step that etcd refuses, not the others of its batch', async () => {
    const good = ['10.20.0.30', '10.20.0.31', '10.20.0.32', '10.20.0.33'];
    const key = layout.cooling(subnet, parseIp('10.20.0.29'));
    const put = { do: 'put', key, value: '{}', ttlId: '123456' } as const;
    const guilty: Step = { lockKey: key, txn: { compare: [], success: [put] } };
    // Two transactions are in flight at once; what comes then is one batch.
    for (const text of ['10.20.0.27', '10.20.0.28']) {
      store.meddle.push(async (send) => {
        await new Promise((resolve) => setTimeout(resolve, 50));
        return send();
      });
      await sent({ ...take(text), deadline: soon(2000) });
    }
    const before = store.asked.length;
    const steps = [...good.slice(0, 2).map(take), guilty, ...good.slice(2).map(take)];
    const outcomes = await Promise.allSettled(
      steps.map((step) => committer.submit({ ...step, deadline: soon(2000) })),
    );
    expect(store.asked[before]?.success).to.have.length(5);
    expect(outcomes.map(({ status }) => status)).to.deep.equal([
      'fulfilled',
      'fulfilled',
      'rejected',
      'fulfilled',
      'fulfilled',
    ]);
    const refused = outcomes[2];
    expect(refused?.status === 'rejected' && refused.reason).to.be.instanceOf(NotFound);
    for (const address of good) expect(await standing(address)).to.equal(1);
    expect(store.asked.length - before).to.equal(6);
    await committer.submit({ ...take('10.20.0.34'), deadline: soon(2000) });
  });

  it('refuses at once what is asked after its end', async () => {
    committer.close();
    const refused = await committer.submit(take('10.20.0.12')).then(
      () => expect.fail('it did not fail'),
      (error: Error) => error.message,
    );
    expect(refused).to.equal('the daemon is stopping: nothing was changed');
  });
});
