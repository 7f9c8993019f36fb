/**
 * What etcd itself counted: requests it has answered, and who wrote a key when. The proof of what a container costs.
 * @see etcd "Metrics": grpc_server_handled_total; go-grpc-prometheus
 */
import type { Lab } from './lab.ts';
import { runOk } from './run.ts';

export interface EtcdCount {
  /** Transactions, nested ones not counted. */
  readonly txn: number;
  readonly range: number;
}

/** Since etcd's start. */
export async function etcdCount(lab: Lab): Promise<EtcdCount> {
  const script = `fetch('${lab.etcd.endpoint}/metrics').then((r) => r.text()).then((t) => process.stdout.write(t))`;
  const text = await runOk(lab.outside.command([process.execPath, '-e', script]));
  const sum = (method: string): number =>
    text
      .split('\n')
      .filter(
        (line) => line.startsWith('grpc_server_handled_total{') && line.includes(`grpc_method="${method}"`),
      )
      .reduce((total, line) => total + Number(line.split(' ').at(-1)), 0);
  return { txn: sum('Txn'), range: sum('Range') };
}

export interface WrittenKey {
  readonly key: string;
  readonly createRevision: number;
  readonly modRevision: number;
  /** How often it was written since it was made. */
  readonly version: number;
}

/** Keys under a prefix as etcd has them now. */
export async function writtenKeys(lab: Lab, prefix: string): Promise<WrittenKey[]> {
  const answer: unknown = JSON.parse(await lab.etcd.ctl('get', '--prefix', '-w', 'json', prefix));
  const { kvs = [] } = answer as {
    kvs?: { key: string; create_revision: number; mod_revision: number; version: number }[];
  };
  return kvs.map((kv) => ({
    key: Buffer.from(kv.key, 'base64').toString('utf8'),
    createRevision: kv.create_revision,
    modRevision: kv.mod_revision,
    version: kv.version,
  }));
}
