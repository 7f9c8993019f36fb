/**
 * Which container each endpoint of this host belongs to, and what it says of limits. Asked in the background while the
 * container starts, asked again until it is known, and kept in the endpoint's record.
 *
 * INVARIANTS
 * - What is found once stays until the endpoint has left; it is asked anew only if the container was renamed.
 * - The record is changed by reading and writing it in one turn, so that nothing that others write meanwhile is lost, and a
 *   record that was deleted is not made again.
 * - Nothing here throws, and nothing waits for the engine but `wait`, with the time that it is given.
 *
 * Must not: decide a limit (throttle/wish.ts).
 */
import { isDeepStrictEqual } from 'node:util';
import { keptText, LIMIT_KEYS } from '../core/limit-text.ts';
import type { Logger } from '../core/log.ts';
import type { ContainerFinder, FoundContainer } from '../engine/container-finder.ts';
import type { EndpointRecord } from '../store/host-records.ts';
import { LABEL_PREFIX } from './wish.ts';

export type KnownContainer = NonNullable<EndpointRecord['container']>;

/** How long after a question without an answer the next one is put, in milliseconds; the last one again and again. */
const AGAIN_AFTER_MS = [1000, 2000, 4000, 8000, 15_000, 30_000];
/** Of one question; nobody waits for it that long. */
const FIND_TIMEOUT_MS = 2000;

export interface KnownContainersDependencies {
  readonly finder: ContainerFinder;
  readonly endpoints: {
    get(id: string): EndpointRecord | undefined;
    list(): readonly EndpointRecord[];
    put(id: string, record: EndpointRecord): Promise<void>;
  };
  readonly logger: Logger;
}

/** An endpoint whose container is asked for. */
interface Search {
  readonly networkId: string;
  /** Questions without an answer. */
  asked: number;
  timer?: NodeJS.Timeout;
  /** The question under way; ends when it is answered or not. */
  asking?: Promise<void>;
}

export class KnownContainers {
  readonly #deps: KnownContainersDependencies;
  readonly #known = new Map<string, KnownContainer>();
  readonly #searches = new Map<string, Search>();
  readonly #listeners = new Set<(endpointId: string, renamed: boolean) => void>();

  constructor(deps: KnownContainersDependencies) {
    this.#deps = deps;
  }

