/**
 * The lease algebra as a model that is small enough to be right by sight (a map from address to entry), and the
 * commands that fast-check runs against it and against real hosts on a real etcd at the same time.
 */
import { expect } from 'chai';
import type { AsyncCommand } from 'fast-check';
import { systemClock as clock } from '../../core/clock.ts';
import { type Deadline, deadlineAfter } from '../../core/deadline.ts';
import { DriverError } from '../../core/errors.ts';
import { type Cidr, formatIp, type IpAddress, parseIp } from '../../core/ip.ts';
import type { Choice } from '../../ipam/address/choice.ts';
import type { HeldLease } from '../../ipam/lease/lease-table.ts';
import { type IpamHost, layout } from '../support/ipam-host.ts';
import { until } from '../support/poll.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';

export interface Entry {
  /** Who uses it; absent: reserved for its name. */
  readonly user?: number;
  readonly role?: 'sticky' | 'operator';
  readonly name?: string;
}

export interface Model {
  readonly addresses: readonly string[];
  readonly entries: Map<string, Entry>;
}

export interface Real {
  readonly subnet: Cidr;
  readonly choice: Choice;
  readonly hosts: IpamHost[];
  readonly proxies: readonly TcpProxy[];
  /** Leases as they were after earlier commands, for those that come late. */
  readonly seen: { readonly host: number; readonly held: HeldLease }[];
  /** Compares everything; after each command. */
  compare(model: Model): Promise<void>;
}

export const HOSTS = [0, 1] as const;
const KEEP = { role: 'sticky', keepSeconds: 5000 } as const;
/** So long a host must wait for an answer that is lost before its connection is cut, and a bit. */
const LOST_MS = 70;

export const soon = (): Deadline => deadlineAfter(5000, clock);
const free = ({ addresses, entries }: Model): string[] => addresses.filter((one) => !entries.has(one));
export const addressOf = ({ entries }: Model, name: string): string | undefined =>
  [...entries].find(([, entry]) => entry.name === name)?.[0];

/** A command: what the real one answers must be what the model says, and then everything is compared. */
export abstract class Command implements AsyncCommand<Model, Real> {
  check(): boolean {
    return true;
  }

  async run(model: Model, real: Real): Promise<void> {
    await this.act(model, real);
    for (const host of HOSTS) {
      for (const held of hostOf(real, host).leases.list()) {
        const known = real.seen.some((one) => one.held === held);
        if (held.subnet === real.subnet && !known) real.seen.push({ host, held });
      }
    }
    await real.compare(model);
  }

  abstract act(model: Model, real: Real): Promise<void>;
  abstract toString(): string;
}

/** Commands name addresses by their place, for every run has a pool of its own. */
export function addressAt({ addresses }: Model, index: number): string {
  return addresses[index % addresses.length] ?? '';
}

export function hostOf({ hosts }: Real, index: number): IpamHost {
  const host = hosts[index];
  if (host === undefined) throw new Error(`no host ${index}`);
  return host;
}

/** The address, or the code of the refusal. */
export async function outcome(work: Promise<IpAddress>): Promise<string> {
  try {
    return formatIp(await work);
  } catch (error) {
    if (error instanceof DriverError) return error.code;
    throw error;
  }
}

/** Does something while the first answers of etcd to that host are lost. */
async function losing<T>(real: Real, host: number, lost: boolean, work: () => Promise<T>): Promise<T> {
  if (!lost) return work();
  const proxy = real.proxies[host];
  proxy?.loseAnswers(true);
  const done = work();
  await new Promise((resolve) => setTimeout(resolve, LOST_MS));
  proxy?.loseAnswers(false);
  return done;
}

