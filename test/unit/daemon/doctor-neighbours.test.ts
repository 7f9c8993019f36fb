import { expect } from 'chai';
import { silentLogger } from '../../../core/log.ts';
import { checkNeighbourLimits, tuneNeighbourTable } from '../../../daemon/doctor-neighbours.ts';

const limits = { read: async () => ({ least: 128, soft: 512, most: 1024 }) };
const network = { subnets: ['10.0.0.0/16'], endpoints: 3 };

describe('daemon/doctor-neighbours', () => {
  it('is content where few containers learn neighbours', async () => {
    expect(await checkNeighbourLimits([network], limits)).to.deep.equal([
      {
        check: 'neighbour table',
        status: 'ok',
        finding: 'the kernel takes 1024 learned neighbours (gc_thresh3), for 3 containers that learn some',
      },
    ]);
    const many = { ...network, endpoints: 500 };
    expect((await checkNeighbourLimits([{ ...many, arp: 'preload' }], limits))[0]?.status).to.equal('ok');
    const small = { ...network, subnets: ['10.0.0.0/31'], endpoints: 300 };
    expect((await checkNeighbourLimits([small], limits))[0]?.status).to.equal('ok');
  });

  it('warns where the table is too small, with a figure that is enough', async () => {
    const [some] = await checkNeighbourLimits([{ ...network, endpoints: 50, arp: 'responder' }], limits);
    expect(some).to.include({ status: 'warn' });
    expect(some?.finding).to.contain('with 256 peers for each it would be 13056');
    expect(some?.remedy).to.match(/^set net\.tuneNeighbourTable to true .* or sysctl .*gc_thresh3=16384 /);
    const [many] = await checkNeighbourLimits([{ ...network, endpoints: 500 }], limits);
    expect(many?.remedy).to.match(/^too many for net\.tuneNeighbourTable .*gc_thresh3=131072 /);
  });

  it('goes on where nothing may be raised, and says so', async () => {
    const lines: string[] = [];
    const logger = { ...silentLogger, warn: (line: string) => lines.push(line) };
    await tuneNeighbourTable({ raise: () => Promise.reject(new Error('not here')) }, logger);
    expect(lines).to.deep.equal(['the limits of the neighbour table could not be raised']);
  });
});
