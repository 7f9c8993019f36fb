import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { filesOf, isDeadSocket, removeFiles } from '../../../daemon/purge-files.ts';
import { recordedNetworks, shownNetworks } from '../../../daemon/purge-networks.ts';
import { type PurgeView, purgePlan } from '../../../daemon/purge-plan.ts';

const NETWORK_ID = '1a2b3c4d5e6f708090a0b0c0d0e0f000';

const view: PurgeView = {
  host: 'h1',
  units: ['lanius.socket', 'lanius.service'],
  networks: [],
  engineAnswers: true,
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

  it('leaves the records of what it keeps where the engine does not answer, so that it can be said again', () => {
    const files = ['claims', 'endpoints', 'etcd', 'networks'].map((name) => `/var/lib/lanius/${name}`);
    const blind = { ...view, networks: [flat], engineAnswers: false, files };
    const { items, spared } = purgePlan(blind, { force: true });
    expect(spared).to.deep.equal(['/var/lib/lanius/endpoints', '/var/lib/lanius/networks']);
    const removed = items.filter(({ what }) => /file|record/.test(what)).map(({ object }) => object);
    expect(removed).to.deep.equal(['/var/lib/lanius/claims', '/var/lib/lanius/etcd']);
    expect(purgePlan({ ...blind, engineAnswers: true }, { force: true }).spared).to.deep.equal([]);
    const idle = { ...flat, containers: [] };
    expect(purgePlan({ ...blind, networks: [idle] }, { force: true }).spared).to.deep.equal([]);
  });

  it('refuses for networks of other drivers too, but keeps nothing in the kernel for them', () => {
    const other = { ...flat, addressesOnly: true } as const;
    expect(purgePlan({ ...view, networks: [other] }, { force: false }).refusal).to.match(/^web, db run on/);
    const owner = 'endpoint 0123456789ab';
    const belongings = [{ kind: 'host end', object: 'lh0123456789ab', owner }] as const;
    const { items, kept } = purgePlan({ ...view, networks: [other], belongings }, { force: true });
    expect(kept).to.deep.equal([other]);
    expect(items.map(({ object }) => object))
      .to.include('lh0123456789ab')
      .and.to.not.include('flat');
  });
});

describe('daemon/purge-networks', () => {
  const endpoint = (id: string, sandboxKey?: string) => ({
    endpointId: id.repeat(64),
    networkId: NETWORK_ID,
    ...(sandboxKey === undefined ? {} : { sandboxKey }),
  });
  const container = { containerId: 'c'.repeat(64), name: 'web', netAdmin: false, env: {}, labels: {} };

  it('takes the containers of the records for running as long as their sandboxes may stand', () => {
    const endpoints = [
      { ...endpoint('a', '/run/docker/netns/1'), container },
      endpoint('b', '/run/docker/netns/gone'),
      endpoint('d'),
    ];
    const records = { networks: [{ networkId: NETWORK_ID }, { networkId: 'f'.repeat(64) }], endpoints };
    const seen = recordedNetworks({ ...records, claims: [] }, (key) => !key.endsWith('gone'));
    expect(seen.map(({ containers }) => containers)).to.deep.equal([['web', 'd'.repeat(12)], []]);
    const { kept } = purgePlan({ ...view, networks: seen, engineAnswers: false }, { force: true });
    expect(kept.map(({ networkId }) => networkId)).to.deep.equal([NETWORK_ID]);
  });

  it('finds containers whose network has no record, and claims that are of no network of ours', () => {
    const claims = [
      { subnet: '10.9.0.0/24' },
      { subnet: '10.9.0.0/24' },
      { subnet: '10.8.0.0/24', networkId: NETWORK_ID },
    ];
    const seen = recordedNetworks({ networks: [], endpoints: [endpoint('a')], claims }, () => true);
    expect(seen.map(({ name }) => name)).to.deep.equal([NETWORK_ID.slice(0, 12), 'with subnet 10.9.0.0/24']);
  });

  it('tells networks of another driver, whose addresses are ours, from our own', () => {
    const network = {
      networkId: NETWORK_ID,
      ipamDriver: 'lanius',
      subnets: [],
      internal: false,
      endpoints: [],
    };
    const seen = shownNetworks(
      [
        { ...network, name: 'flat', driver: 'lanius' },
        {
          ...network,
          name: 'other',
          driver: 'macvlan',
          endpoints: [{ networkId: NETWORK_ID, endpointId: 'e'.repeat(64) }],
        },
      ],
      'lanius',
    );
    expect(seen.map(({ addressesOnly }) => addressesOnly)).to.deep.equal([undefined, true]);
    expect(seen[1]?.containers).to.deep.equal(['e'.repeat(12)]);
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
      mesosDir: join(folder, 'mesos'),
    };
    for (const path of ['state/networks', 'state/etcd/member', 'etc', 'run', 'mesos'])
      mkdirSync(join(folder, path), { recursive: true });
    for (const path of [
      'state/networks/x.json',
      'state/etcd.log',
      'state/mine.txt',
      'mesos/free',
      'etc/config.json',
    ])
      writeFileSync(join(folder, path), '{}');
    expect(filesOf(files).map((path) => path.slice(folder.length + 1))).to.deep.equal([
      'state/etcd',
      'state/etcd.log',
      'state/networks',
      'mesos/free',
      'etc/config.json',
    ]);
    const spared = join(folder, 'state/networks');
    expect(removeFiles(files, [spared])).to.deep.equal([join(folder, 'state/mine.txt'), spared]);
    expect(removeFiles(files)).to.deep.equal([join(folder, 'state/mine.txt')]);
    expect(readdirSync(folder)).to.deep.equal(['state']);
    expect(removeFiles(files), 'again').to.deep.equal([join(folder, 'state/mine.txt')]);
  });

  it('takes a socket that nobody listens on with it, and nothing that lies beside it', async () => {
    const [dead, live, file] = ['dead', 'live', 'file'].map((name) => join(folder, name));
    if (dead === undefined || live === undefined || file === undefined) throw new Error('no names');
    writeFileSync(file, '');
    // A socket that is bound and not closed by its program, as after SIGKILL.
    const bind = `require('net').createServer().listen(${JSON.stringify(dead)}, () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', bind]);
    const server = createServer().listen(live);
    await once(server, 'listening');
    try {
      for (const [path, expected] of [
        [dead, true],
        [live, false],
        [file, false],
        [join(folder, 'none'), false],
      ] as const)
        expect(await isDeadSocket(path), path).to.equal(expected);
    } finally {
      server.close();
    }
    const none = join(folder, 'none');
    removeFiles({ stateDir: none, configFile: none, adminSocket: none, mesosDir: none, deadSocket: dead });
    expect(readdirSync(folder)).to.include('file').and.to.not.include('dead');
  });
});
