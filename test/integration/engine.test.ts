import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { EngineUnavailable } from '../../core/errors.ts';
import { silentLogger } from '../../core/log.ts';
import { DockerEngine } from '../../engine/docker-engine.ts';
import { EngineSocket, hang, json } from './engine-socket.ts';

const ENDPOINT = { EndpointID: 'e1', MacAddress: '02:4c:0a:00:00:07', IPv4Address: '10.0.0.7/16' };
const network = (id: string, driver: string, ipamDriver: string) => ({
  Id: id,
  Name: `name-${id}`,
  Driver: driver,
  Internal: false,
  IPAM: { Driver: ipamDriver, Config: [{ Subnet: '10.0.0.0/16' }] },
});

describe('engine/docker-engine', () => {
  let folder: string;
  let socket: EngineSocket;
  let engine: DockerEngine;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lanius-engine-'));
    socket = new EngineSocket(join(folder, 'docker.sock'));
    await socket.open();
    engine = new DockerEngine({ socketPath: socket.path, driverName: 'lanius' }, { logger: silentLogger });
  });
  afterEach(async () => {
    await socket.cut();
    await rm(folder, { recursive: true });
  });

  const failureOf = async (work: Promise<unknown>): Promise<EngineUnavailable> => {
    const error: unknown = await work.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).to.be.instanceOf(EngineUnavailable);
    return error as EngineUnavailable;
  };

  it('lists the networks of which the driver or the IPAM driver is ours, with their endpoints', async () => {
    const all = [
      network('n1', 'lanius', 'lanius'),
      network('n2', 'macvlan', 'lanius'),
      network('n3', 'bridge', 'default'),
      network('n4', 'host', 'default'),
    ];
    socket.routes = {
      '/networks': json(all),
      '/networks/n1': json({ ...all[0], Containers: { c1: { Name: 'web', ...ENDPOINT } } }),
      '/networks/n2': json({ ...all[1], Containers: null }),
    };
    const networks = await engine.networks(1000);
    expect(networks).to.deep.equal([
      {
        networkId: 'n1',
        name: 'name-n1',
        driver: 'lanius',
        ipamDriver: 'lanius',
        subnets: ['10.0.0.0/16'],
        internal: false,
        endpoints: [
          {
            networkId: 'n1',
            endpointId: 'e1',
            containerId: 'c1',
            containerName: 'web',
            ipv4: '10.0.0.7',
            macAddress: '02:4c:0a:00:00:07',
          },
        ],
      },
      {
        networkId: 'n2',
        name: 'name-n2',
        driver: 'macvlan',
        ipamDriver: 'lanius',
        subnets: ['10.0.0.0/16'],
        internal: false,
        endpoints: [],
      },
    ]);
  });

  it('gives an endpoint whose container is being started without a container id', async () => {
    socket.routes['/networks/n1'] = json({
      ...network('n1', 'lanius', 'lanius'),
      Containers: { 'ep-e1': { Name: 'web', ...ENDPOINT }, 'ep-e2': { Name: 'db' } },
    });
    const found = await engine.network('n1', 1000);
    expect(found?.endpoints.map((e) => [e.endpointId, e.containerId, e.containerName])).to.deep.equal([
      ['e1', undefined, 'web'],
      ['e2', undefined, 'db'],
    ]);
  });

  it('skips a network that is removed between the list and the look', async () => {
    socket.routes['/networks'] = json([network('gone', 'lanius', 'lanius'), network('n', 'null', 'default')]);
    expect(await engine.networks(1000)).to.deep.equal([]);
    expect(await engine.network('gone', 1000)).to.equal(undefined);
  });

  it('lists all containers and leaves out endpoints of stopped ones', async () => {
    socket.routes['/containers/json'] = json([
      {
        Id: 'c1',
        Names: ['/web'],
        State: 'running',
        Labels: { a: 'b' },
        NetworkSettings: { Networks: { x: { NetworkID: 'n1', EndpointID: 'e1', IPAddress: '10.0.0.7' } } },
      },
      {
        Id: 'c2',
        Names: ['/old'],
        State: 'exited',
        Labels: null,
        NetworkSettings: { Networks: { x: { NetworkID: 'n1', EndpointID: '' }, y: null } },
      },
    ]);
    const containers = await engine.containers(1000);
    expect(containers.map((c) => [c.name, c.state, c.endpoints.length])).to.deep.equal([
      ['web', 'running', 1],
      ['old', 'exited', 0],
    ]);
    expect(socket.queries).to.deep.equal(['all=1']);
    expect(containers[0]?.endpoints[0]).to.include({
      endpointId: 'e1',
      containerName: 'web',
      ipv4: '10.0.0.7',
    });
  });

  it('sends a query to its last character', async () => {
    let asked = '';
    socket.routes['/containers/json'] = (response, request) => {
      asked = request.url ?? '';
      json([])(response, request);
    };
    await engine.containers(1000);
    expect(asked).to.match(/\/containers\/json\?all=1$/);
  });

  it('gives up at the time limit when the engine takes the connection and is silent', async () => {
    socket.routes['/version'] = hang;
    const from = performance.now();
    const error = await failureOf(engine.version(150));
    expect(performance.now() - from).to.be.below(1000);
    expect(error.message).to.contain('no answer within 150 ms').and.to.contain(socket.path);
  });

  it('gives up at the time limit when the answer breaks off or stops in the middle', async () => {
    socket.routes['/version'] = (response) => {
      response.writeHead(200, { 'Content-Length': '100' }).write('{"Version":');
    };
    await failureOf(engine.version(150));
    socket.routes['/version'] = (response) => {
      response.writeHead(200, { 'Content-Length': '100' }).write('{"Version":', () => response.destroy());
    };
    await failureOf(engine.version(150));
  });

  it('finds the ids of containers by their exact names, many with one question', async () => {
    socket.routes['/containers/json'] = json([
      { Id: 'c1', Names: ['/web.1'], State: 'created' },
      { Id: 'c2', Names: ['/other/web.1', '/db'], State: 'running' },
      { Id: 'c3', Names: null, State: 'removing' },
    ]);
    const ids = await engine.containerIds(['web.1', 'db', 'gone'], 1000);
    expect([...ids]).to.deep.equal([
      ['web.1', 'c1'],
      ['db', 'c2'],
    ]);
    expect(socket.queries).to.deep.equal(['all=1&filters={"name":["^/web\\\\.1$","^/db$","^/gone$"]}']);
    expect([...(await engine.containerIds([], 1000))]).to.deep.equal([]);
    expect(socket.asked).to.have.length(1);
  });

  it('says where the data of the engine is, or that it does not know', async () => {
    socket.routes['/info'] = json({ DockerRootDir: '/srv/docker', Containers: 7 });
    expect(await engine.dataRoot(1000)).to.equal('/srv/docker');
    for (const wrong of [{}, { DockerRootDir: '' }, { DockerRootDir: 'srv' }]) {
      socket.routes['/info'] = json(wrong);
      expect((await failureOf(engine.dataRoot(1000))).message).to.include('does not say where its data is');
    }
  });

  it('says in one line what failed when there is no engine', async () => {
    await socket.cut();
    const error = await failureOf(engine.containers(500));
    expect(error.message).to.match(
      /^the Docker Engine API at .* failed on GET \/containers\/json: .*; is dockerd running\?$/,
    );
  });

  it('passes on what the engine says about a failure', async () => {
    socket.routes['/version'] = (response) => {
      response.writeHead(500).end('{"message":"disk full"}');
    };
    expect((await failureOf(engine.version(500))).message).to.contain('disk full');
  });

  it('refuses an answer of an unknown shape instead of guessing', async () => {
    socket.routes['/networks'] = json([{ Id: 7 }]);
    expect((await failureOf(engine.networks(500))).message).to.contain('0.Id');
  });

  it('does not believe that there is nothing: no engine is without its own networks', async () => {
    socket.routes = { '/networks': json([]), '/containers/json': json([]) };
    expect((await failureOf(engine.networks(500))).message).to.match(
      /shows not even the networks "host" and "none": is dockerd still starting\?$/,
    );
    socket.routes['/networks'] = json([network('n', 'null', 'default')]);
    expect(await engine.networks(500)).to.deep.equal([]);
  });

  it('takes "not found" for no list', async () => {
    expect((await failureOf(engine.networks(500))).message).to.contain('does not know GET /networks');
    expect((await failureOf(engine.containers(500))).message).to.contain('does dockerd listen there?');
  });

  it('does not listen to DOCKER_HOST', async () => {
    const before = process.env['DOCKER_HOST'];
    process.env['DOCKER_HOST'] = 'tcp://127.0.0.1:1';
    try {
      socket.routes['/version'] = json({ Version: '28.5.2', ApiVersion: '1.51' });
      const other = new DockerEngine(
        { socketPath: socket.path, driverName: 'lanius' },
        { logger: silentLogger },
      );
      expect(await other.version(500)).to.deep.equal({ version: '28.5.2', apiVersion: '1.51' });
    } finally {
      if (before === undefined) delete process.env['DOCKER_HOST'];
      else process.env['DOCKER_HOST'] = before;
    }
  });
});
