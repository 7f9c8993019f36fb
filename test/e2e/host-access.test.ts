import { expect } from 'chai';
import { shimNameOf } from '../../core/ids.ts';
import { labPrefix } from '../support/checkout.ts';
import { every10ms, onEach, pingAll } from '../support/crash.ts';
import { flatLab, IMAGE, running } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import type { Place } from '../support/ping.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

const SHIM = shimNameOf('eth0');
const NETWORKS = [
  // The hosts (10.77.0.1x, fd77::1x) are in its subnets.
  {
    name: 'near',
    args: ['--subnet', '10.77.0.0/16', '--ip-range', '10.77.40.0/24', '--gateway', '10.77.0.2'],
  },
  // They are not; what is behind the gateway finds no way back.
  { name: 'far', args: ['--subnet', '10.78.0.0/24', '--gateway', '10.78.0.1'] },
] as const;
const IPV6 = ['--ipv6', '--subnet', 'fd77::/64'];

describe('e2e/host access, three engines', function () {
  this.timeout(240_000);
  let lab: Lab;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await flatLab({ name: 'other', subnet: '10.79.0.0/24', gateway: '10.79.0.1' });
    await onEach(lab, async (machine) => {
      await machine.sh(`ip addr add ${hostIpv6(machine)}/64 dev eth0 nodad`);
      for (const network of NETWORKS) await create(machine, network);
    });
  });
  after(() => lab?.down());

  function create(machine: Machine, { name, args }: (typeof NETWORKS)[number], ...more: readonly string[]) {
    const drivers = [
      '-d',
      'lanius',
      '--ipam-driver',
      'lanius',
      '-o',
      'parent=eth0',
      '-o',
      'host_access=true',
    ];
    const ipv6 = name === 'near' ? IPV6 : [];
    return machine.docker('network', 'create', ...drivers, ...args, ...ipv6, ...more, name);
  }

  it('host and container reach each other by IPv4 and IPv6, in whatever subnet the host is', async () => {
    await onEach(lab, async (machine) => {
      for (const { name } of NETWORKS) await run(machine, `c-${name}`, name);
      for (const { name } of NETWORKS) {
        const [container] = await running(machine, name);
        const ip = container?.ip ?? '';
        await machine.sh(`ping -c1 -W1 ${ip}`);
        await inside(machine, `c-${name}`, machine.address);
        expect(await machine.sh(`ip route get ${ip}`)).to.contain(`dev ${SHIM} src ${machine.address}`);
      }
      const ipv6 = await ipv6Of(machine, 'c-near');
      await machine.sh(`ping -6 -c1 -W1 ${ipv6}`);
      await until('the container reaches the host by IPv6', () =>
        inside(machine, 'c-near', hostIpv6(machine)),
      );
    });
  });

  it('the host is reached by the segment as before, and containers are by the other machines', async () => {
    const ips = (await onEach(lab, (machine) => running(machine, 'near'))).flat().map(({ ip }) => ip);
    for (const machine of lab.machines) {
      const said = await lab.outside.exec(['ping', '-c1', '-W1', machine.address]);
      expect(said.status, said.stdout).to.equal(0);
    }
    for (const ip of ips) {
      expect((await lab.outside.exec(['ping', '-c1', '-W2', ip])).status, ip).to.equal(0);
      await onEach(lab, (machine) => inside(machine, 'c-near', ip));
    }
    const table = (await lab.outside.exec(['ip', 'neigh'])).stdout;
    await onEach(lab, async (machine) => {
      const shim = (await machine.sh(`cat /sys/class/net/${SHIM}/address`)).trim();
      expect(table).not.to.contain(shim);
    });
  });

  it('no packet is lost while the daemon is killed and starts again; it puts back what somebody removed', async () => {
    await onEach(lab, async (machine) => {
      const ips = [];
      for (const { name } of NETWORKS) ips.push(...(await running(machine, name)).map(({ ip }) => ip));
      const pings = await pingAll(hostOf(machine), every10ms(ips));
      await machine.restartLanius('SIGKILL');
      const sent = await pings.expectNoLoss();
      console.log(`      ${machine.engine}: ${sent} packets from the host, 0 lost`);
      const [first = ''] = ips;
      await machine.sh(`ip route del ${first}/32; ip link set ${SHIM} down`);
      await machine.restartLanius();
      await machine.sh(`ping -c1 -W1 ${first}`);
    });
  });

  it('routes go with docker rm, and stay away when a crash came between', async () => {
    await onEach(lab, async (machine) => {
      await machine.docker('rm', '-f', 'c-near', 'c-far');
      await until('the routes are gone', async () => (await routes(machine)).length === 0, {
        timeoutMs: 2000,
      });
      await run(machine, 'c-near', 'near');
      expect(await routes(machine)).to.have.length(2);
      await machine.stopLanius();
      await machine.startLanius(undefined, { LANIUS_FAILPOINT: 'host-access.before-removal=kill' });
      const removal = machine.tryDocker('rm', '-f', 'c-near');
      await killed(machine, 'host-access.before-removal');
      await machine.startLanius();
      await until('the routes are gone', async () => (await routes(machine)).length === 0);
      expect((await removal).status).to.equal(0);
      await noLeaks(machine);
    });
  });

  it('a start that a crash cut off leaves no route', async () => {
    await onEach(lab, async (machine) => {
      await machine.stopLanius();
      await machine.startLanius(undefined, { LANIUS_FAILPOINT: 'host-access.after-routes=kill' });
      const start = machine.tryDocker('run', '--name', 'cut', '--network', 'near', IMAGE, 'true');
      await killed(machine, 'host-access.after-routes');
      expect(await routes(machine)).to.have.length(2);
      await machine.startLanius();
      await start;
      await until('the routes are gone', async () => (await routes(machine)).length === 0, {
        timeoutMs: 15_000,
      });
      await machine.docker('rm', '-f', 'cut');
      await noLeaks(machine);
    });
  });

  it('says what it cannot do', async () => {
    const [machine] = lab.machines;
    if (machine === undefined) return;
    for (const [options, text] of [
      [['-o', 'macvlan_mode=private'], /macvlan_mode=private keeps the containers of one host apart/],
      [['-o', 'mode=ipvlan'], /mode=ipvlan has none/],
    ] as const) {
      const drivers = [
        '-d',
        'lanius',
        '--ipam-driver',
        'lanius',
        '-o',
        'parent=eth0',
        '-o',
        'host_access=true',
      ];
      const said = await machine.tryDocker(
        ...['network', 'create', ...drivers, ...options, '--subnet', '10.80.0.0/24', 'no'],
      );
      expect(said.status).to.equal(1);
      expect(said.stderr).to.match(text);
    }
    await noLeaks(machine);
  });

  it('the shim goes with the last network, also when a crash came between', async () => {
    await onEach(lab, async (machine) => {
      await machine.docker('network', 'rm', 'near');
      expect(await machine.sh(`ip -o link show ${SHIM}`)).to.contain('lanius:shim');
      await machine.docker('network', 'rm', 'far');
      await until('the shim is gone', async () => !(await machine.sh('ip -o link')).includes(SHIM));
      await machine.stopLanius();
      await machine.startLanius(undefined, { LANIUS_FAILPOINT: 'network.after-uplink=kill' });
      const making = create(machine, NETWORKS[0]).catch(() => '');
      await killed(machine, 'network.after-uplink');
      expect(await machine.sh('ip -o link')).to.contain(SHIM);
      await machine.startLanius();
      await making;
      await machine.tryDocker('network', 'rm', 'near');
      await until('the shim is gone', async () => !(await machine.sh('ip -o link')).includes(SHIM));
      await noLeaks(machine);
    });
  });

  it('lanius doctor --leaks names what nobody owns, until reconciliation has removed it', async () => {
    await onEach(lab, async (machine) => {
      const add = (name: string, alias: string) =>
        machine.sh(`ip link add ${name} link eth0 type macvlan && ip link set ${name} alias ${alias}`);
      await add('stray', 'lanius:of-a-later-version');
      const found = await machine.tryLanius('doctor', '--leaks', '-o', 'json');
      expect(found.status).to.equal(1);
      expect(JSON.parse(found.stdout)).to.deep.equal({
        ok: false,
        belongings: [{ kind: 'link', object: 'stray' }],
      });
      const text = await machine.tryLanius('doctor', '--leaks');
      expect(text.stdout).to.match(/link +stray +nobody\n1 left over\n$/);
      await machine.sh('ip link del stray');
      await add('lnfefefefefefe', `lanius:${'fe'.repeat(32)}`);
      await machine.lanius('reconcile');
      await noLeaks(machine);
    });
  });
});

