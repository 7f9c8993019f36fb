/**
 * One endpoint's link in its sandbox, and the settings that are kept in force there. Told by links/sandbox-keeper.ts
 * what happens; looks and applies by itself.
 *
 * INVARIANTS
 * - At most one application at a time; what is asked meanwhile is done in one more.
 * - Nothing is applied before the link is up with its address: setting MAC, address or flags wipes neighbours.
 * - What fails is logged when its reason changes, kept, and tried again with growing pauses, until the end.
 * - A container that breaks its settings again and again gets them back at a bounded rate.
 */
import type { Clock } from '../core/clock.ts';
import { type DriverError, toDriverError } from '../core/errors.ts';
import { linkAliasOf } from '../core/ids.ts';
import type { Logger } from '../core/log.ts';
import type { LinkInSandbox } from '../net/sandbox-look.ts';
import type { SandboxPort } from '../net/sandbox-port.ts';
import type { EndpointRecord, NetworkRecord } from '../store/host-records.ts';
import { Announcement } from './announcement.ts';
import type { Occasion, SandboxLink, SandboxSetting } from './sandbox-setting.ts';

const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 60_000;
/** So many applications in a minute are ordinary; more are spread. */
const OFTEN_PER_MINUTE = 20;
const SPREAD_MS = 5000;
const MERGE_MS = 20;
/** Between two changes of what is wished: each new token bucket drops what waits in the old one. */
const WISH_PAUSE_MS = 1000;

export interface KeptSandboxDependencies {
  readonly settings: readonly SandboxSetting[];
  readonly sandboxes: SandboxPort;
  readonly networks: { get(id: string): NetworkRecord | undefined };
  readonly counters: SandboxCounters;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Since the daemon's start. */
export interface SandboxCounters {
  /** Links that were seen to arrive. */
  arrived: number;
  /** Times that settings were put in force, or found so. */
  applied: number;
  /** Settings that something other than the kernel had broken. */
  mended: number;
  failed: number;
  /** Times that events were lost. */
  resyncs: number;
}

/** For `lanius doctor`. */
export interface SandboxState {
  readonly endpointId: string;
  /** Its link is there, up and with its address. */
  readonly ready: boolean;
  /** By setting: what is in force. */
  readonly inForce: ReadonlyMap<string, string>;
  /** By setting: why it is not. */
  readonly problems: ReadonlyMap<string, DriverError>;
}

export class KeptSandbox {
  readonly endpoint: EndpointRecord & { readonly sandboxKey: string };
  /** Where events place the link. */
  place: { readonly nsid: number; readonly linkIndex: number } | undefined;
  readonly #deps: KeptSandboxDependencies;
  readonly #logger: Logger;
  readonly #inForce = new Map<string, string>();
  readonly #problems = new Map<string, DriverError>();
  readonly #recent: number[] = [];
  #announcement: Announcement | undefined;
  /** It joined in this life of the daemon, or its link was lost, and has not been seen in the sandbox since. */
  #expected: boolean;
  /** Of the link that was ready last. */
  #linkIndex: number | undefined;
  /** When events first placed it in its sandbox, and first said that it is up there. */
  #heardAt: number | undefined;
  #upAt: number | undefined;
  #wasDown = false;
  /** Everything was in force after the last application, and nothing has happened since. */
  #settled = false;
  #ready = false;
  #pending: Occasion | undefined;
  #running: Promise<void> | undefined;
  #timer: { readonly handle: NodeJS.Timeout; readonly at: number } | undefined;
  #requiredPending = false;
  #retryMs = FIRST_RETRY_MS;
  #wishedAt = Number.NEGATIVE_INFINITY;
  /** What is applied next was asked for by us. */
  #ownDeed = false;
  #closed = false;

  /** @param expected it joins just now; false: it may have been there for long */
  constructor(
    endpoint: EndpointRecord & { readonly sandboxKey: string },
    expected: boolean,
    deps: KeptSandboxDependencies,
  ) {
    this.endpoint = endpoint;
    this.#expected = expected;
    this.#deps = deps;
    this.#logger = deps.logger.child({ endpointId: endpoint.endpointId, sandboxKey: endpoint.sandboxKey });
  }

