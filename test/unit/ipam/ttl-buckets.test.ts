import { expect } from 'chai';
import { StoreUnavailable } from '../../../core/errors.ts';
import { TtlBuckets } from '../../../ipam/commit/ttl-buckets.ts';
import type { KvPort } from '../../../store/kv.ts';

function buckets() {
  const state = { nowMs: 0, granted: [] as number[], away: false };
  const ttlGrant: KvPort['ttlGrant'] = async (seconds) => {
    if (state.away) throw new StoreUnavailable('etcd is away');
    state.granted.push(seconds);
    return String(state.granted.length);
  };
  const never = () => expect.fail('only grants are asked for');
  const kv: KvPort = {
    ttlGrant,
    range: never,
    txn: never,
    ttlKeepAlive: never,
    ttlRevoke: never,
    watch: never,
    status: never,
    close: never,
  };
  const clock = { now: () => state.nowMs, wall: () => state.nowMs };
  return { state, ttls: new TtlBuckets({ kv, clock }) };
}

describe('ipam/ttl-buckets', () => {
  it('shares a TTL for a while, and no longer than it lives long enough for', async () => {
    const { state, ttls } = buckets();
    expect(await Promise.all([ttls.ttl(60), ttls.ttl(60)])).to.deep.equal(['1', '1']);
    state.nowMs = 7999;
    expect(await ttls.ttl(60)).to.equal('1');
    state.nowMs = 8000;
    expect(await ttls.ttl(60)).to.equal('2');
    expect(await ttls.ttl(10)).to.equal('3');
    expect(state.granted).to.deep.equal([68, 68, 15]);
  });

  it('asks again after a grant that failed, and for a TTL that is gone', async () => {
    const { state, ttls } = buckets();
    state.away = true;
    const refused = await ttls.ttl(60).catch((error: unknown) => error);
    expect(refused).to.be.instanceOf(StoreUnavailable);
    state.away = false;
    expect(await ttls.ttl(60)).to.equal('1');
    await ttls.forget('7');
    expect(await ttls.ttl(60)).to.equal('1');
    await ttls.forget('1');
    expect(await ttls.ttl(60)).to.equal('2');
  });
});
