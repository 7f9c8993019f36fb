import { expect } from 'chai';
import {
  Conflict,
  DeadlineExceeded,
  InternalError,
  InvalidRequest,
  KernelError,
  NotFound,
  Unsupported,
} from '../../../core/errors.ts';
import { packError, unpackError } from '../../../net/worker-protocol.ts';

describe('net/worker-protocol', () => {
  it('carries errors over a structured clone with class, code, message and details', () => {
    const details = { link: 'ln0', count: 3 };
    for (const error of [
      new Conflict('c', { details }),
      new NotFound('n', { details }),
      new InvalidRequest('i', { details }),
      new Unsupported('u', { details }),
    ]) {
      const arrived = unpackError(structuredClone(packError(error)));
      expect(arrived).to.be.instanceOf(error.constructor);
      expect(arrived).to.include({ code: error.code, message: error.message, name: error.name });
      expect(arrived.details).to.deep.equal(details);
    }
  });

  it('carries errno and its name', () => {
    const arrived = unpackError(
      structuredClone(packError(new KernelError('k', { errno: 17, errnoName: 'EEXIST' }))),
    );
    expect(arrived).to.be.instanceOf(KernelError);
    expect(arrived).to.include({ errno: 17, errnoName: 'EEXIST' });
  });

  it("makes a bug an InternalError that keeps the worker's stack", () => {
    const arrived = unpackError(structuredClone(packError(new TypeError('not a function'))));
    expect(arrived).to.be.instanceOf(InternalError);
    expect(arrived.message).to.equal('not a function');
    expect(arrived.details)
      .to.have.property('workerStack')
      .that.matches(/worker-protocol\.test/);
  });

  it('keeps the code of classes that the worker does not throw', () => {
    expect(unpackError(packError(new DeadlineExceeded('d'))).code).to.equal('deadline');
  });
});