  get state(): SandboxState {
    const { endpointId } = this.endpoint;
    return { endpointId, ready: this.#ready, inForce: this.#inForce, problems: this.#problems };
  }

  /** It has been seen in the sandbox, ready. */
  get arrived(): boolean {
    return !this.#expected;
  }

  /** The kernel tells where the link is now; undefined: neither there nor known elsewhere. */
  moved(place: { readonly nsid: number; readonly linkIndex: number } | undefined): void {
    this.place = place;
    this.#settled = false;
    this.#ready = false;
    // Deleted with its parent, not taken away: what comes in its place is another link.
    if (place === undefined) this.#expected = true;
    if (place !== undefined) this.#heardAt ??= this.#deps.clock.now();
  }

  /** The kernel tells that something about the link in its sandbox has changed, or was set again. */
  changed(place: { readonly nsid: number; readonly linkIndex: number }, up: boolean): void {
    this.place = place;
    this.#heardAt ??= this.#deps.clock.now();
    if (up) this.#upAt ??= this.#deps.clock.now();
    if (!up) this.#settled = false;
    else if (this.#wasDown) this.ask('up');
    // Some of these come several at once, when the carrier is there.
    else this.ask('neighbours-lost', this.#expected ? 0 : MERGE_MS);
    this.#wasDown = !up;
  }

  /** Applies soon. Never throws. @param delayMs for what comes in swarms */
  ask(occasion: Occasion, delayMs = 0): void {
    if (this.#closed) return;
    if (occasion !== 'check') this.#settled = false;
    this.#pending = strongest(this.#pending, occasion);
    this.#schedule(Math.max(delayMs, this.#restMs()));
  }

  /**
   * What a setting rests on has changed: applies at once, and where that comes again and again, at most once a second with
   * the last word. Not counted among what the container does.
   */
  changedWish(): void {
    if (this.#closed) return;
    this.#settled = false;
    this.#ownDeed = true;
    this.#pending = strongest(this.#pending, 'check');
    this.#schedule(Math.max(0, this.#wishedAt + WISH_PAUSE_MS - this.#deps.clock.now()));
    this.#wishedAt = Math.max(this.#wishedAt, this.#deps.clock.now());
  }

  /** Applies at once unless all is in force. @throws why a required setting is not */
  async program(): Promise<void> {
    await this.#running;
    if (!this.#settled || this.#pending !== undefined) {
      this.#pending = strongest(this.#pending, 'check');
      clearTimeout(this.#timer?.handle);
      this.#timer = undefined;
      await this.#run();
    }
    this.checkRequired();
  }

  /** What must be in force is not, or is not known to be: an application is under way. */
  get requiredPending(): boolean {
    return this.#requiredPending;
  }

  /** @throws why a required setting is not in force */
  checkRequired(): void {
    const required = this.#deps.settings.filter((setting) => setting.required).map(({ name }) => name);
    for (const name of required) {
      const problem = this.#problems.get(name) ?? this.#problems.get('look');
      if (problem !== undefined) throw problem;
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer?.handle);
    this.#announcement?.close();
  }

  #schedule(delayMs: number): void {
    const at = this.#deps.clock.now() + delayMs;
    if (this.#timer !== undefined && this.#timer.at <= at) return;
    clearTimeout(this.#timer?.handle);
    if (delayMs === 0) {
      this.#timer = undefined;
      void this.#run();
      return;
    }
    const handle = setTimeout(() => {
      this.#timer = undefined;
      void this.#run();
    }, delayMs).unref();
    this.#timer = { handle, at };
  }

  /** Never rejects. */
  #run(): Promise<void> {
    this.#running ??= this.#work().finally(() => {
      this.#running = undefined;
      // Asked between the last look at it and now.
      if (this.#pending !== undefined && this.#timer === undefined && !this.#closed) void this.#run();
    });
    return this.#running;
  }

  async #work(): Promise<void> {
    while (this.#pending !== undefined && !this.#closed) {
      // What waits is to be done later.
      if (this.#timer !== undefined) return;
      const occasion = this.#pending;
      this.#pending = undefined;
      await this.#applyAll(occasion);
    }
  }

  async #applyAll(asked: Occasion): Promise<void> {
    this.#requiredPending = true;
    await this.#lookAndApply(asked).finally(() => {
      this.#requiredPending = false;
    });
  }

  async #lookAndApply(asked: Occasion): Promise<void> {
    const { sandboxes, networks, counters } = this.#deps;
    const { endpointId, networkId, sandboxKey: namespacePath } = this.endpoint;
    const network = networks.get(networkId);
    const found = await sandboxes
      .look({
        namespacePath,
        alias: linkAliasOf(endpointId),
        macAddress: this.endpoint.macAddress.toLowerCase(),
        ...(this.#linkIndex === undefined ? {} : { linkIndex: this.#linkIndex }),
      })
      .catch((error: unknown) => this.#failed('look', error, asked));
    if (found === 'failed' || this.#closed || network === undefined) return;
    this.#problems.delete('look');
    this.#ready = found !== undefined && isReady(found, this.endpoint);
    if (found?.nsid !== undefined) this.place = { nsid: found.nsid, linkIndex: found.link.linkIndex };
    if (!this.#ready || found === undefined) return this.#inForce.clear();

    if (this.#linkIndex !== undefined && this.#linkIndex !== found.link.linkIndex) this.#expected = true;
    this.#linkIndex = found.link.linkIndex;
    const occasion = this.#expected ? 'arrived' : asked;
    const announcement = this.#expected ? this.#arrive(found) : undefined;
    if (!this.#ownDeed) this.#recent.push(this.#deps.clock.now());
    this.#ownDeed = false;
    this.#settled = true;
    const { name, linkIndex, mtuBytes } = found.link;
    const link = { endpoint: this.endpoint, network, namespacePath, name, linkIndex, mtuBytes };
    await this.#applyTo(link, occasion);
    // Behind the settings: a start waits for those, and for nobody who is told.
    if (!this.#closed) announcement?.start();
    if (this.#problems.size > 0) this.#settled = false;
    else this.#retryMs = FIRST_RETRY_MS;
    counters.applied++;
    this.#tellTime(occasion);
  }

  async #applyTo(link: SandboxLink, occasion: Occasion): Promise<void> {
    const isOurLoss = occasion === 'check' || occasion === 'neighbours-lost';
    // Those that a start cannot do without go first.
    const inTurn = this.#deps.settings.toSorted((a, b) => Number(b.required) - Number(a.required));
    for (const setting of inTurn) {
      if (!setting.required) this.#requiredPending = false;
      const mended = (what: string): void => {
        if (!isOurLoss || this.#closed) return;
        this.#deps.counters.mended++;
        this.#logger.warn('a setting in a sandbox was broken; it is mended', { setting: setting.name, what });
      };
      const outcome = await setting
        .apply(link, occasion, mended)
        .catch((error: unknown) => this.#failed(setting.name, error, occasion));
      if (this.#closed) return;
      if (outcome === 'failed') continue;
      if (outcome === undefined) this.#inForce.delete(setting.name);
      else this.#inForce.set(setting.name, outcome);
      if (this.#problems.delete(setting.name)) {
        this.#logger.info('a setting in a sandbox is in force again', { setting: setting.name });
      }
    }
  }

  /** @returns to be started when the settings are in force */
  #arrive({ link }: LinkInSandbox): Announcement {
    const { counters, sandboxes } = this.#deps;
    this.#expected = false;
    counters.arrived++;
    this.#announcement?.close();
    this.#announcement = new Announcement(this.endpoint, link, { sandboxes, logger: this.#logger });
    return this.#announcement;
  }

  #failed(setting: string, error: unknown, occasion: Occasion): 'failed' {
    if (this.#closed) return 'failed';
    const problem = toDriverError(error);
    if (this.#problems.get(setting)?.message !== problem.message) {
      this.#logger.warn('a setting in a sandbox cannot be put in force; it is tried again', {
        setting,
        err: problem,
      });
    }
    this.#problems.set(setting, problem);
    this.#inForce.delete(setting);
    this.#deps.counters.failed++;
    this.#pending = strongest(this.#pending, occasion);
    this.#schedule(this.#retryMs);
    this.#retryMs = Math.min(2 * this.#retryMs, LONGEST_RETRY_MS);
    return 'failed';
  }

  /** How long to wait before the next application, so that a container cannot keep the kernel worker busy. */
  #restMs(): number {
    const since = this.#deps.clock.now() - 60_000;
    while (this.#recent[0] !== undefined && this.#recent[0] < since) this.#recent.shift();
    return this.#recent.length > OFTEN_PER_MINUTE ? SPREAD_MS : 0;
  }

  #tellTime(occasion: Occasion): void {
    if (occasion !== 'arrived') return;
    const now = this.#deps.clock.now();
    const since = (from = now): number => Math.round(10 * (now - from)) / 10;
    this.#logger.debug('the settings of a sandbox are in force', {
      durationMs: since(this.#upAt),
      sinceMoveMs: since(this.#heardAt),
      settings: Object.fromEntries(this.#inForce),
    });
  }
}

const STRENGTH: Readonly<Record<Occasion, number>> = { check: 0, 'neighbours-lost': 1, up: 2, arrived: 3 };

function strongest(one: Occasion | undefined, other: Occasion): Occasion {
  return one !== undefined && STRENGTH[one] > STRENGTH[other] ? one : other;
}

/** Up, and with an address of the family that the endpoint has first. */
function isReady({ link, hasIpv4, hasIpv6 }: LinkInSandbox, endpoint: EndpointRecord): boolean {
  if (!link.up) return false;
  return endpoint.address === undefined ? hasIpv6 : hasIpv4;
}
