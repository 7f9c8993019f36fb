/**
 * Four host processes take and release 5,000 addresses each in a /22 that is nearly full, on a cluster of three etcd
 * members, while hosts and leaders are killed (kill -9). RACE_SEEDS is the number of seeds, or a list of them (`7,13`).
 */
import { expect } from 'chai';
import { EtcdCluster } from '../support/etcd-cluster.ts';
import { need } from '../support/require.ts';
import { planOf, type RaceSize } from './race-plan.ts';
import { type RaceResult, race } from './race-run.ts';
import { SABOTAGES } from './race-sabotage.ts';

const FULL: RaceSize = {
  hosts: 4,
  pairsPerHost: 5000,
  callersPerHost: 14,
  free: 60,
  hostKills: 3,
  leaderKills: 1,
  losses: 0,
};
/** Without reconciliation, so hosts must not die: only lost answers, undone exactly. */
const SHORT: RaceSize = {
  hosts: 3,
  pairsPerHost: 700,
  callersPerHost: 14,
  free: 46,
  hostKills: 0,
  leaderKills: 1,
  losses: 20,
};

/** Whether a fault shows is chance, so there are many occasions. */
const FAULTY: RaceSize = { ...SHORT, losses: 60 };
const FAULTY_RACES = 8;

describe('race: hosts that are killed, on a cluster whose leader is killed', function () {
  this.timeout(300_000);
  let cluster: EtcdCluster;

  before(async function () {
    need(this, 'etcd');
    cluster = await EtcdCluster.start(3);
  });
  after(async () => await cluster?.stop());

  for (const seed of seedsOf(process.env['RACE_SEEDS'] ?? '20')) {
    it(`seed ${seed}: no address is had by two, and the pool is exact`, async () => {
      const result = await race({
        plan: planOf(seed, FULL),
        cluster,
        reconcile: true,
        limitMs: 150_000,
        exactWithinMs: 12_000,
      });
      console.log(`      ${lineOf(result)}`);
      expectExact(result);
      expect(result.pairs).to.equal(FULL.hosts * FULL.pairsPerHost);
    });
  }

  it('leaves nothing behind after lost answers even if nothing reconciles', async () => {
    const result = await race({
      plan: planOf(1, SHORT),
      cluster,
      reconcile: false,
      limitMs: 60_000,
      exactWithinMs: 5000,
    });
    console.log(`      ${lineOf(result)}`);
    expectExact(result);
    expect(result.unknown).to.be.greaterThan(0);
  });

  for (const sabotage of SABOTAGES) {
    it(`notices a fault that is made on purpose: ${sabotage}`, async () => {
      for (let seed = 1; seed <= FAULTY_RACES; seed += 1) {
        const plan = planOf(seed, FAULTY);
        const result = await race({
          plan,
          cluster,
          reconcile: false,
          sabotage,
          limitMs: 60_000,
          exactWithinMs: 2000,
        });
        const { duplicates, wrong, leaks } = result;
        console.log(`      ${lineOf(result)}`);
        if (duplicates.length + wrong.length + leaks.length > 0) return;
      }
      expect.fail(`nothing was noticed in ${FAULTY_RACES} races with ${sabotage}`);
    });
  }
});

function expectExact(result: RaceResult): void {
  const { duplicates, wrong, leaks, story } = result;
  const faults = [...duplicates, ...wrong, ...leaks].map(({ address, text }) => `${address} ${text}`);
  expect(faults.length, `${faults.slice(0, 20).join('\n')}\n${story.join('\n')}`).to.equal(0);
}

function lineOf(result: RaceResult): string {
  const { seed, pairs, hostKills, leaderKills, losses, unknown, refused } = result;
  const { duplicates, wrong, leaks, seconds } = result;
  return (
    `seed ${seed}: ${pairs} pairs, ${hostKills} host kills, ${leaderKills} leader kills, ${losses} losses of answers, ${unknown} unknown outcomes, ` +
    `${refused} refused, duplicates ${duplicates.length}, wrong ${wrong.length}, leaks ${leaks.length}, ` +
    `${seconds.toFixed(1)} s`
  );
}

function seedsOf(text: string): number[] {
  if (text.includes(',')) return text.split(',').map(Number);
  return Array.from({ length: Number(text) }, (_, i) => i + 1);
}
