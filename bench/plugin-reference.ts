/**
 * The bare outside effects of a container's life, for comparison: what etcd, disk and kernel take when asked with the
 * same client code and nothing around it.
 */
import { mkdir, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { randomId } from '../core/ids.ts';
import { silentLogger } from '../core/log.ts';
import { KernelWorker } from '../net/kernel-worker.ts';
import { KernelLinks } from '../net/links.ts';
import { EtcdKv } from '../store/etcd-kv.ts';
import type { Note } from './plugin-engine.ts';

/** What is timed, by the plugin call that it stands beside. */
export const REFERENCES: Readonly<Record<string, string>> = {
  RequestAddress: 'raw etcd put',
  CreateEndpoint: 'file written and fdatasynced',
  Join: 'raw netlink macvlan add',
  DeleteEndpoint: 'raw netlink macvlan delete',
  ReleaseAddress: 'raw etcd delete',
};

/** About what the record of an endpoint and the value of a lease hold. */
const RECORD = 'x'.repeat(400);

export interface BareEffectsOptions {
  /** `127.0.0.1:port` */
  readonly etcd: string;
  /** On the file system of the daemon's state. */
  readonly folder: string;
  readonly parent: string;
}

export class BareEffects {
  readonly kv: EtcdKv;
  readonly kernel = new KernelWorker({}, { log: silentLogger });
  readonly net = new KernelLinks(this.kernel);
  readonly #folder: string;
  readonly #parent: string;

  private constructor({ etcd, parent }: BareEffectsOptions, folder: string) {
    this.kv = new EtcdKv({ hosts: [etcd] });
    this.#folder = folder;
    this.#parent = parent;
  }

  static async open(options: BareEffectsOptions): Promise<BareEffects> {
    const folder = join(options.folder, 'reference');
    await mkdir(folder);
    return new BareEffects(options, folder);
  }

  /** The effects of one life; each is noted under the call that has it. */
  async life(note: Note): Promise<void> {
    const timed = async (name: string, work: () => Promise<unknown>): Promise<void> => {
      const start = performance.now();
      await work();
      note(name, performance.now() - start);
    };
    const id = randomId(6);
    const key = `/reference/${id}`;
    const file = join(this.#folder, id);
    const name = `rf${id}`;
    const macAddress = `02:4d:${randomId(4).replace(/..(?=.)/g, '$&:')}`;
    const link = {
      name,
      parent: this.#parent,
      mode: 'bridge',
      macAddress,
      alias: `reference:${id}`,
    } as const;
    await timed('RequestAddress', () =>
      this.kv.txn({ compare: [], success: [{ do: 'put', key, value: RECORD }] }),
    );
    await timed('CreateEndpoint', () => writeSynced(file));
    await timed('Join', () => this.net.macvlanAdd(link));
    await timed('DeleteEndpoint', () => this.net.linkDelete(name));
    await timed('ReleaseAddress', () =>
      this.kv.txn({ compare: [], success: [{ do: 'delete', range: { key } }] }),
    );
    await unlink(file);
  }

  async close(): Promise<void> {
    this.kv.close();
    await this.kernel.close();
  }
}

async function writeSynced(file: string): Promise<void> {
  const handle = await open(file, 'w', 0o600);
  try {
    await handle.writeFile(RECORD);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}
