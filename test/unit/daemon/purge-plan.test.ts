import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { filesOf, removeFiles } from '../../../daemon/purge-files.ts';
import { type PurgeView, purgePlan } from '../../../daemon/purge-plan.ts';

const NETWORK_ID = '1a2b3c4d5e6f708090a0b0c0d0e0f000';

const view: PurgeView = {
  host: 'h1',
  units: ['lanius.socket', 'lanius.service'],
  networks: [],
  store: {
    kind: 'cluster',
    hosts: ['http://10.0.0.1:2379'],
    belongings: { leases: 3, holds: 1, uses: 0, registered: true },
  },
  belongings: [{ kind: 'VLAN', object: 'eth0.100' }],
  files: ['/var/lib/lanius/networks'],
};
const flat = { name: 'flat', networkId: NETWORK_ID, containers: ['web', 'db'] };

describe('daemon/purge-plan', () => {
  it('lists all that it would remove, in the order of removing', () => {
    const { items, refusal, kept } = purgePlan(view, { force: false });
    expect(refusal).to.equal(undefined);
    expect(kept).to.deep.equal([]);
    expect(items.map(({ what, object }) => `${what}: ${object}`)).to.deep.equal([
      'unit: lanius.socket',
      'unit: lanius.service',
      'addresses: 3 leased by host h1',
      'gateways: 1 kept by host h1',
      'registration: host h1 in etcd',
      'VLAN: eth0.100',
      'file: /var/lib/lanius/networks',
    ]);
  });

  it('refuses while containers run or networks exist, and names them', () => {
    expect(purgePlan({ ...view, networks: [flat] }, { force: false }).refusal).to.match(
      /^web, db run on networks of Lanius .*--force$/,
    );
    const many = { ...flat, containers: ['a', 'b', 'c', 'd', 'e', 'f', 'g'] };
    expect(purgePlan({ ...view, networks: [many] }, { force: false }).refusal).to.contain(
      'a, b, c, d, e and 2 more run',
    );
    const empty = { ...flat, containers: [] };
    expect(purgePlan({ ...view, networks: [empty] }, { force: false }).refusal).to.match(
      /^the networks flat of Lanius are there: remove them first/,
    );
  });

  it('refuses while etcd does not answer, for the addresses would stay', () => {
    const store = { kind: 'unreachable', reason: 'etcd does not answer' } as const;
    expect(purgePlan({ ...view, store }, { force: false }).refusal).to.contain('lanius host forget h1');
    expect(purgePlan({ ...view, store }, { force: true }).refusal).to.equal(undefined);
  });

  it('keeps with force what running containers stand on, and nothing else', () => {
    const belongings = [
      { kind: 'VLAN', object: 'eth0.100', owner: `network ${NETWORK_ID.slice(0, 12)}` },
      { kind: 'VLAN', object: 'eth0.200', owner: 'network ffffffffffff' },
      { kind: 'host end', object: 'lh0123456789ab', owner: 'endpoint 0123456789ab' },
      { kind: 'shim', object: 'ls0123456789ab' },
    ] as const;
    const idle = { name: 'idle', networkId: 'f'.repeat(64), containers: [] };
    const { items, kept, refusal } = purgePlan(
      { ...view, networks: [flat, idle], belongings },
      { force: true },
    );
    expect(refusal).to.equal(undefined);
    expect(kept).to.deep.equal([flat]);
    const objects = items.map(({ object }) => object);
    expect(objects).to.include.members(['eth0.200', 'ls0123456789ab', 'flat', 'idle']);
    expect(objects).to.not.include('eth0.100').and.to.not.include('lh0123456789ab');
  });
});

describe('daemon/purge-files', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lanius-purge-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('removes what Lanius has made and the empty folders, and nothing of others', () => {
    const files = {
      stateDir: join(folder, 'state'),
      configFile: join(folder, 'etc/config.json'),
      adminSocket: join(folder, 'run/admin.sock'),
    };
    for (const path of ['state/networks', 'state/etcd/member', 'etc', 'run'])
      mkdirSync(join(folder, path), { recursive: true });
    for (const path of ['state/networks/x.json', 'state/etcd.log', 'state/mine.txt', 'etc/config.json'])
      writeFileSync(join(folder, path), '{}');
    expect(filesOf(files).map((path) => path.slice(folder.length + 1))).to.deep.equal([
      'state/etcd',
      'state/etcd.log',
      'state/networks',
      'etc/config.json',
    ]);
    expect(removeFiles(files)).to.deep.equal([join(folder, 'state/mine.txt')]);
    expect(readdirSync(folder)).to.deep.equal(['state']);
    expect(removeFiles(files), 'again').to.deep.equal([join(folder, 'state/mine.txt')]);
  });
});
