/**
 * The Docker engine of this host behind engine/port.ts.
 *
 * Must not: ask for `/containers/{id}/json` (the engine holds that container's lock while it waits for our
 * answer, so the two would wait for each other for ever); retry a call (the caller's deadline is short).
 * @see Docker Engine API: NetworkList, NetworkInspect, ContainerList, SystemVersion, SystemInfo
 */
import PQueue from 'p-queue';
import { z } from 'zod';
import { EngineUnavailable } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import { EngineHttp } from './engine-http.ts';
import {
  containerReply,
  infoReply,
  namedReply,
  networkReply,
  toContainer,
  toNetwork,
  versionReply,
} from './engine-replies.ts';
import { followEngine } from './follow-engine.ts';
import type { EngineContainer, EngineEvents, EngineNetwork, EnginePort } from './port.ts';

const INSPECTIONS_AT_ONCE = 8;
/** Drivers of the networks that an engine makes at each start and lets nobody remove. @see moby daemon/daemon_unix.go initNetworkController() */
const OF_EVERY_ENGINE = ['host', 'null'];

export interface DockerEngineOptions {
  /** Path of the engine's API socket. */
  readonly socketPath: string;
  /** Networks with this driver or IPAM driver are ours. */
  readonly driverName: string;
}

export class DockerEngine implements EnginePort {
  readonly #options: DockerEngineOptions;
  readonly #logger: Logger;
  readonly #http: EngineHttp;

  constructor(options: DockerEngineOptions, deps: { readonly logger: Logger }) {
    this.#options = options;
    this.#logger = deps.logger.child({ component: 'engine' });
    this.#http = new EngineHttp(options.socketPath);
  }

  async version(timeoutMs: number): Promise<{ readonly version: string; readonly apiVersion: string }> {
    const reply = await this.#get('/version', versionReply, timeoutMs);
    return { version: reply?.Version ?? '', apiVersion: reply?.ApiVersion ?? '' };
  }

  /** The list carries no endpoints, so each network of ours is inspected, some at a time; each has `timeoutMs`. */
  async networks(timeoutMs: number): Promise<EngineNetwork[]> {
    const list = await this.#list('/networks', networkReply, timeoutMs);
    // An engine without these is not done starting, or is not what it seems; that ours are missing then means nothing.
    if (!list.some(({ Driver }) => OF_EVERY_ENGINE.includes(Driver))) {
      throw new EngineUnavailable(
        `the Docker Engine API at ${this.#options.socketPath} shows not even the networks "host" and "none": ` +
          'is dockerd still starting?',
      );
    }
    const ours = list.filter(
      ({ Driver, IPAM }) => Driver === this.#options.driverName || IPAM?.Driver === this.#options.driverName,
    );
    const inspections = new PQueue({ concurrency: INSPECTIONS_AT_ONCE });
    const found = await inspections.addAll(
      ours.map(
        ({ Id }) =>
          () =>
            this.network(Id, timeoutMs),
      ),
    );
    return found.filter((network) => network !== undefined);
  }

  async network(networkId: string, timeoutMs: number): Promise<EngineNetwork | undefined> {
    const path = `/networks/${encodeURIComponent(networkId)}`;
    const reply = await this.#get(path, networkReply, timeoutMs);
    return reply === undefined ? undefined : toNetwork(reply);
  }

  async containers(timeoutMs: number): Promise<EngineContainer[]> {
    const list = await this.#list('/containers/json?all=1', containerReply, timeoutMs);
    return list.map(toContainer);
  }

  /** The filter is a list of expressions; the answer may hold containers that are linked to one of the names. */
  async containerIds(names: readonly string[], timeoutMs: number): Promise<ReadonlyMap<string, string>> {
    if (names.length === 0) return new Map();
    const name = names.map((one) => `^/${one.replaceAll('.', '\\.')}$`);
    const filters = encodeURIComponent(JSON.stringify({ name }));
    const list = await this.#list(`/containers/json?all=1&filters=${filters}`, namedReply, timeoutMs);
    const wanted = new Set(names.map((one) => `/${one}`));
    return new Map(
      list.flatMap(({ Id, Names }) =>
        (Names ?? []).filter((one) => wanted.has(one)).map((one): [string, string] => [one.slice(1), Id]),
      ),
    );
  }

  async dataRoot(timeoutMs: number): Promise<string> {
    const reply = await this.#get('/info', infoReply, timeoutMs);
    const folder = reply?.DockerRootDir ?? '';
    if (folder.startsWith('/')) return folder;
    throw new EngineUnavailable(
      `the Docker Engine API at ${this.#options.socketPath} does not say where its data is (GET /info): is it dockerd?`,
    );
  }

  follow(events: EngineEvents): { close(): void } {
    return followEngine(this.#http, events, this.#logger);
  }

  /** "Not found" is no empty list. */
  async #list<T>(path: string, schema: z.ZodType<T>, timeoutMs: number): Promise<T[]> {
    const reply = await this.#get(path, z.array(schema), timeoutMs);
    if (reply !== undefined) return reply;
    throw new EngineUnavailable(
      `the Docker Engine API at ${this.#options.socketPath} does not know GET ${path}: does dockerd listen there?`,
    );
  }

  async #get<T>(path: string, schema: z.ZodType<T>, timeoutMs: number): Promise<T | undefined> {
    const reply = await this.#http.get(path, timeoutMs);
    if (reply === undefined) return undefined;
    const parsed = schema.safeParse(reply);
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    throw new EngineUnavailable(
      `the Docker Engine API at ${this.#options.socketPath} answered GET ${path} in a shape that Lanius does not know: ` +
        `${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`,
      { cause: parsed.error },
    );
  }
}
