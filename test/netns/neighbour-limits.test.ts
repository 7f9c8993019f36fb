/** The limits of the real kernel's neighbour table. */
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { KernelError } from '../../core/errors.ts';
import { KernelNeighbourLimits } from '../../net/neighbour-limits.ts';
import { failure, useKernelLinks } from './kernel-links.ts';

describe('net/neighbour-limits', () => {
  const bench = useKernelLinks();

  it('reads them in any namespace, and raises them in the host’s own only', async () => {
    const limits = new KernelNeighbourLimits(bench.kernel);
    const found = await limits.read();
    expect(found.least > 0 && found.least <= found.soft && found.soft <= found.most).to.equal(true);
    expect(await limits.raise({ least: 1, soft: 1, most: 1 })).to.equal(undefined);
    const error = await failure(limits.raise({ ...found, most: found.most + 1 }));
    expect(error).to.be.instanceOf(KernelError);
    expect(error.message).to.contain('in the network namespace of the host itself only');
    expect(await limits.read()).to.deep.equal(found);
  });

  it('reads what sysctl shows', async function () {
    const file = '/proc/sys/net/ipv4/neigh/default/gc_thresh3';
    let shown = '';
    try {
      shown = readFileSync(file, 'utf8');
    } catch {
      this.skip();
    }
    const { most } = await new KernelNeighbourLimits(bench.kernel).read();
    expect(most).to.equal(Number(shown));
  });
});
