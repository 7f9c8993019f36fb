import { expect } from 'chai';
import { bugs } from '../support/daemon-log.ts';
import { type ContainerOf29, Engine29, type NetworkOf29, Refused } from '../support/engine-29.ts';
import { labConfig, macOfIp } from '../support/flat.ts';
import { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { until } from '../support/poll.ts';
import { ipamSays, refusedRun } from '../support/rack-lab.ts';
import { need } from '../support/require.ts';
import { runOk } from '../support/run.ts';

const SUBNET = '10.82.3.0/28';
const BRIEF = '10.82.4.0/29';

/** An engine that tells names (29), at its plugin's socket; and a real one beside it that does not. */
describe('e2e/sticky addresses by name, as engine 29 asks for them', function () {
  this.timeout(180_000);
  let lab: Lab;
  const engines: Engine29[] = [];
  const networks: NetworkOf29[] = [];
  /** When the last container of a name began to end, in the pool that keeps addresses for a minute. */
  let keptSince = 0;
  let kept: ContainerOf29;
  let brief: NetworkOf29;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    const machines = ['h1', 'h2', 'h3'].map((name) => ({ name, engine: '28.5' as const }));
    lab = await Lab.up({ machines, etcd: true });
    await Promise.all(lab.machines.map((machine) => machine.startLanius(labConfig(lab))));
    const old = realEngine();
    await old.startEngine();
    const sticky = ['--sticky', '--cooling', '0s'];
    await old.lanius('pool', 'add', 'names', '--subnet', SUBNET, '--gateway', '10.82.3.1', ...sticky);
    const range = ['--range', '10.82.4.2-10.82.4.3', '--keep', '60s'];
    await old.lanius('pool', 'add', 'brief', '--subnet', BRIEF, ...range, ...sticky);
    for (const machine of lab.machines.slice(0, 2)) {
      const engine = new Engine29(machine);
      engines.push(engine);
      networks.push(await engine.createNetwork(SUBNET));
    }
  });
  after(() => lab?.down());

  /** The machine with a real engine. */
  const realEngine = (): Machine => lab.machine('h3');
  const side = (i: number): { machine: Machine; engine: Engine29; network: NetworkOf29 } => {
    const [machine, engine, network] = [lab.machines[i], engines[i], networks[i]];
    if (machine === undefined || engine === undefined || network === undefined) throw new Error('no machine');
    return { machine, engine, network };
  };
  const run = (i: number, name: string, ip = ''): Promise<ContainerOf29> =>
    side(i).engine.run(side(i).network, name, { ip });
  const remove = (i: number, container: ContainerOf29): Promise<void> => side(i).engine.remove(container);
  const refused = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => expect.fail('it was not refused'),
      (error: Error) => {
        expect(error).to.be.instanceOf(Refused);
        return error.message;
      },
    );
  const expectSame = (now: ContainerOf29, first: ContainerOf29) =>
    expect([now.ip, now.mac]).to.deep.equal([first.ip, macOfIp(first.ip)]);

  it('begins to keep the address of a name that has ended', async () => {
    brief = await side(0).engine.createNetwork(BRIEF);
    kept = await side(0).engine.run(brief, 'aa');
    keptSince = performance.now();
    await side(0).engine.remove(kept);
    const row = (await side(1).machine.lanius('ip', 'ls', '--name', 'aa', '-o', 'json')) as object[];
    expect(row).to.have.length(1);
    expect(row[0]).to.include({ address: kept.ip, state: 'reserved', role: 'sticky', name: 'aa' });
  });

  it('gives the same address over restart, rm and run, and a move, while others come and go', async () => {
    let web = await run(0, 'web');
    const first = web;
    expect(web.mac).to.equal(macOfIp(web.ip));
    const others: string[] = [];
    const comeAndGo = async (i: number, count: number): Promise<void> => {
      const names = Array.from({ length: count }, (_, n) => `x${i}-${others.length}-${n}`);
      const all = await Promise.all(names.map((name) => run(i, name)));
      others.push(...all.map(({ ip }) => ip));
      for (const one of all) {
        await remove(i, one);
        await side(i).machine.lanius('ip', 'unreserve', one.ip);
      }
    };
    web = await side(0).engine.restart(web);
    expectSame(web, first);
    expect(web.endpointId).to.not.equal(first.endpointId);

    await remove(0, web);
    await comeAndGo(0, 12);
    await comeAndGo(1, 12);
    web = await run(0, 'web');
    expectSame(web, first);

    await remove(0, web);
    web = await run(1, 'web');
    expectSame(web, first);
    const peer = await run(0, 'peer');
    await pingFrom(peer, web.ip);

    await remove(1, web);
    web = await run(0, 'web');
    expectSame(web, first);
    await remove(0, web);
    await remove(0, peer);
    expect(others).to.have.length(24);
    expect(others).to.not.include(first.ip);
  });

  it('gives one of two that claim a name at once its address, and tells the other who has it', async () => {
    for (let round = 0; round < 3; round += 1) {
      const outcomes = await Promise.allSettled([run(0, 'db'), run(1, 'db')]);
      const winner = outcomes.findIndex(({ status }) => status === 'fulfilled');
      const [won, lost] = [outcomes[winner], outcomes[1 - winner]];
      if (won?.status !== 'fulfilled' || lost?.status !== 'rejected') expect.fail(JSON.stringify(outcomes));
      // It says no more of the container, as no engine is there to tell its id.
      const words = `name "db" of pool ${SUBNET} has address ${won.value.ip}, which a container on host h${winner + 1} has now: stop it first, or use another name (conflict, req ID)`;
      expect(await refused(Promise.reject(lost.reason))).to.equal(words);
      expect(await refused(run(1 - winner, 'db'))).to.equal(words);
      await remove(winner, won.value);
      const next = await run(1 - winner, 'db');
      expectSame(next, won.value);
      await remove(1 - winner, next);
    }
  });

  it('gives a reserved address to its name alone, and to no other that asks for it by --ip', async () => {
    const { machine } = side(0);
    await machine.lanius('ip', 'reserve', '10.82.3.9', 'lb');
    const taken =
      'address 10.82.3.9 of pool 10.82.3.0/28 is taken: it is reserved for "lb" (conflict, req ID)';
    expect(await refused(run(0, 'other', '10.82.3.9'))).to.equal(taken);
    for (const i of [0, 1]) {
      const lb = await run(i, 'lb');
      expect(lb.ip).to.equal('10.82.3.9');
      await remove(i, lb);
    }
    const byIp = await run(1, 'lb', '10.82.3.9');
    expect(byIp.ip).to.equal('10.82.3.9');
    await remove(1, byIp);
  });

  it('gives a kept address to no container of an engine that does not tell names', async () => {
    const old = realEngine();
    await old.docker(
      ...'network create -d lanius --ipam-driver lanius -o parent=eth0'.split(' '),
      '--subnet',
      SUBNET,
      'test',
    );
    const web = await run(0, 'web');
    await remove(0, web);
    expect(await refusedRun(old, { args: ['--ip', web.ip] })).to.equal(
      ipamSays(
        old,
        `address ${web.ip} of pool ${SUBNET} is taken: it is kept for the container name "web" (conflict, req ID)`,
      ),
    );
  });

  it('keeps the address of a name as long as the pool says, then it is free', async () => {
    const { engine } = side(0);
    const other = await engine.run(brief, 'bb');
    expect(other.ip).to.not.equal(kept.ip);
    const full =
      'pool 10.82.4.0/29 is exhausted: 0 of 2 addresses from 10.82.4.2 to 10.82.4.3 are free, 2 are taken; 3 more are free in parts of the pool that are excluded or for others: remove containers or change the ranges (exhausted, req ID)';
    expect(await refused(engine.run(brief, 'cc'))).to.equal(full);
    const late = await until('the address is free', () => engine.run(brief, 'cc'), {
      timeoutMs: 100_000,
      intervalMs: 1000,
    });
    const keptMs = performance.now() - keptSince;
    expect(late.ip).to.equal(kept.ip);
    expect(keptMs).to.be.within(60_000, 80_000);
    await engine.remove(late);
    await engine.remove(other);
    for (const machine of lab.machines) expect(await bugs(machine)).to.deep.equal([]);
  });
});

async function pingFrom({ place }: ContainerOf29, ip: string): Promise<void> {
  await runOk(place.command(['ping', '-c1', '-W5', ip]));
}
