/** What happens in a race and when, all of it from the seed: a seed that failed fails again in the same way. */

export interface RacePlan {
  readonly seed: number;
  readonly hosts: number;
  /** Allocate/release pairs of each host. */
  readonly pairsPerHost: number;
  readonly callersPerHost: number;
  /** Addresses that the filler leaves. */
  readonly free: number;
  /** By pairs done in all hosts together. */
  readonly hostKills: readonly { readonly atPairs: number; readonly host: number }[];
  readonly leaderKills: readonly { readonly atPairs: number; readonly downMs: number }[];
  /** etcd's answers to one host are lost for a while. */
  readonly losses: readonly { readonly atPairs: number; readonly host: number; readonly forMs: number }[];
}

export interface RaceSize {
  readonly hosts: number;
  readonly pairsPerHost: number;
  readonly callersPerHost: number;
  readonly free: number;
  /** At least so many; the seed may add two. */
  readonly hostKills: number;
  /** At least so many; the seed may add one. */
  readonly leaderKills: number;
  /** Exactly so many. */
  readonly losses: number;
}

/** A number in [0, 1), as Math.random; of a seed. @see mulberry32, in the public domain */
export function randomOf(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function planOf(seed: number, size: RaceSize): RacePlan {
  const random = randomOf(seed);
  const whole = (below: number): number => Math.floor(random() * below);
  const pairs = size.hosts * size.pairsPerHost;
  const moments = (count: number): number[] =>
    Array.from({ length: count }, () => Math.floor(pairs * (0.04 + 0.86 * random()))).sort((a, b) => a - b);
  const more = (least: number, most: number): number => (least === 0 ? 0 : least + whole(most + 1));
  return {
    seed,
    hosts: size.hosts,
    pairsPerHost: size.pairsPerHost,
    callersPerHost: size.callersPerHost,
    free: size.free,
    hostKills: moments(more(size.hostKills, 2)).map((atPairs) => ({ atPairs, host: whole(size.hosts) })),
    leaderKills: moments(more(size.leaderKills, 1)).map((atPairs) => ({
      atPairs,
      downMs: 200 + whole(1000),
    })),
    losses: moments(size.losses).map((atPairs) => ({
      atPairs,
      host: whole(size.hosts),
      forMs: 20 + whole(200),
    })),
  };
}
