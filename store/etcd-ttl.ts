/**
 * One keepalive of one TTL. etcd has only a streaming call for it; here it is one request and one answer over an
 * own short stream, so that the caller decides when, and knows whether it worked. (The npm package's own keepalive
 * loop reports a lost TTL only after twice its length.)
 *
 * @see etcd api/etcdserverpb/rpc.proto LeaseKeepAlive
 */
import type { Clock } from '../core/clock.ts';
import { notAnswered } from './etcd-errors.ts';
import type { EtcdTransport } from './etcd-transport.ts';

/**
 * @param ttlId decimal
 * @returns seconds left, 0 if the TTL is gone
 * @throws StoreUnavailable
 */
export async function keepAliveOnce(
  ttlId: string,
  timeoutMs: number,
  dependencies: { readonly transport: EtcdTransport; readonly clock: Clock },
): Promise<number> {
  const { transport, clock } = dependencies;
  const startedAt = clock.now();
  let cut = () => {};
  const open = await transport.open('Lease/leaseKeepAlive', () => cut(), timeoutMs);
  const leftMs = Math.max(0, timeoutMs - (clock.now() - startedAt));
  let suspect = false;
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<number>((resolve, reject) => {
      cut = () => reject(notAnswered(open.host, timeoutMs));
      timer = setTimeout(() => {
        suspect = true;
        cut();
      }, leftMs);
      open.stream.on('data', (answer) => resolve(Math.max(0, Number(answer.TTL))));
      open.stream.on('error', (error) => reject(open.failed(error)));
      open.stream.on('end', () => cut());
      open.stream.write({ ID: ttlId });
    });
  } finally {
    clearTimeout(timer);
    open.end(suspect);
  }
}
