import { expect } from 'chai';
import {
  Conflict,
  DeadlineExceeded,
  DriverError,
  EngineUnavailable,
  InternalError,
  InvalidRequest,
  KernelError,
  NotFound,
  oneLine,
  PoolExhausted,
  StoreUnavailable,
  toDriverError,
  Unsupported,
} from '../../../core/errors.ts';

describe('core/errors', () => {
  const all = [
    [new InvalidRequest('m'), 'invalid', false],
    [new Unsupported('m'), 'unsupported', false],
    [new NotFound('m'), 'not_found', false],
    [new Conflict('m'), 'conflict', false],
    [new PoolExhausted('m'), 'exhausted', false],
    [new KernelError('m', { errno: 17, errnoName: 'EEXIST' }), 'kernel', false],
    [new StoreUnavailable('m'), 'store', true],
    [new DeadlineExceeded('m'), 'deadline', true],
    [new EngineUnavailable('m'), 'engine', true],
    [new InternalError('m'), 'internal', false],
  ] as const;

  for (const [error, code, retryable] of all) {
    it(`${error.constructor.name} has the code ${code} and is ${retryable ? '' : 'not '}retryable`, () => {
      expect(error).to.be.instanceOf(DriverError).and.to.be.instanceOf(Error);
      expect(error).to.include({ code, retryable, message: 'm', name: error.constructor.name });
      expect(error.details).to.deep.equal({});
      expect('cause' in error).to.equal(false);
    });
  }

  it('keeps errno, details, cause and the unknown outcome', () => {
    const cause = new Error('below');
    const kernel = new KernelError('m', { errno: 17, errnoName: 'EEXIST', details: { link: 'eth0' }, cause });
    expect(kernel).to.include({ errno: 17, errnoName: 'EEXIST', cause });
    expect(kernel.details).to.deep.equal({ link: 'eth0' });
    expect(new StoreUnavailable('m').outcomeUnknown).to.equal(false);
    expect(new StoreUnavailable('m', { outcomeUnknown: true }).outcomeUnknown).to.equal(true);
  });

  it('leaves a DriverError as it is and makes everything else an InternalError of one line', () => {
    const known = new NotFound('m');
    expect(toDriverError(known)).to.equal(known);
    const cause = new TypeError('two\n  lines');
    expect(toDriverError(cause)).to.include({ code: 'internal', message: 'two lines', cause });
    expect(toDriverError('text')).to.include({ code: 'internal', message: 'text' });
    expect(toDriverError(undefined)).to.include({ code: 'internal', message: 'undefined' });
  });

  it('folds white space', () => {
    expect(oneLine(' a\r\n\tb  c ')).to.equal('a b c');
  });
});
