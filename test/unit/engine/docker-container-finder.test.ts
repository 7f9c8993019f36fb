/** The finder over a played engine and real files. What real engines say and write: test/e2e/container-finder.test.ts. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { systemClock as clock } from '../../../core/clock.ts';
import { EngineUnavailable } from '../../../core/errors.ts';
import { silentLogger } from '../../../core/log.ts';
import { readContainer } from '../../../engine/container-files.ts';
import { DockerContainerFinder } from '../../../engine/docker-container-finder.ts';
import type { EngineEndpoint } from '../../../engine/port.ts';
import { until } from '../../support/poll.ts';

const NID = 'ab'.repeat(32);
const idOf = (n: number): string => n.toString(16).padStart(64, '0');

describe('engine/docker-container-finder', () => {
  let root: string;
  let asked: string[];
  let endpoints: EngineEndpoint[];
  let answerMs: number;
  let finder: DockerContainerFinder;

  const engine = {
    network: async (networkId: string) => {
      asked.push('network');
      await sleep(answerMs);
      return {
        networkId,
        name: 'n',
        driver: 'lanius',
        ipamDriver: 'lanius',
        subnets: [],
        internal: false,
        endpoints,
      };
    },
    containerIds: async (names: readonly string[]) => {
      asked.push(`ids ${names.join()}`);
      return new Map(
        names.filter((name) => name !== 'gone').map((name) => [name, idOf(Number(name.slice(1)))]),
      );
    },
    dataRoot: async () => {
      asked.push('root');
      return root;
    },
  };

  const container = async (
    n: number,
    config: object = {},
    host: object = {},
    more: object = {},
  ): Promise<string> => {
    const folder = join(root, 'containers', idOf(n));
    await mkdir(folder, { recursive: true });
    const file = { ID: idOf(n), Name: `/c${n}`, Config: config, State: { Pid: 7 }, ...more };
    await writeFile(join(folder, 'config.v2.json'), JSON.stringify(file));
    await writeFile(join(folder, 'hostconfig.json'), JSON.stringify(host));
    return folder;
  };

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'lanius-finder-'));
    asked = [];
    answerMs = 0;
    endpoints = [1, 2, 3].map((n) => ({ networkId: NID, endpointId: `e${n}`, containerName: `c${n}` }));
    finder = new DockerContainerFinder({ engine, clock, logger: silentLogger });
    finder.connected(true);
    await until('the question for the folder', () => asked.length === 1);
    asked = [];
  });
  afterEach(() => rm(root, { recursive: true }));

  it('finds name, id, environment, labels and rights of a container that is being started', async () => {
    await container(
      1,
      {
        Env: ['net_in=1mbit', 'A=b=c', 'UNSET', 'EMPTY=', 'net_in=2mbit'],
        Labels: { 'lanius.net_out': '5mbit' },
      },
      { Privileged: false, CapAdd: ['CAP_NET_ADMIN'] },
    );
    const found = await finder.find(NID, 'e1', 1000);
    expect(found).to.deep.equal({
      containerId: idOf(1),
      name: 'c1',
      env: new Map([
        ['net_in', '2mbit'],
        ['A', 'b=c'],
        ['EMPTY', ''],
      ]),
      labels: new Map([['lanius.net_out', '5mbit']]),
      netAdmin: true,
    });
    expect(asked).to.deep.equal(['network', 'ids c1']);
  });

  it('needs no list where the network says the id', async () => {
    await container(9, { Env: null, Labels: null });
    endpoints = [{ networkId: NID, endpointId: 'e9', containerName: 'c9', containerId: idOf(9) }];
    expect((await finder.find(NID, 'e9', 1000))?.name).to.equal('c9');
    expect(asked).to.deep.equal(['network']);
  });

  it('asks once for endpoints that come together', async () => {
    for (const n of [1, 2, 3]) await container(n);
    const found = await Promise.all(['e1', 'e2', 'e3'].map((id) => finder.find(NID, id, 1000)));
    expect(found.map((one) => one?.name)).to.deep.equal(['c1', 'c2', 'c3']);
    expect(asked.filter((one) => one === 'network')).to.have.length(1);
    expect(asked.filter((one) => one.startsWith('ids'))).to.have.length.at.most(2);
  });

  it('says undefined at once while the engine does not serve its API', async () => {
    finder.connected(false);
    expect(await finder.find(NID, 'e1', 60_000)).to.equal(undefined);
    expect(asked).to.deep.equal([]);
  });

  it('keeps the limit, whatever hangs', async () => {
    answerMs = 2000;
    const began = performance.now();
    expect(await finder.find(NID, 'e1', 20)).to.equal(undefined);
    expect(performance.now() - began).to.be.below(1500);
  });

  it('says undefined for an endpoint, a name or a file that is not there, and for a name that can be none', async () => {
    endpoints = [
      { networkId: NID, endpointId: 'e1', containerName: 'gone' },
      { networkId: NID, endpointId: 'e2', containerName: '.*' },
      { networkId: NID, endpointId: 'e3' },
      { networkId: NID, endpointId: 'e4', containerName: 'c4' },
    ];
    for (const id of ['e0', 'e1', 'e2', 'e3', 'e4'])
      expect(await finder.find(NID, id, 1000), id).to.equal(undefined);
  });

  it('takes no id that could be another path', async () => {
    endpoints = [{ networkId: NID, endpointId: 'e1', containerId: `../containers/${idOf(1)}` }];
    await container(1);
    expect(await finder.find(NID, 'e1', 1000)).to.equal(undefined);
  });

  const rights: readonly (readonly [object, boolean])[] = [
    [{}, false],
    [{ Privileged: null, CapAdd: null }, false],
    [{ Privileged: true }, true],
    [{ CapAdd: ['NET_ADMIN'] }, true],
    [{ CapAdd: ['net_admin'], CapDrop: ['ALL'] }, true],
    [{ CapAdd: 'CAP_NET_ADMIN' }, true],
    [{ CapAdd: ['NET_RAW', 'ALL'] }, true],
    [{ CapAdd: ['ALL'], CapDrop: ['CAP_NET_ADMIN'] }, false],
    [{ CapAdd: ['NET_RAW'], CapDrop: ['ALL'] }, false],
  ];
  for (const [host, expected] of rights) {
    it(`says of ${JSON.stringify(host)} that NET_ADMIN is ${expected ? 'there' : 'not there'}`, async () => {
      await container(1, {}, host);
      expect((await readContainer(root, idOf(1))).netAdmin).to.equal(expected);
    });
  }

  it('refuses files that are damaged, too large, of another format, or no files', async () => {
    const damage: Readonly<Record<string, (file: string) => Promise<unknown>>> = {
      'breaks off': (file) => writeFile(file, '{"ID":"a","Na'),
      'is empty': (file) => writeFile(file, ''),
      'has numbers for words': (file) => writeFile(file, '{"ID":"a","Name":"/a","Config":{"Env":[1]}}'),
      'is a list': (file) => writeFile(file, '[]'),
      'is large': (file) => writeFile(file, Buffer.alloc(9 * 1024 ** 2, 0x20)),
      'is a link': (file) => rm(file).then(() => symlink('/etc/passwd', file)),
      'is a folder': (file) => rm(file).then(() => mkdir(file)),
    };
    for (const [what, make] of Object.entries(damage)) {
      const folder = await container(5);
      const file = join(folder, 'config.v2.json');
      await make(file);
      const failure: unknown = await readContainer(root, idOf(5)).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(failure, what).to.be.instanceOf(EngineUnavailable);
      expect((failure as Error).message, what).to.match(
        /^the container file \/.*config\.v2\.json cannot be read: /,
      );
      await rm(folder, { recursive: true });
    }
  });
});
