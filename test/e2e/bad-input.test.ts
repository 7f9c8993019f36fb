import { expect } from 'chai';
import { bugs, countCalls, daemonPid } from '../support/daemon-log.ts';
import { refusal } from '../support/docker-words.ts';
import { createNetwork, exact, flatLab, IMAGE, labConfig, leases, removeAll } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { LabPluginSocket } from '../support/plugin-socket.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { HARMLESS, IMPOSSIBLE, METHODS } from './bad-calls.ts';
import {
  create,
  DRIVERS,
  FLAT,
  NETWORKS,
  NO_OPTION,
  PARENT,
  pool,
  RUNS,
  SUBNET,
  type Words,
} from './bad-input-cases.ts';

/** Like Promise.all, but nothing is still running when it rejects. */
async function allOf<T>(work: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(work);
  return Promise.all(work);
}

describe('e2e/bad input on three engines', function () {
  this.timeout(120_000);
  let lab: Lab;
  let pids: readonly number[];

  const everywhere = <T>(work: (machine: Machine) => Promise<T>): Promise<T[]> =>
    allOf(lab.machines.map(work));
  const expectWords = (said: string, words: Words, { engine }: Machine): void => {
    expect(said, engine).to.equal(typeof words === 'string' ? words : words(engine));
  };

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await flatLab(FLAT);
    pids = await everywhere(daemonPid);
    await everywhere((machine) =>
      machine.sh(
        'for name in mv0 eth0.7; do ip link add link eth0 name $name type macvlan mode bridge; done',
      ),
    );
    const h2 = lab.machine('h2');
    const first = ['run', '-d', '--name', 'first', '--network', 'flat', '--ip', '10.77.30.77', IMAGE];
    await h2.docker(...first, 'sleep', '100000');
    await until('the lease to know its container', async () =>
      (await leases(h2)).some(({ containerName }) => containerName === 'first'),
    );
  });
  after(() => lab?.down());

  describe('docker network create', () => {
    for (const [what, args, words] of NETWORKS) {
      it(`refuses ${what}`, () =>
        everywhere(async (machine) => {
          const before = await countCalls(machine, 'IpamDriver.RequestPool');
          const said = await machine.tryDocker('network', 'create', ...DRIVERS, ...args, 'bad');
          expectWords(refusal(said), words, machine);
          const asked = (await countCalls(machine, 'IpamDriver.RequestPool')) - before;
          expect(asked, `RequestPool calls of ${machine.engine}`).to.be.lessThan(5);
        }));
    }

    it('refuses our network driver with the IPAM driver of the engine', () =>
      everywhere(async (machine) => {
        const args = ['-d', 'lanius', ...SUBNET, ...PARENT, 'bad'];
        const said = await machine.tryDocker('network', 'create', ...args);
        const words = 'network driver lanius needs its own IPAM: add --ipam-driver lanius';
        expectWords(refusal(said), create(words), machine);
      }));

    it('clears host bits of a subnet where the engine passes them on', () =>
      everywhere(async (machine) => {
        const args = [...DRIVERS, '--subnet', '10.77.31.7/24', ...PARENT, 'bits'];
        const said = await machine.tryDocker('network', 'create', ...args);
        if (machine.engine !== '20.10') {
          const words = 'invalid network config:\ninvalid subnet 10.77.31.7/24: it should be 10.77.31.0/24';
          expectWords(refusal(said), words, machine);
          return;
        }
        expect(said.status).to.equal(0);
        const ip = await machine.docker('run', '--rm', '--network', 'bits', IMAGE, 'ip', '-4', '-o', 'addr');
        expect(ip).to.match(/inet 10\.77\.31\.\d+\/24 brd/);
        await machine.docker('network', 'rm', 'bits');
      }));
  });

  describe('docker run', () => {
    for (const [what, args, words] of RUNS) {
      it(`refuses ${what}`, () =>
        everywhere(async (machine) => {
          const own = typeof args === 'function' ? args(machine.engine) : args;
          const said = await machine.tryDocker('run', '--name', 'bad', ...own, IMAGE, 'true');
          await machine.tryDocker('rm', '-f', 'bad');
          expectWords(refusal(said), words, machine);
        }));
    }

    it('refuses an unknown endpoint option at docker network connect too', () =>
      everywhere(async (machine) => {
        await machine.docker('run', '-d', '--name', 'bad', IMAGE, 'sleep', '100000');
        const args = ['--driver-opt', 'lanius.x=1', 'flat', 'bad'];
        expectWords(
          refusal(await machine.tryDocker('network', 'connect', ...args)),
          NO_OPTION('lanius.x'),
          machine,
        );
        await machine.docker('rm', '-f', 'bad');
      }));

    it('takes -P, --expose and the options of others', () =>
      everywhere(async (machine) => {
        for (const args of [
          ['-P', '--expose', '80', '--network', 'flat'],
          ['--network', 'name=flat,driver-opt=com.example.x=1'],
        ]) {
          await machine.docker('run', '--rm', ...args, IMAGE, 'true');
        }
      }));
  });

  describe('somebody else on the plugin socket', () => {
    let socket: LabPluginSocket;
    before(() => {
      socket = new LabPluginSocket(lab.machine('h1'));
    });

    it('answers {} to release-type calls, and to those that do nothing, for ids never heard of', async () => {
      for (const [method, body, answer] of HARMLESS) {
        const reply = await socket.call(method, body);
        expect([method, reply.status, reply.body]).to.deep.equal([method, 200, answer]);
      }
    });

    it('says what is missing to every other call with ids never heard of', async () => {
      for (const [method, body, text] of IMPOSSIBLE) {
        expect([method, (await socket.call(method, body)).Err]).to.deep.equal([method, text]);
      }
    });

    it('refuses bodies that are none, on every method that needs one', async () => {
      const nest = `${'['.repeat(20_000)}${']'.repeat(20_000)}`;
      const deep = `{"NetworkID":${nest},"PoolID":${nest},"AddressSpace":${nest},"Options":${nest}}`;
      for (const method of METHODS) {
        const [, verb = ''] = method.split('.');
        const says = async (body: string | Uint8Array): Promise<string | undefined> =>
          (await socket.call(method, body)).Err;
        const notJson = `${verb}: the request body is not a JSON object: nothing was done (invalid, req ID)`;
        for (const body of [
          '{',
          '{"NetworkID":',
          'null',
          '[]',
          '"x"',
          '7',
          '\u0000',
          Buffer.of(0xff, 0xfe),
          '}{',
        ]) {
          expect([method, String(body), await says(body)]).to.deep.equal([method, String(body), notJson]);
        }
        expect(await says(''), method).to.equal(
          `${verb}: the request has an empty body (the engine retried a call whose connection broke): nothing was done, start the container again (invalid, req ID)`,
        );
        expect(await says(JSON.stringify({ pad: 'x'.repeat(1024 * 1024) })), method).to.equal(
          'the request body has more than 512 kB: nothing was done (invalid, req ID)',
        );
        for (const wrong of [7, true, ['x'], '../../etc/pass wd', 'x'.repeat(300)]) {
          const fields = {
            NetworkID: wrong,
            EndpointID: wrong,
            PoolID: wrong,
            AddressSpace: wrong,
            Address: wrong,
            Options: wrong,
          };
          expect(await says(JSON.stringify(fields)), method).to.match(/\(invalid, req ID\)$/);
        }
        expect(await says(deep), method).to.match(/\(invalid, req ID\)$/);
      }
    });

    it('refuses unknown methods and verbs', async () => {
      for (const method of [
        'NetworkDriver.Explode',
        'VolumeDriver.Create',
        '',
        'admin/v1',
        'x'.repeat(300),
      ]) {
        const reply = await socket.call(method, {});
        expect([reply.status, reply.Err]).to.deep.equal([
          404,
          `the plugin has no method "${method.slice(0, 64)}" (not_found, req ID)`,
        ]);
      }
      for (const verb of ['GET', 'PUT', 'DELETE']) {
        const reply = await socket.call('IpamDriver.RequestPool', {}, verb);
        expect([reply.status, reply.Err]).to.deep.equal([
          400,
          'IpamDriver.RequestPool must be called with POST (invalid, req ID)',
        ]);
      }
    });

    it('answers pipelined requests, and closes a connection on which garbage comes', async () => {
      const good = 'POST /Plugin.Activate HTTP/1.1\r\nHost:\r\nContent-Length: 0\r\n\r\n';
      expect((await socket.raw(`${good}${good}`, 300)).match(/"Implements"/g)).to.have.length(2);
      expect(await socket.raw(`${good}\u0001\u0002 garbage\r\n\r\n`)).to.contain('400 Bad Request');
      expect(await socket.raw('\u0000'.repeat(100_000))).to.match(/^(HTTP\/1\.1 400 Bad Request|$)/);
      expect(await socket.raw(`POST /${'x'.repeat(100_000)} HTTP/1.1\r\n`)).to.match(/^HTTP\/1\.1 4/);
      const broken = 'POST /IpamDriver.RequestPool HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"Pool"';
      expect(await socket.raw(broken, 200)).to.equal('');
      const chunked =
        'POST /IpamDriver.RequestPool HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n';
      expect(await socket.raw(chunked, 200)).to.match(/^(HTTP\/1\.1 400 |$)/);
    });
  });

  describe('after all of it', () => {
    it('has left nothing of all that, and the same daemons live without an error of their own', async () => {
      for (const machine of lab.machines) {
        await exact(machine);
        expect(
          await machine.docker('network', 'ls', '--filter', 'driver=lanius', '--format', '{{.Name}}'),
        ).to.equal('flat');
        expect(
          await machine.sh('ls /var/lib/lanius/networks /var/lib/lanius/claims | grep -c json'),
        ).to.equal('2');
        expect(await bugs(machine)).to.deep.equal([]);
        await machine.docker('run', '--rm', '--network', 'flat', IMAGE, 'ping', '-c1', '-W2', '10.77.30.77');
      }
      expect(await everywhere(daemonPid)).to.deep.equal(pids);
      const pools = await lab.etcd.ctl('get', '--prefix', '--keys-only', '/lanius/v1/pools/');
      expect(
        pools
          .trim()
          .split('\n')
          .filter((key) => key !== ''),
      ).to.have.length(1);
      await everywhere(removeAll);
    });
  });

  describe('without --subnet', () => {
    before(() =>
      everywhere(async (machine) => {
        const pools = [
          { name: 'apart', subnet: '10.99.0.0/24', gateway: '10.99.0.254' },
          { name: 'lan', subnet: '10.77.64.0/24' },
        ];
        await machine.writeConfig(labConfig(lab, { ipam: { pools, defaultPool: 'apart' } }));
        await machine.restartLanius();
      }),
    );

    it('takes the default pool, and its gateway', () =>
      everywhere(async (machine) => {
        await machine.docker('network', 'create', ...DRIVERS, ...PARENT, 'auto');
        const shown = await machine.docker('run', '--rm', '--network', 'auto', IMAGE, 'ip', 'route');
        expect(shown).to.match(/^default via 10\.99\.0\.254 dev eth0/);
        await machine.docker('network', 'rm', 'auto');
      }));

    it('refuses a pool that overlaps a route of the host, instead of being asked for ever', () =>
      everywhere(async (machine) => {
        const before = await countCalls(machine, 'IpamDriver.RequestPool');
        const args = [...DRIVERS, ...PARENT, '--ipam-opt', 'pool=lan', 'bad'];
        const said = await machine.tryDocker('network', 'create', ...args);
        const calls = (await countCalls(machine, 'IpamDriver.RequestPool')) - before;
        // Engines from 27 on take any pool of an IPAM plugin.
        if (machine.engine === '28.5') {
          expect([said.status, calls], said.stderr).to.deep.equal([0, 1]);
          await machine.docker('network', 'rm', 'bad');
          return;
        }
        const words =
          'pool 10.77.64.0/24 overlaps a route or name server of this host, so the engine will not choose it by itself: create the network with --subnet 10.77.64.0/24';
        expectWords(refusal(said), pool(words, 'conflict'), machine);
        expect(calls).to.equal(2);
        await createNetwork(machine, { name: 'lan', subnet: '10.77.64.0/24', gateway: '10.77.64.1' });
        await machine.docker('run', '--rm', '--network', 'lan', IMAGE, 'true');
        await machine.docker('network', 'rm', 'lan');
        expect(await bugs(machine)).to.deep.equal([]);
      }));
  });
});
