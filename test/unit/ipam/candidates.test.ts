import { expect } from 'chai';
import fc from 'fast-check';
import { formatIp, type IpAddress, ipToHex, parseCidr, usableRange } from '../../../core/ip.ts';
import { Candidates } from '../../../ipam/candidates.ts';

function source(subnet: string, taken: ReadonlySet<string>, busy: ReadonlySet<string> = new Set()) {
  let reads = 0;
  const range = usableRange(parseCidr(subnet));
  return {
    range,
    reads: () => reads,
    busy: (address: IpAddress) => busy.has(formatIp(address)),
    taken: async (first: IpAddress, last: IpAddress) => {
      reads += 1;
      const keys: string[] = [];
      for (let value = first.value; value <= last.value; value += 1n) {
        const address: IpAddress = { family: first.family, value };
        if (taken.has(formatIp(address))) keys.push(ipToHex(address));
      }
      return keys;
    },
  };
}

const clock = { now: () => 0, wall: () => 0 };

describe('ipam/candidates', () => {
  it('guesses every free address of a pool once, and none that is taken or busy', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.integer({ min: 1, max: 62 })),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        async (used, seed) => {
          const taken = new Set(used.map((n) => `10.0.0.${n}`));
          const candidates = new Candidates(source('10.0.0.0/26', taken), { clock, random: () => seed });
          const guessed = new Set<string>();
          for (let i = 0; i < 62 - used.length; i += 1) {
            const address = await candidates.take();
            if (address !== undefined) guessed.add(formatIp(address));
          }
          expect(guessed.size).to.equal(62 - used.length);
          for (const address of guessed) expect(taken.has(address)).to.equal(false);
        },
      ),
    );
  });

  it('looks at every segment before it gives up', async () => {
    const all = new Set<string>();
    for (let i = 0; i < 1024; i += 1) all.add(`10.0.${i >> 8}.${i & 255}`);
    all.delete('10.0.2.9');
    const pool = source('10.0.0.0/22', all);
    const candidates = new Candidates(pool, { clock, random: () => 0.9 });
    const found = await candidates.take();
    expect(found && formatIp(found)).to.equal('10.0.2.9');
    all.add('10.0.2.9');
    expect(await candidates.take()).to.equal(undefined);
    expect(pool.reads()).to.be.at.most(9);
  });

  it('reads one segment of a large pool, not the pool', async () => {
    const pool = source('10.0.0.0/8', new Set());
    const candidates = new Candidates(pool, { clock, random: () => 0.5 });
    for (let i = 0; i < 200; i += 1) await candidates.take();
    expect(pool.reads()).to.equal(1);
  });

  it('puts a released address to the back', async () => {
    const candidates = new Candidates(source('10.0.0.0/29', new Set()), { clock, random: () => 0 });
    const first = await candidates.take();
    if (first === undefined) throw new Error('no guess');
    candidates.giveBack(first);
    const order: string[] = [];
    for (let i = 0; i < 6; i += 1) order.push(formatIp((await candidates.take()) ?? first));
    expect(order.at(-1)).to.equal(formatIp(first));
  });

  it('reads nothing more when the time is up, however large the pool is', async () => {
    let reads = 0;
    const full = {
      ...source('10.0.0.0/8', new Set()),
      taken: async (first: IpAddress, last: IpAddress) => {
        reads += 1;
        return allOf(first, last);
      },
    };
    const deadline = { leftMs: () => (reads < 2 ? 1 : 0) };
    expect(await new Candidates(full, { clock, random: () => 0 }).take(deadline)).to.equal(undefined);
    expect(reads).to.equal(2);
  });
});

function allOf(first: IpAddress, last: IpAddress): string[] {
  const keys: string[] = [];
  for (let { value } = first; value <= last.value; value += 1n)
    keys.push(ipToHex({ family: first.family, value }));
  return keys;
}
