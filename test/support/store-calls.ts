/** A store of which some calls are replaced: for failures that no real etcd can be made to have. */
import type { KvPort } from '../../store/kv.ts';

export function withCalls(kv: KvPort, calls: Partial<KvPort>): KvPort {
  return {
    range: (...given) => kv.range(...given),
    txn: (...given) => kv.txn(...given),
    ttlGrant: (...given) => kv.ttlGrant(...given),
    ttlKeepAlive: (...given) => kv.ttlKeepAlive(...given),
    ttlRevoke: (...given) => kv.ttlRevoke(...given),
    watch: (...given) => kv.watch(...given),
    status: (...given) => kv.status(...given),
    close: () => kv.close(),
    ...calls,
  };
}