export class TakeAny extends Command {
  readonly #host: number;
  readonly #lost: boolean;
  constructor(host: number, lost: boolean) {
    super();
    this.#host = host;
    this.#lost = lost;
  }
  async act(model: Model, real: Real): Promise<void> {
    const { leases } = hostOf(real, this.#host);
    const take = () => outcome(leases.takeAny(real.subnet, real.choice, soon()));
    const got = await losing(real, this.#host, this.#lost, take);
    const allowed = free(model);
    expect(allowed.length === 0 ? ['exhausted'] : allowed).to.include(got);
    if (allowed.length > 0) model.entries.set(got, { user: this.#host });
  }
  toString(): string {
    return `take any on ${this.#host}${this.#lost ? ', answer lost' : ''}`;
  }
}

export class TakeThis extends Command {
  readonly #host: number;
  readonly #address: number;
  readonly #name: string | undefined;
  readonly #lost: boolean;
  constructor(host: number, address: number, name: string | undefined, lost: boolean) {
    super();
    this.#host = host;
    this.#address = address;
    this.#name = name;
    this.#lost = lost;
  }
  async act(model: Model, real: Real): Promise<void> {
    const at = addressAt(model, this.#address);
    const { leases } = hostOf(real, this.#host);
    const address = parseIp(at);
    const take = async () => {
      await leases.takeThis(real.subnet, address, soon(), this.#name);
      return address;
    };
    const got = await losing(real, this.#host, this.#lost, () => outcome(take()));
    const there = model.entries.get(at);
    const mayHave =
      there === undefined ||
      (there.user === undefined &&
        (there.name === this.#name || (there.role === 'operator' && this.#name === undefined)));
    expect(got).to.equal(mayHave ? at : 'conflict');
    if (mayHave) model.entries.set(at, { ...there, user: this.#host });
  }
  toString(): string {
    return `take address ${this.#address} on ${this.#host} for ${this.#name}${this.#lost ? ', answer lost' : ''}`;
  }
}

export class TakeForName extends Command {
  readonly #host: number;
  readonly #name: string;
  readonly #lost: boolean;
  constructor(host: number, name: string, lost: boolean) {
    super();
    this.#host = host;
    this.#name = name;
    this.#lost = lost;
  }
  async act(model: Model, real: Real): Promise<void> {
    const { leases } = hostOf(real, this.#host);
    const take = () => outcome(leases.takeForName(real.subnet, this.#name, real.choice, KEEP, soon()));
    const got = await losing(real, this.#host, this.#lost, take);
    const address = addressOf(model, this.#name);
    const there = address === undefined ? undefined : model.entries.get(address);
    if (address === undefined || there === undefined) {
      const allowed = free(model);
      expect(allowed.length === 0 ? ['exhausted'] : allowed).to.include(got);
      if (allowed.length > 0) model.entries.set(got, { user: this.#host, role: 'sticky', name: this.#name });
      return;
    }
    const mayHave = there.user === undefined || there.user === this.#host;
    expect(got).to.equal(mayHave ? address : 'conflict');
    if (mayHave) model.entries.set(address, { ...there, user: this.#host });
  }
  toString(): string {
    return `take for ${this.#name} on ${this.#host}${this.#lost ? ', answer lost' : ''}`;
  }
}

export class Release extends Command {
  readonly #host: number;
  readonly #address: number;
  readonly #times: number;
  readonly #lost: boolean;
  constructor(host: number, address: number, times: number, lost: boolean) {
    super();
    this.#host = host;
    this.#address = address;
    this.#times = times;
    this.#lost = lost;
  }
  async act(model: Model, real: Real): Promise<void> {
    const at = addressAt(model, this.#address);
    const { leases } = hostOf(real, this.#host);
    const address = parseIp(at);
    const all = () =>
      Promise.all(Array.from({ length: this.#times }, () => leases.release(real.subnet, address)));
    await losing(real, this.#host, this.#lost, all);
    // It may have gone to disk meanwhile, and is done in the background.
    await until('the release is done', () => !leases.busy(real.subnet, address), { intervalMs: 2 });
    released(model, this.#host, at);
  }
  toString(): string {
    return `release address ${this.#address} ${this.#times} times on ${this.#host}${this.#lost ? ', answer lost' : ''}`;
  }
}

function released(model: Model, host: number, address: string): void {
  const there = model.entries.get(address);
  if (there?.user !== host) return;
  const { role, name } = there;
  if (role === undefined || name === undefined) model.entries.delete(address);
  else model.entries.set(address, { role, name });
}

/** Ends a lease as somebody has seen it some time ago; whatever has happened to it since must stay. */
export class LateRelease extends Command {
  readonly #which: number;
  constructor(which: number) {
    super();
    this.#which = which;
  }
  async act(model: Model, real: Real): Promise<void> {
    const late = real.seen[this.#which % Math.max(1, real.seen.length)];
    if (late === undefined) return;
    const { leases, kv } = hostOf(real, late.host);
    const address = formatIp(late.held.address);
    const standing = (await kv.range({ key: leaseKey(late.held) })).kvs[0];
    const ended = await leases.releaseIfUnchanged(late.held, soon());
    expect(ended).to.equal(standing?.modRevision === late.held.modRevision);
    if (ended) released(model, late.host, address);
  }
  toString(): string {
    return `late release of what was seen as number ${this.#which}`;
  }
}

function leaseKey({ subnet, address }: HeldLease): string {
  return layout.lease(subnet, address);
}
