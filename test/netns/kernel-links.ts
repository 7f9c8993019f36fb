/** What the tests of `KernelLinks` share: a fresh namespace with an uplink for each test, and the object under test. */
import type { Worker } from 'node:worker_threads';
import { expect } from 'chai';
import { silentLogger } from '../../core/log.ts';
import { KernelWorker, startKernelWorker } from '../../net/kernel-worker.ts';
import { KernelLinks } from '../../net/links.ts';
import type { MacvlanSpec } from '../../net/port.ts';
import { need } from '../support/require.ts';
import { TestNamespace } from './namespace.ts';

export const SPEC: MacvlanSpec = {
  name: 'ln0123456789ab',
  parent: 'up0',
  mode: 'bridge',
  macAddress: '02:4c:0a:00:00:07',
  alias: 'lanius:0123456789ab',
};

/** Filled anew before each test. */
export interface Bench {
  namespace: TestNamespace;
  kernel: KernelWorker;
  links: KernelLinks;
  /** The thread that `links` runs at the moment. */
  worker?: Worker;
}

/** Call inside `describe`: registers the hooks. The namespace holds `lo`, `up0` and `up1`. */
export function useKernelLinks(): Bench {
  const bench = {} as Bench;

  before(function () {
    need(this, 'root', 'netns');
  });

  beforeEach(() => {
    bench.namespace = new TestNamespace();
    bench.namespace.addUplink('up0', 'up1');
    bench.kernel = new KernelWorker(
      { namespacePath: bench.namespace.path },
      {
        log: silentLogger,
        startWorker: (options) => {
          bench.worker = startKernelWorker(options);
          return bench.worker;
        },
      },
    );
    bench.links = new KernelLinks(bench.kernel);
  });

  afterEach(async () => {
    await bench.kernel.close();
    bench.namespace.remove();
  });

  return bench;
}

/** What the work failed with; fails itself if it did not. */
export async function failure(work: Promise<unknown>): Promise<Error> {
  try {
    await work;
  } catch (error) {
    expect(error).to.be.instanceOf(Error);
    return error as Error;
  }
  throw new Error('it did not fail');
}
