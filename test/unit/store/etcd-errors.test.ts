import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { InternalError, NotFound, StoreUnavailable } from '../../../core/errors.ts';
import { answeredWithError } from '../../../store/etcd-errors.ts';

describe('store/etcd-errors', () => {
  const of = (code: number, details: string) =>
    answeredWithError({ code, details }, '10.0.0.1:2379', 'KV/txn');

  it('calls only what etcd surely refused known', () => {
    const cases: [number, string, boolean][] = [
      [status.RESOURCE_EXHAUSTED, 'etcdserver: mvcc: database space exceeded', false],
      [status.RESOURCE_EXHAUSTED, 'etcdserver: too many requests', false],
      [status.RESOURCE_EXHAUSTED, 'Received message larger than max', true],
      [status.UNAUTHENTICATED, 'etcdserver: invalid auth token', false],
      [status.PERMISSION_DENIED, 'etcdserver: permission denied', false],
      [status.INVALID_ARGUMENT, 'etcdserver: user name is empty', false],
      [status.UNAVAILABLE, 'etcdserver: request timed out, possibly due to previous leader failure', true],
      [status.UNAVAILABLE, 'etcdserver: leader changed', true],
      [status.UNAVAILABLE, 'Connection dropped', true],
      [status.DEADLINE_EXCEEDED, 'context deadline exceeded', true],
      [status.CANCELLED, 'Call cancelled', true],
      [status.INTERNAL, 'Received RST_STREAM', true],
      [status.UNKNOWN, 'anything', true],
      [status.ABORTED, 'anything', true],
    ];
    for (const [code, details, unknown] of cases) {
      expect(of(code, details), details)
        .to.be.instanceOf(StoreUnavailable)
        .with.property('outcomeUnknown', unknown);
    }
  });

  it('calls a malformed request a bug, and a TTL that is gone not found', () => {
    expect(of(status.INVALID_ARGUMENT, 'etcdserver: duplicate key given in txn request')).to.be.instanceOf(
      InternalError,
    );
    expect(of(status.INVALID_ARGUMENT, 'etcdserver: too many operations in txn request')).to.be.instanceOf(
      InternalError,
    );
    expect(of(status.NOT_FOUND, 'etcdserver: requested lease not found')).to.be.instanceOf(NotFound);
  });

  it('names etcd, the member and the remedy in one line', () => {
    const { message } = of(status.UNAVAILABLE, 'read ECONNRESET\n  at x');
    expect(message).to.match(
      /^etcd at 10\.0\.0\.1:2379 does not answer \(read ECONNRESET at x\): check that/,
    );
    expect(of(status.UNAVAILABLE, 'etcdserver: leader changed').message).to.match(
      /^etcd at 10\.0\.0\.1:2379 did not complete KV\/txn \(etcdserver: leader changed\): check that/,
    );
  });
});