  /** Takes over what the records say, and asks for the rest of those that have joined. Once, after the records were loaded. */
  start(): void {
    for (const record of this.#deps.endpoints.list())
      if (record.sandboxKey !== undefined) this.joined(record);
  }

  /** The endpoint is joining. Returns at once. Idempotent. */
  joined({ endpointId, networkId, container }: EndpointRecord): void {
    if (container !== undefined) this.#known.set(endpointId, container);
    else if (!this.#known.has(endpointId)) this.#search(endpointId, networkId);
  }

  /** From memory. @returns undefined while it is not known, and after `left` */
  of(endpointId: string): KnownContainer | undefined {
    return this.#known.get(endpointId);
  }

  /**
   * Ends when the container is known, when the question under way has brought nothing, or when the time is over.
   * @returns as `of`
   */
  async wait(endpointId: string, timeoutMs: number): Promise<KnownContainer | undefined> {
    const asking = this.#searches.get(endpointId)?.asking;
    if (asking !== undefined && !this.#known.has(endpointId)) {
      let timer: NodeJS.Timeout | undefined;
      const over = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, timeoutMs);
      });
      await Promise.race([asking, over]);
      clearTimeout(timer);
    }
    return this.of(endpointId);
  }

  /** Called after a container was found later than `joined`, or anew; must not throw. @returns ends it */
  onFound(listener: (endpointId: string, renamed: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * The engine serves its API again: all that is unknown is asked for now, and not only when its time comes; and all that is
   * known, because nobody has told us of renames meanwhile.
   */
  engineReturned(): void {
    for (const endpointId of this.#known.keys()) {
      const record = this.#deps.endpoints.get(endpointId);
      if (record !== undefined && !this.#searches.has(endpointId)) {
        this.#searches.set(endpointId, { networkId: record.networkId, asked: 0 });
      }
    }
    for (const [endpointId, search] of this.#searches) {
      search.asked = 0;
      this.#ask(endpointId, search);
    }
  }

  /** Its name has changed (event `rename`), so what is said of that name may be something else. */
  renamed(containerId: string): void {
    for (const [endpointId, known] of this.#known) {
      const record = known.containerId === containerId ? this.#deps.endpoints.get(endpointId) : undefined;
      if (record !== undefined) this.#search(endpointId, record.networkId);
    }
  }

  left(endpointId: string): void {
    this.#known.delete(endpointId);
    this.#end(endpointId);
  }

  close(): void {
    for (const endpointId of [...this.#searches.keys()]) this.#end(endpointId);
  }

  #search(endpointId: string, networkId: string): void {
    if (this.#searches.has(endpointId)) return;
    const search: Search = { networkId, asked: 0 };
    this.#searches.set(endpointId, search);
    this.#ask(endpointId, search);
  }

  #ask(endpointId: string, search: Search): void {
    if (search.asking !== undefined) return;
    clearTimeout(search.timer);
    search.asking = this.#find(endpointId, search).finally(() => {
      delete search.asking;
    });
  }

  async #find(endpointId: string, search: Search): Promise<void> {
    const found = await this.#deps.finder.find(search.networkId, endpointId, FIND_TIMEOUT_MS);
    if (this.#searches.get(endpointId) !== search) return;
    if (found !== undefined) {
      this.#searches.delete(endpointId);
      this.#take(endpointId, knownOf(found));
      return;
    }
    // Reconciliation removes records without a word to us.
    if (this.#deps.endpoints.get(endpointId) === undefined) {
      this.#searches.delete(endpointId);
      return;
    }
    // What is known stays as it is, if the engine does not tell it any more.
    if (this.#known.has(endpointId) && search.asked >= AGAIN_AFTER_MS.length) {
      this.#searches.delete(endpointId);
      return;
    }
    const waitMs = AGAIN_AFTER_MS[search.asked] ?? AGAIN_AFTER_MS.at(-1);
    search.asked += 1;
    search.timer = setTimeout(() => this.#ask(endpointId, search), waitMs);
    search.timer.unref();
  }

  #take(endpointId: string, container: KnownContainer): void {
    const { endpoints, logger } = this.#deps;
    const before = this.#known.get(endpointId);
    if (isDeepStrictEqual(before, container)) return;
    this.#known.set(endpointId, container);
    const renamed = before !== undefined && before.name !== container.name;
    const record = endpoints.get(endpointId);
    if (record !== undefined) {
      endpoints
        .put(endpointId, { ...record, container })
        .catch((err: unknown) =>
          logger.warn('the container of an endpoint could not be recorded', { endpointId, err }),
        );
    }
    logger.debug('the container of an endpoint was found', {
      endpointId,
      containerId: container.containerId,
      name: container.name,
    });
    for (const listener of this.#listeners) {
      try {
        listener(endpointId, renamed);
      } catch (err) {
        logger.error('a listener of found containers failed', { endpointId, err });
      }
    }
  }

  #end(endpointId: string): void {
    clearTimeout(this.#searches.get(endpointId)?.timer);
    this.#searches.delete(endpointId);
  }
}

/** Limits only: the rest of an environment is not ours to keep, and may be secret. */
function knownOf({ containerId, name, netAdmin, env, labels }: FoundContainer): KnownContainer {
  const pick = (from: ReadonlyMap<string, string>, keys: readonly string[]): Record<string, string> =>
    Object.fromEntries(
      keys.flatMap((key) => {
        const text = from.get(key);
        return text === undefined ? [] : [[key, keptText(text)]];
      }),
    );
  return {
    containerId,
    name,
    netAdmin,
    env: pick(env, [...LIMIT_KEYS, ...LIMIT_KEYS.map((key) => key.toUpperCase())]),
    labels: pick(
      labels,
      LIMIT_KEYS.map((key) => `${LABEL_PREFIX}${key}`),
    ),
  };
}
