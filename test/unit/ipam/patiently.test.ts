import { expect } from 'chai';
import { systemClock } from '../../../core/clock.ts';
import { deadlineAfter } from '../../../core/deadline.ts';
import { StoreUnavailable } from '../../../core/errors.ts';
import { patiently } from '../../../ipam/commit/patiently.ts';

describe('ipam/commit/patiently', () => {
  it('reads again, and ends with its deadline also when every read fails at once', async () => {
    let reads = 0;
    const away = (): Promise<never> => {
      reads += 1;
      return Promise.reject(new StoreUnavailable('etcd is away'));
    };
    const failed = await patiently(away, deadlineAfter(250, systemClock)).catch((error: unknown) => error);
    expect(String(failed)).to.contain('etcd is away');
    expect(reads).to.be.within(2, 4);
  });
});
