/** More commands of lease-commands.ts: what operators and accidents do. */
import { expect } from 'chai';
import { systemClock as clock } from '../../core/clock.ts';
import { formatIp, parseIp } from '../../core/ip.ts';
import { Reservations } from '../../ipam/people/reservations.ts';
import { IpamHost, layout } from '../support/ipam-host.ts';
import {
  addressAt,
  addressOf,
  Command,
  hostOf,
  type Model,
  outcome,
  type Real,
  soon,
} from './lease-commands.ts';

export class Reserve extends Command {
  readonly #host: number;
  readonly #address: number;
  readonly #name: string;
  constructor(host: number, address: number, name: string) {
    super();
    this.#host = host;
    this.#address = address;
    this.#name = name;
  }
  async act(model: Model, real: Real): Promise<void> {
    const at = addressAt(model, this.#address);
    const reserve = async () => {
      await reservations(hostOf(real, this.#host)).reserve(undefined, at, this.#name, soon());
      return parseIp(at);
    };
    const there = model.entries.get(at);
    const elsewhere = addressOf(model, this.#name) ?? at;
    const refused = (there?.name ?? this.#name) !== this.#name || elsewhere !== at;
    expect(await outcome(reserve())).to.equal(refused ? 'conflict' : at);
    if (!refused) model.entries.set(at, { ...there, role: 'operator', name: this.#name });
  }
  toString(): string {
    return `reserve address ${this.#address} for ${this.#name} on ${this.#host}`;
  }
}

export class Unreserve extends Command {
  readonly #host: number;
  readonly #address: number;
  constructor(host: number, address: number) {
    super();
    this.#host = host;
    this.#address = address;
  }
  async act(model: Model, real: Real): Promise<void> {
    const at = addressAt(model, this.#address);
    await reservations(hostOf(real, this.#host)).unreserve(undefined, at, soon());
    const user = model.entries.get(at)?.user;
    if (user === undefined) model.entries.delete(at);
    else model.entries.set(at, { user });
  }
  toString(): string {
    return `unreserve address ${this.#address} on ${this.#host}`;
  }
}

/** kill -9 and a successor on the same folder; what was on its way then, and nobody knows, is freed by a look. */
export class Crash extends Command {
  readonly #host: number;
  readonly #taking: boolean;
  constructor(host: number, taking: boolean) {
    super();
    this.#host = host;
    this.#taking = taking;
  }
  async act(model: Model, real: Real): Promise<void> {
    const host = hostOf(real, this.#host);
    if (this.#taking) host.leases.takeAny(real.subnet, real.choice, soon()).catch(() => {});
    host.abandon();
    const { stateDir } = host;
    const etcd = real.proxies[this.#host]?.host ?? '';
    const next = await IpamHost.start({ etcd, name: `model-${this.#host}`, stateDir });
    real.hosts[this.#host] = next;
    for (const held of await next.leases.read()) {
      const known = model.entries.get(formatIp(held.address))?.user === this.#host;
      if (held.subnet.base === real.subnet.base && !known) await next.leases.releaseIfUnchanged(held, soon());
    }
  }
  toString(): string {
    return `crash of ${this.#host}${this.#taking ? ' that takes an address' : ''}`;
  }
}

function reservations({ kv, committer, session }: IpamHost): Reservations {
  const { host, instance } = session;
  return new Reservations({ host, instance, bootId: 'boot' }, { kv, layout, committer, clock });
}