/** Its network, with the programs of the test's own machine. */
function hostOf({ name }: Machine): Place {
  return { command: (command) => ['nsenter', `--net=/run/netns/${labPrefix()}${name}`, ...command] };
}

function hostIpv6({ address }: Machine): string {
  return `fd77::${address.split('.').at(-1)}`;
}

function run(machine: Machine, name: string, network: string): Promise<string> {
  const quick = ['--stop-signal', 'KILL', '--network', network];
  return machine.docker('run', '-d', '--name', name, ...quick, IMAGE, 'sleep', '100000');
}

/** @throws if the container does not reach the address */
async function inside(machine: Machine, container: string, ip: string): Promise<true> {
  await machine.docker('exec', container, 'ping', '-c', '1', '-W', '1', ip);
  return true;
}

async function ipv6Of(machine: Machine, container: string): Promise<string> {
  const format = '{{range .NetworkSettings.Networks}}{{.GlobalIPv6Address}}{{end}}';
  return (await machine.docker('inspect', '-f', format, container)).trim();
}

async function routes(machine: Machine): Promise<string[]> {
  const said = await machine.sh('ip route show proto 76; ip -6 route show proto 76');
  return said.split('\n').filter((line) => line !== '');
}

async function killed(machine: Machine, failpoint: string): Promise<void> {
  const line = `failpoint ${failpoint}: killed`;
  await until(line, async () => (await machine.log('lanius')).includes(line), { timeoutMs: 20_000 });
  await machine.stopLanius('SIGKILL'); // dead already: waits until it is gone
}

/** Reconciliation and the keeper have their time. */
async function noLeaks(machine: Machine): Promise<void> {
  await until(
    'nothing is left over',
    async () => {
      const said = await machine.tryLanius('doctor', '--leaks');
      if (said.status !== 0) throw new Error(said.stdout + said.stderr);
      return said.stdout === 'nothing is left over\n';
    },
    { timeoutMs: 15_000, intervalMs: 500 },
  );
}
