/**
 * The parent's end of one host of a race: starts its process, asks it, kills it and starts it again on its state
 * folder, and writes all of that to the history. It is the host's engine, too: it shows the addresses that it was
 * answered and whose release it has not asked; what a dead process never answered it does not know.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { distFolder } from '../support/checkout.ts';
import { batched } from './batch.ts';
import type { RaceHistory } from './history.ts';
import type { FromHost, HostSetting, ToHost } from './race-messages.ts';

const alive = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

interface Open {
  readonly what: 'take' | 'release' | 'reconcile';
  readonly address?: string;
  readonly resolve: (answer: FromHost | undefined) => void;
}

export class HostProcess {
  readonly name: string;
  /** Why the race cannot go on. */
  trouble: string | undefined;
  readonly #setting: HostSetting;
  readonly #history: RaceHistory;
  /** Addresses that containers of this host have. */
  readonly #shown = new Set<string>();
  readonly #open = new Map<number, Open>();
  #child: ChildProcess | undefined;
  /** The way to it, once it is ready; what a dying process does not take is answered as lost by `stop`. */
  #serving: ((message: ToHost) => void) | undefined;
  #ready: Promise<void> = Promise.resolve();
  readonly #calls: () => number;

  /** @param calls the next number of a call, of all hosts together */
  constructor(setting: HostSetting, history: RaceHistory, calls: () => number) {
    this.name = setting.name;
    this.#setting = setting;
    this.#history = history;
    this.#calls = calls;
  }

  /** Resolves when it serves. */
  get ready(): Promise<void> {
    return this.#ready;
  }

  start(): Promise<void> {
    this.#ready = this.#start();
    return this.#ready;
  }

  /** kill -9, then a new process on the same folder. */
  restart(): Promise<void> {
    this.#ready = this.stop().then(() => this.#start());
    return this.#ready;
  }

  /** kill -9. Resolves when everything that it said before its death has been read. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#child = undefined;
    this.#serving = undefined;
    this.#history.add({ what: 'host killed', host: this.name });
    const ends: Promise<unknown>[] = [];
    if (child.exitCode === null && child.signalCode === null) ends.push(once(child, 'exit'));
    if (child.connected) ends.push(once(child, 'disconnect'));
    child.kill('SIGKILL');
    await Promise.all(ends);
    this.#lose();
  }

  /** @returns the address, or undefined if it was refused or the process died */
  async take(timeoutMs: number, address?: string): Promise<string | undefined> {
    const call = this.#calls();
    const wanted = address === undefined ? {} : { address };
    this.#history.add({ what: 'take asked', host: this.name, call, ...wanted });
    const answer = await this.#ask({ do: 'take', call, timeoutMs, ...wanted }, { what: 'take', ...wanted });
    return answer?.did === 'take' ? answer.address : undefined;
  }

  async release(address: string): Promise<void> {
    const call = this.#calls();
    this.#shown.delete(address);
    this.#history.add({ what: 'release asked', host: this.name, call, address });
    await this.#ask({ do: 'release', call, address }, { what: 'release', address });
  }

  note(address: string): void {
    this.#serving?.({ do: 'note', address });
  }

  async reconcile(): Promise<void> {
    await this.#ask({ do: 'reconcile', call: this.#calls() }, { what: 'reconcile' });
  }

  async #start(): Promise<void> {
    const child = fork(`${distFolder}/test/race/race-host.js`, [JSON.stringify(this.#setting)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      execArgv: [], // reading source maps is most of a start
    });
    alive.add(child);
    this.#child = child;
    await new Promise<void>((resolve) => {
      child.once('exit', (code, signal) => {
        alive.delete(child);
        if (this.#child === child) this.trouble = `${this.name} ended by itself: ${code ?? signal}`;
        resolve();
      });
      const send = batched((batch: readonly ToHost[]) => child.send(batch, () => {}));
      child.on('message', (batch: readonly FromHost[]) => {
        for (const message of batch) {
          if (message.did !== 'ready') this.#hear(message, send);
          else {
            this.#serving = send;
            this.#history.add({ what: 'host ready', host: this.name });
            resolve();
          }
        }
      });
    });
  }

  /** @returns undefined if no process serves, or it dies before it answers */
  #ask(
    message: ToHost & { readonly call: number },
    its: Omit<Open, 'resolve'>,
  ): Promise<FromHost | undefined> {
    return new Promise((resolve) => {
      this.#open.set(message.call, { ...its, resolve });
      if (this.#serving === undefined) this.#lose();
      else this.#serving(message);
    });
  }

  #lose(): void {
    for (const [call, { what, address, resolve }] of this.#open) {
      const its = { host: this.name, call, ...(address === undefined ? {} : { address }) };
      if (what !== 'reconcile') this.#history.add({ what: `${what} lost`, ...its });
      resolve(undefined);
    }
    this.#open.clear();
  }

  #hear(message: Exclude<FromHost, { did: 'ready' }>, send: (message: ToHost) => void): void {
    if (message.did === 'show') {
      send({ do: 'shown', call: message.call, addresses: [...this.#shown] });
      return;
    }
    const open = this.#open.get(message.call);
    this.#open.delete(message.call);
    this.#write(open, message);
    open?.resolve(message);
  }

  #write(open: Open | undefined, message: Exclude<FromHost, { did: 'ready' | 'show' }>): void {
    const { call } = message;
    const host = this.name;
    if (message.did === 'take') {
      this.#shown.add(message.address);
      this.#history.add({ what: 'take answered', host, call, address: message.address });
    } else if (message.did === 'release') {
      this.#history.add({ what: 'release answered', host, call, address: open?.address ?? '' });
    } else if (message.did === 'refuse' && open?.what === 'take') {
      const { reason, unknown } = message;
      this.#history.add({ what: 'take refused', host, call, reason, unknown });
    }
  }
}
