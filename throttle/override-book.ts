/**
 * The limits that people have set in etcd, in memory: a copy fed by one watch on those keys alone (store/prefix-copy.ts), each
 * value read once. While etcd is away what is known stands.
 *
 * INVARIANT: a value that cannot be read is told and passed over; a key that does not fit is passed over
 * (`lanius store check` shows both).
 */
import type { Direction } from '../core/limit.ts';
import type { Logger } from '../core/log.ts';
import type { KvPort } from '../store/kv.ts';
import type { Layout, LimitKey } from '../store/layout.ts';
import { readLimit } from '../store/limit-value.ts';
import { PrefixCopy } from '../store/prefix-copy.ts';
import type { Override, Overrides, OverridesOfContainer } from './overrides.ts';

export interface OverrideBookOptions {
  /** This host, for the values that are about its containers only. */
  readonly host: string;
}

export interface OverrideBookDependencies {
  readonly kv: Pick<KvPort, 'range' | 'watch'>;
  readonly layout: Layout;
  readonly logger: Logger;
}

/** One key, for people. */
export interface KnownOverride extends LimitKey {
  readonly override: Override;
}

type ByDirection = Partial<Record<Direction, Override>>;

interface OfName {
  readonly here: ByDirection;
  readonly everywhere: ByDirection;
}

export class OverrideBook implements Overrides {
  readonly #options: OverrideBookOptions;
  readonly #deps: OverrideBookDependencies;
  readonly #copy: PrefixCopy;
  readonly #byName = new Map<string, OfName>();
  readonly #listeners = new Set<(containerNames: readonly string[]) => void>();
  /** Changed, and not told yet. */
  #changed: Set<string> | undefined;

  constructor(options: OverrideBookOptions, deps: OverrideBookDependencies) {
    this.#options = options;
    this.#deps = deps;
    const { kv, layout, logger } = deps;
    this.#copy = new PrefixCopy(
      { prefix: layout.limits, what: 'limits that people set' },
      { kv, logger, onChange: (keys) => this.#learn(keys) },
    );
  }

  get ready(): boolean {
    return this.#copy.ready;
  }

  /** @throws StoreUnavailable, and may be tried again */
  load(): Promise<void> {
    return this.#copy.load();
  }

  async close(): Promise<void> {
    this.#listeners.clear();
    await this.#copy.close();
  }

  of(containerName: string): OverridesOfContainer {
    const known = this.#byName.get(containerName);
    if (known === undefined) return {};
    const [inward, outward] = [strongest(known, 'in'), strongest(known, 'out')];
    return {
      ...(inward === undefined ? {} : { in: inward }),
      ...(outward === undefined ? {} : { out: outward }),
    };
  }

  /** All that are about containers of this host, or of all hosts. */
  list(): KnownOverride[] {
    const { host } = this.#options;
    const known = (overrides: ByDirection, key: Omit<LimitKey, 'direction'>): KnownOverride[] =>
      (Object.entries(overrides) as [Direction, Override][]).map(([direction, override]) => ({
        ...key,
        direction,
        override,
      }));
    return [...this.#byName].flatMap(([containerName, { here, everywhere }]) => [
      ...known(here, { host, containerName }),
      ...known(everywhere, { containerName }),
    ]);
  }

  /** Also called when all were read for the first time, maybe with no name. */
  onChange(listener: (containerNames: readonly string[]) => void): () => void {
    // Wrapped: whoever listens twice is told twice, and ends one of them.
    const told = (names: readonly string[]): void => listener(names);
    this.#listeners.add(told);
    return () => this.#listeners.delete(told);
  }

  #learn(keys: readonly string[]): void {
    const names = this.#changed ?? new Set();
    for (const key of keys) {
      const about = this.#deps.layout.limitOf(key);
      if (about === undefined || (about.host !== undefined && about.host !== this.#options.host)) continue;
      this.#keep(key, about);
      names.add(about.containerName);
    }
    if (this.#changed !== undefined) return;
    this.#changed = names;
    setImmediate(() => {
      this.#changed = undefined;
      for (const listener of this.#listeners) listener([...names]);
    });
  }

  #keep(key: string, { host, containerName, direction }: LimitKey): void {
    const there = this.#copy.get(key);
    const known = this.#byName.get(containerName) ?? { here: {}, everywhere: {} };
    const place = host === undefined ? known.everywhere : known.here;
    if (there === undefined) delete place[direction];
    else place[direction] = { ...readLimit(key, there.value), modRevision: there.modRevision };
    const { problem } = place[direction] ?? {};
    if (problem !== undefined)
      this.#deps.logger.warn('a limit in etcd cannot be read and is passed over', { key, problem });
    if (isEmpty(known.here) && isEmpty(known.everywhere)) this.#byName.delete(containerName);
    else this.#byName.set(containerName, known);
  }
}

/** One that cannot be read is as if it were not there, but told where there is no other. */
function strongest({ here, everywhere }: OfName, direction: Direction): Override | undefined {
  const all = [here[direction], everywhere[direction]].filter((one) => one !== undefined);
  return all.find(({ problem }) => problem === undefined) ?? all[0];
}

function isEmpty(overrides: ByDirection): boolean {
  return Object.keys(overrides).length === 0;
}
