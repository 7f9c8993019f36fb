/** The etcd of the lab, on the machine outside the others; its data survive stop and kill, until the lab is made anew. */
import { labScript } from './checkout.ts';
import type { Place } from './ping.ts';
import { runOk } from './run.ts';

export interface LabEtcdOptions {
  /** No sync to disk: quicker; not for measurements, nor for tests that cut its power. */
  readonly unsafeNoFsync?: boolean;
}

export class LabEtcd {
  /** Reachable from every machine. */
  readonly endpoint = 'http://10.77.0.2:2379';
  readonly #flags: readonly string[];
  readonly #outside: Place;

  constructor(options: LabEtcdOptions, dependencies: { readonly outside: Place }) {
    this.#flags = options.unsafeNoFsync === true ? ['--unsafe-no-fsync'] : [];
    this.#outside = dependencies.outside;
  }

  /** Starts it, or thaws nothing: idempotent while it runs. Resolves when it answers. */
  start(): Promise<string> {
    return runOk([labScript('etcd-up'), ...this.#flags]);
  }

  /** Ends it in order. Idempotent. */
  stop(): Promise<string> {
    return runOk([labScript('etcd-down'), 'TERM']);
  }

  /** Ends it with SIGKILL. Idempotent. */
  kill(): Promise<string> {
    return runOk([labScript('etcd-down'), 'KILL']);
  }

  /** It keeps its connections but answers nothing, until `thaw`. */
  freeze(): Promise<string> {
    return runOk([labScript('etcd-down'), 'STOP']);
  }

  thaw(): Promise<string> {
    return runOk([labScript('etcd-down'), 'CONT']);
  }

  /** `etcdctl ARGS`; resolves to its stdout. */
  ctl(...args: readonly string[]): Promise<string> {
    return runOk(this.#outside.command(['etcdctl', `--endpoints=${this.endpoint}`, ...args]), {
      env: { ETCDCTL_API: '3' },
    });
  }

  /** One transaction of `put KEY "VALUE"` lines, at most 128. @see etcdctl txn, which reads commands from stdin */
  txn(puts: readonly string[]): Promise<string> {
    return runOk(this.#outside.command(['etcdctl', `--endpoints=${this.endpoint}`, 'txn']), {
      env: { ETCDCTL_API: '3' },
      input: `\n${puts.join('\n')}\n\n\n`,
    });
  }
}
