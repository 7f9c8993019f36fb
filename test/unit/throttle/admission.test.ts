import { expect } from 'chai';
import type { Limits } from '../../../core/limit.ts';
import { Admission, type AdmissionOptions, type Capacity } from '../../../throttle/admission.ts';

const MBIT = 1e6;
const both = (mbit: number): Limits => ({
  in: { rateBitsPerSecond: mbit * MBIT },
  out: { rateBitsPerSecond: mbit * MBIT },
});

describe('throttle/admission', () => {
  let changes: number;
  const make = (options: Partial<AdmissionOptions> = {}, capacity: Capacity = { in: 1e9, out: 1e9 }) => {
    changes = 0;
    return new Admission(
      { host: 'h1', refuse: true, overcommit: 1, unlimited: {}, ...options },
      { capacityOf: (parent) => (parent === 'eth0' ? capacity : {}), onChange: () => changes++ },
    );
  };

  it('refuses the eleventh of 100mbit on 1gbit, with capacity, committed and asked', () => {
    const admission = make();
    for (let n = 0; n < 10; n++) admission.admit(`e${n}`, 'eth0', both(100));
    expect(() => admission.admit('e10', 'eth0', both(100)))
      .to.throw(
        'parent eth0 of host h1 has not the bandwidth for net_in: capacity 1gbit, committed 1gbit, asked 100mbit: ' +
          'start it on another host, lower net_in, or stop a container',
      )
      .with.property('code', 'bandwidth_exhausted');
    expect(admission.figures(['eth0'])[0]?.out).to.deep.equal({ capacity: 1e9, committed: 1e9, free: 0 });
  });

  it('sees freed bandwidth at once', () => {
    const admission = make();
    admission.admit('a', 'eth0', both(1000));
    expect(() => admission.admit('b', 'eth0', both(1))).to.throw('bandwidth');
    admission.left('a');
    admission.left('a');
    admission.admit('b', 'eth0', both(1000));
    expect(changes).to.equal(3);
  });

  it('counts an endpoint once, however often it asks', () => {
    const admission = make();
    admission.admit('a', 'eth0', both(600));
    admission.admit('a', 'eth0', both(900));
    admission.admit('a', 'eth0', both(900));
    expect(admission.figures(['eth0'])[0]?.in.committed).to.equal(900 * MBIT);
    expect(changes).to.equal(2);
  });

  it('promises more than there is where that is configured', () => {
    const admission = make({ overcommit: 1.5 });
    admission.admit('a', 'eth0', both(1400));
    expect(() => admission.admit('b', 'eth0', both(200))).to.throw(
      'capacity 1gbit times 1.5, committed 1400mbit',
    );
    expect(admission.figures(['eth0'])[0]?.in.free).to.equal(100 * MBIT);
  });

  it('refuses nothing to a container that asks nothing, nor where the capacity is not known', () => {
    const admission = make();
    admission.admit('a', 'eth0', both(1000));
    admission.admit('b', 'eth0', {});
    admission.admit('c', 'eth1', both(5000));
    expect(admission.figures(['eth1'])).to.deep.equal([
      { parent: 'eth1', in: { committed: 5e9 }, out: { committed: 5e9 } },
    ]);
  });

  it('counts containers without a limit as configured', () => {
    const admission = make({ unlimited: { out: 400 * MBIT } });
    admission.admit('a', 'eth0', {});
    admission.admit('b', 'eth0', { in: { rateBitsPerSecond: 1e9 } });
    expect(() => admission.admit('c', 'eth0', {})).to.throw(
      'net_out: capacity 1gbit, committed 800mbit, asked 400mbit',
    );
  });

  it('never refuses what runs already', () => {
    const admission = make();
    admission.count('a', 'eth0', both(2000));
    expect(admission.figures(['eth0'])[0]?.in).to.deep.equal({ capacity: 1e9, committed: 2e9, free: 0 });
  });

  it('only counts where it is not to refuse', () => {
    const admission = make({ refuse: false });
    admission.admit('a', 'eth0', both(2000));
    expect(admission.refuses).to.equal(false);
  });
});
