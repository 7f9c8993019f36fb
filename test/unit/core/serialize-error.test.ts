import { expect } from 'chai';
import { KernelError, StoreUnavailable } from '../../../core/errors.ts';
import { serializeError } from '../../../core/serialize-error.ts';

describe('core/serialize-error', () => {
  it('keeps name, message, code, stack and the chain of causes', () => {
    const below = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    const plain = serializeError(
      new StoreUnavailable('etcd is away', { cause: below, outcomeUnknown: true }),
    );
    expect(plain).to.include({
      name: 'StoreUnavailable',
      message: 'etcd is away',
      code: 'store',
      retryable: true,
      outcomeUnknown: true,
    });
    expect(plain.stack).to.contain('serialize-error.test');
    expect(plain.cause).to.include({ message: 'connect ECONNREFUSED', code: 'ECONNREFUSED' });
    expect(JSON.parse(JSON.stringify(plain)).cause.message).to.equal('connect ECONNREFUSED');
  });

  it('keeps errno and details of a kernel error', () => {
    const error = new KernelError('m', { errno: 17, errnoName: 'EEXIST', details: { link: 'eth0' } });
    expect(serializeError(error)).to.deep.include({
      errno: 17,
      errnoName: 'EEXIST',
      details: { link: 'eth0' },
    });
  });

  it('takes anything that can be thrown', () => {
    const circular: Record<string, unknown> = {};
    circular['self'] = circular;
    expect(serializeError('text')).to.deep.equal({ name: 'string', message: 'text' });
    expect(serializeError(undefined)).to.deep.equal({ name: 'undefined', message: 'undefined' });
    expect(serializeError(null)).to.deep.equal({ name: 'object', message: 'null' });
    expect(serializeError({ a: 1 })).to.deep.equal({ name: 'object', message: '{"a":1}' });
    expect(serializeError(7n)).to.deep.equal({ name: 'bigint', message: '[object BigInt]' });
    expect(serializeError(circular)).to.deep.equal({ name: 'object', message: '[object Object]' });
  });

  it('ends at a cause that points back', () => {
    const error = new Error('round');
    error.cause = error;
    expect(JSON.stringify(serializeError(error)).match(/"message":"round"/g)).to.have.length(6);
  });
});
