/** The hosts of a suite: one real etcd for all of its tests, and no host left after each. */
import { EtcdProcess } from './etcd-process.ts';
import { IpamHost, type IpamHostOptions, layout } from './ipam-host.ts';
import { need } from './require.ts';

export interface SuiteHostsOptions {
  /** After each test etcd is emptied, too: operators' pools stay until they are removed. */
  readonly empty?: boolean;
}

export class SuiteHosts {
  readonly #options: SuiteHostsOptions;
  #etcd: EtcdProcess | undefined;
  #hosts: IpamHost[] = [];

  constructor(options: SuiteHostsOptions) {
    this.#options = options;
  }

  get etcd(): EtcdProcess {
    if (this.#etcd === undefined) throw new Error('etcd runs from the suite’s first hook on');
    return this.#etcd;
  }

  async start(name: string, options: Partial<IpamHostOptions> = {}): Promise<IpamHost> {
    const host = await IpamHost.start({ etcd: this.etcd.host, name, ...options });
    this.#hosts.push(host);
    return host;
  }

  /** As after kill -9; its folder is its successor's. */
  abandon(host: IpamHost): void {
    host.abandon();
    this.#hosts = this.#hosts.filter((other) => other !== host);
  }

  async begin(): Promise<void> {
    this.#etcd = await EtcdProcess.start();
  }

  /** Also within a test, e.g. before a proxy is closed. */
  async stop(): Promise<void> {
    const everything = { do: 'delete', range: { prefix: layout.prefix } } as const;
    if (this.#options.empty === true) await this.#hosts[0]?.kv.txn({ compare: [], success: [everything] });
    for (const host of this.#hosts.splice(0)) await host.stop();
  }

  async end(): Promise<void> {
    await this.#etcd?.stop();
  }
}

/** To be called in `describe`: adds the hooks. */
export function suiteHosts(options: SuiteHostsOptions = {}): SuiteHosts {
  const hosts = new SuiteHosts(options);
  before(async function () {
    need(this, 'etcd');
    await hosts.begin();
  });
  after(() => hosts.end());
  afterEach(() => hosts.stop());
  return hosts;
}
