/** What doctor says of the ARP responder. */
import { expect } from 'chai';
import { checkResponder } from '../../../daemon/doctor-responder.ts';
import type { ResponderStanding } from '../../../net/responder.ts';

const found = (standing: ResponderStanding) => checkResponder({ standing: async () => standing });

describe('daemon/doctor-responder', () => {
  it('says nothing where no network has one', async () => {
    expect(await found({ networkIds: [], pins: [] })).to.deep.equal([]);
  });

  it('says how many networks it serves', async () => {
    const [check, ...more] = await found({ networkIds: ['a'], pins: ['arp-1'] });
    expect(more).to.deep.equal([]);
    expect(check).to.deep.equal({
      check: 'arp responder',
      status: 'ok',
      finding: 'it serves 1 network of this host',
    });
  });

  it('warns when it does not outlive the daemon, and says why', async () => {
    const [check] = await found({ networkIds: ['a', 'b'], pins: [], unpinned: 'read-only file system' });
    expect(check).to.deep.include({ status: 'warn' });
    expect(check?.finding).to.include('2 networks').and.include('read-only file system');
    expect(check?.remedy).to.include('mount -t bpf');
  });
});
