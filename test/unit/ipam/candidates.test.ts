import { expect } from 'chai';
import fc from 'fast-check';
import { formatIp, type IpAddress, type IpRange, parseCidr, parseIp, usableRange } from '../../../core/ip.ts';
import { Candidates } from '../../../ipam/lease/candidates.ts';

const value = (text: string): bigint => parseIp(text).value;
const range = (first: string, last = first): IpRange => ({
  family: parseIp(first).family,
  first: value(first),
  last: value(last),
});
const wholeOf = (subnet: string): IpRange => usableRange(parseCidr(subnet));

/** A store in memory that counts the looks. */
class Store {
  readonly taken = new Set<bigint>();
  readonly cooling = new Map<bigint, number>();
  readonly busyOnes = new Set<string>();
  readonly looks: IpRange[][] = [];
  nowMs = 0;
  seed = 0;

  candidates(...ranges: IpRange[]): Candidates {
    const source = {
      ranges,
      busy: (address: IpAddress) => this.busyOnes.has(formatIp(address)),
      look: async (spans: readonly IpRange[]) => {
        this.looks.push([...spans]);
        return { taken: this.taken, cooling: this.cooling };
      },
    };
    const clock = { now: () => this.nowMs, wall: () => this.nowMs };
    return new Candidates(source, { clock, random: () => this.seed });
  }
}

async function all(candidates: Candidates, most = 2000): Promise<string[]> {
  const found: string[] = [];
  for (let i = 0; i < most; i += 1) {
    const address = await candidates.take();
    if (address === undefined) break;
    found.push(formatIp(address));
  }
  return found;
}

describe('ipam/candidates', () => {
  it('guesses every free address of several ranges once before any twice, and none that is taken or busy', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.integer({ min: 1, max: 62 })),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        async (used, seed) => {
          const store = new Store();
          store.seed = seed;
          for (const n of used) store.taken.add(value(`10.0.0.${n}`));
          const candidates = store.candidates(
            range('10.0.0.1', '10.0.0.20'),
            range('10.0.0.30', '10.0.0.40'),
            range('10.0.0.60', '10.0.0.62'),
          );
          const inside = (n: number) => n <= 20 || (n >= 30 && n <= 40) || n >= 60;
          const free = 34 - used.filter(inside).length;
          const guessed = new Set(await all(candidates, free));
          expect(guessed.size).to.equal(free);
          for (const address of guessed) expect(store.taken.has(value(address))).to.equal(false);
        },
      ),
    );
  });

  it('looks at every segment before it gives up', async () => {
    const store = new Store();
    store.seed = 0.9;
    for (let i = 0; i < 1024; i += 1) store.taken.add(value('10.0.0.0') + BigInt(i));
    store.taken.delete(value('10.0.2.9'));
    const candidates = store.candidates(wholeOf('10.0.0.0/22'));
    expect(formatIp((await candidates.take()) ?? parseIp('0.0.0.0'))).to.equal('10.0.2.9');
    store.taken.add(value('10.0.2.9'));
    expect(await candidates.take()).to.equal(undefined);
    expect(store.looks.length).to.be.at.most(10);
  });

  it('reads one segment of a large pool, not the pool, also of IPv6', async () => {
    for (const subnet of ['10.0.0.0/8', 'fd00::/64']) {
      const store = new Store();
      store.seed = 0.5;
      expect(await all(store.candidates(wholeOf(subnet)), 200)).to.have.length(200);
      expect(store.looks).to.have.length(1);
    }
  });

  it('reads a segment over several ranges in one look', async () => {
    const store = new Store();
    await store
      .candidates(range('10.0.0.1', '10.0.0.9'), range('10.0.0.11', '10.0.0.99'), range('10.9.0.1'))
      .take();
    expect(store.looks).to.deep.equal([[range('10.0.0.1', '10.0.0.99'), range('10.9.0.1')]]);
  });

  it('goes on after the last guess when its guesses are stale', async () => {
    const store = new Store();
    const candidates = store.candidates(wholeOf('10.0.0.0/16'));
    expect(await all(candidates, 3)).to.deep.equal(['10.0.0.1', '10.0.0.2', '10.0.0.3']);
    store.nowMs = 20_000;
    expect(await all(candidates, 1)).to.deep.equal(['10.0.0.4']);
  });

  it('puts released addresses to the back, the first released first', async () => {
    const store = new Store();
    const candidates = store.candidates(wholeOf('10.0.0.0/29'));
    const [one = '', two = ''] = await all(candidates, 2);
    candidates.giveBack(parseIp(two), { seconds: 0, revision: 2 });
    candidates.giveBack(parseIp(one), { seconds: 0, revision: 3 });
    expect(await all(candidates, 6)).to.deep.equal([
      '10.0.0.3',
      '10.0.0.4',
      '10.0.0.5',
      '10.0.0.6',
      two,
      one,
    ]);
  });

  it('gives what cools only when asked for that, the first released first', async () => {
    const store = new Store();
    for (const [n, revision] of [
      [2, 50],
      [4, 30],
      [5, 70],
    ] as const)
      store.cooling.set(value(`10.0.0.${n}`), revision);
    store.taken.add(value('10.0.0.5'));
    const candidates = store.candidates(wholeOf('10.0.0.0/29'));
    expect(await all(candidates, 3)).to.deep.equal(['10.0.0.1', '10.0.0.3', '10.0.0.6']);
    for (const n of [1, 3, 6]) store.taken.add(value(`10.0.0.${n}`));
    expect(await candidates.take()).to.equal(undefined);
    const cool = [candidates.coolest(), candidates.coolest(), candidates.coolest()];
    expect(cool.map((address) => address && formatIp(address))).to.deep.equal([
      '10.0.0.4',
      '10.0.0.2',
      undefined,
    ]);
  });

  it('knows by itself when its own releases have cooled', async () => {
    const store = new Store();
    const candidates = store.candidates(range('10.0.0.1'));
    await candidates.take();
    candidates.giveBack(parseIp('10.0.0.1'), { seconds: 5, revision: 9 });
    store.nowMs = 4999;
    expect(candidates.known()).to.equal(undefined);
    store.nowMs = 5000;
    expect(formatIp(candidates.known() ?? parseIp('0.0.0.0'))).to.equal('10.0.0.1');
  });

  it('starts somewhere else when another host was faster', async () => {
    const store = new Store();
    const candidates = store.candidates(wholeOf('10.0.0.0/16'));
    const first = await candidates.take();
    store.seed = 0.5;
    if (first !== undefined) candidates.missed(first);
    expect(await all(candidates, 1)).to.deep.equal(['10.0.128.0']);
    store.seed = 0;
    if (first !== undefined) candidates.missed(first);
    expect(await all(candidates, 1)).to.deep.equal(['10.0.128.1']);
  });

  it('reads nothing more when the time is up, however large the pool is', async () => {
    const store = new Store();
    for (let i = 0; i < 70_000; i += 1) store.taken.add(value('10.0.0.0') + BigInt(i));
    const deadline = { leftMs: () => (store.looks.length < 2 ? 1 : 0) };
    expect(await store.candidates(wholeOf('10.0.0.0/8')).take(deadline)).to.equal(undefined);
    expect(store.looks).to.have.length(2);
  });

  it('finds nothing in no ranges', async () => {
    const store = new Store();
    expect(await store.candidates().take()).to.equal(undefined);
    expect(store.looks).to.have.length(0);
  });
});
