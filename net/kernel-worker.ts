/**
 * The kernel worker thread, for the ports of this folder: hands each operation to it and gives its answer back. Must
 * not do netlink itself, nor know what an operation means.
 *
 * INVARIANTS
 * - Operations are executed one at a time; among those that wait, the higher priority goes first, and equal ones keep
 *   the order of the calls. Long ones look at what waits, and end early (net/waiting-requests.ts).
 * - A worker that dies takes the operation under way with it (its outcome is unknown; all of them are idempotent) and
 *   the next one starts a new worker. An idle worker does not keep the process alive.
 */
import { Worker } from 'node:worker_threads';
import PQueue from 'p-queue';
import { InternalError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import type { KernelOperations, OperationName } from './operations.ts';
import { WaitingRequests } from './waiting-requests.ts';
import { unpackError, type WorkerOptions, type WorkerReply, type WorkerRequest } from './worker-protocol.ts';

export interface KernelWorkerOptions {
  /** Work in this network namespace instead of the process's own, e.g. `/run/netns/lab1`. */
  readonly namespacePath?: string;
}

export interface KernelWorkerDependencies {
  readonly log: Logger;
  /** Starts the thread; replaced where a test must get hold of it. */
  readonly startWorker?: (options: WorkerOptions) => Worker;
}

/** What a container's start waits for. */
export const FIRST = 2;
/** What is done behind a start, in parts that are short. */
export const NEXT = 1;
/** What blocks in the kernel for tens of milliseconds. */
export const LAST = 0;

interface PendingRequest {
  readonly operation: OperationName;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class KernelWorker {
  readonly #options: WorkerOptions;
  readonly #waiting = new WaitingRequests();
  readonly #log: Logger;
  readonly #startWorker: (options: WorkerOptions) => Worker;
  readonly #queue = new PQueue({ concurrency: 1 });
  #running: WorkerSession | undefined;
  #closing: Promise<void> | undefined;

  constructor(
    options: KernelWorkerOptions,
    { log, startWorker = startKernelWorker }: KernelWorkerDependencies,
  ) {
    const { memory: waiting } = this.#waiting;
    const { namespacePath } = options;
    this.#options = namespacePath === undefined ? { waiting } : { namespacePath, waiting };
    this.#log = log.child({ component: 'net' });
    this.#startWorker = startWorker;
  }

  /** @throws what the operation throws; InternalError if the worker died meanwhile, or was closed before */
  async request<O extends OperationName>(
    operation: O,
    argument: KernelOperations[O]['argument'],
    priority = FIRST,
  ): Promise<KernelOperations[O]['result']> {
    if (this.#closing !== undefined)
      throw new InternalError(`${operation} was asked after the kernel worker was closed`);
    this.#waiting.add(priority);
    const result = await this.#queue.add(
      () => {
        this.#waiting.remove(priority);
        this.#running ??= this.#start();
        return this.#running.request(operation, argument);
      },
      { priority },
    );
    // The worker's handlers are typed by the same table.
    return result as KernelOperations[O]['result'];
  }

  /** Ends the thread after the work asked so far; requests after it fail with InternalError. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#queue.onIdle().then(() => this.#running?.end());
    return this.#closing;
  }

  #start(): WorkerSession {
    const session = new WorkerSession(this.#startWorker(this.#options), (reason) => {
      if (this.#running === session) this.#running = undefined;
      if (reason !== undefined) {
        this.#log.error('the kernel worker ended; the next request starts a new one', { err: reason });
      }
    });
    return session;
  }
}

/** One life of the worker thread. */
class WorkerSession {
  readonly #worker: Worker;
  readonly #pending = new Map<number, PendingRequest>();
  readonly #ended: Promise<void>;
  #lastId = 0;
  #ending = false;
  #failure: unknown;

  /** @param onEnd is told why, unless it was asked to end */
  constructor(worker: Worker, onEnd: (reason: Error | undefined) => void) {
    this.#worker = worker;
    worker.unref();
    worker.on('message', (reply: WorkerReply) => {
      this.#settle(reply);
    });
    worker.on('error', (error) => {
      this.#failure = error;
    });
    this.#ended = new Promise((resolve) => {
      worker.on('exit', (exitCode) => {
        onEnd(this.#failPending(exitCode));
        resolve();
      });
    });
  }

  request(operation: OperationName, argument: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      this.#pending.set(id, { operation, resolve, reject });
      this.#worker.ref();
      this.#post({ id, operation, argument });
    });
  }

  /** Ends the thread after all requests made so far. */
  end(): Promise<void> {
    this.#ending = true;
    this.#worker.ref();
    this.#post({ id: 0, operation: 'end' });
    return this.#ended;
  }

  #post(request: WorkerRequest): void {
    this.#worker.postMessage(request);
  }

  #settle(reply: WorkerReply): void {
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if (this.#pending.size === 0 && !this.#ending) this.#worker.unref();
    if ('error' in reply) pending?.reject(unpackError(reply.error));
    else pending?.resolve(reply.result);
  }

  #failPending(exitCode: number): Error | undefined {
    if (this.#ending && this.#pending.size === 0) return undefined;
    const reason = this.#failure instanceof Error ? this.#failure.message : `exit code ${exitCode}`;
    for (const { operation, reject } of this.#pending.values()) {
      reject(
        new InternalError(
          `the kernel worker ended during ${operation} (${reason}): its outcome is unknown, try again`,
          {
            cause: this.#failure,
          },
        ),
      );
    }
    this.#pending.clear();
    return this.#failure instanceof Error
      ? this.#failure
      : new InternalError(`the kernel worker ended: ${reason}`);
  }
}

/** Starts `net/worker`, which stands beside this file in compiled output. */
export function startKernelWorker(options: WorkerOptions): Worker {
  return new Worker(new URL('./worker.js', import.meta.url), { workerData: options, name: 'lanius-kernel' });
}
