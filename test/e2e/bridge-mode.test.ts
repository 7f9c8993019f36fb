import { expect } from 'chai';
import { onEach } from '../support/crash.ts';
import { createNetwork, exact, type FlatOptions, IMAGE, labConfig, running, THREE } from '../support/flat.ts';
import { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { type Ping, startPing } from '../support/ping.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

const BRIDGE: FlatOptions = {
  name: 'bridged',
  subnet: '10.77.0.0/16',
  gateway: '10.77.0.2',
  options: ['--ip-range', '10.77.200.0/24', '-o', 'mode=bridge'],
};
const ADOPTING: FlatOptions = { ...BRIDGE, options: [...(BRIDGE.options ?? []), '-o', 'adopt_address=true'] };
/** One packet may come in the very moment of the change. */
const MOVE_GAP_MS = 10;
/** Frames are not taken from a port while the kernel takes it off its bridge. */
const RELEASE_GAP_MS = 150;

/** The parent is eth0, by which the machine reaches etcd, and is reached. */
describe('e2e/mode=bridge, three engines', function () {
  this.timeout(240_000);
  let lab: Lab;
  let original: Map<string, string>;
  let pings: readonly Ping[] = [];

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await Lab.up(THREE);
    await onEach(lab, (machine) => machine.startLanius(labConfig(lab)));
    await onEach(lab, (machine) => machine.startEngine());
    original = new Map(
      await onEach(lab, async (machine) => [machine.name, await addressing(machine)] as const),
    );
  });
  after(async () => {
    await Promise.all(pings.map((ping) => ping.stop().catch(() => undefined)));
    lab?.down();
  });

  async function pingMachines(): Promise<void> {
    pings = await onEach(lab, (machine) => startPing(lab.outside, machine.address));
  }
  /** @returns the longest gap of all, in ms */
  async function gap(): Promise<number> {
    const counts = await Promise.all(pings.map((ping) => ping.stop()));
    pings = [];
    expect(counts.every(({ sent }) => sent > 10)).to.equal(true);
    return Math.max(...counts.map(({ longestGapMs }) => longestGapMs));
  }

  it('refuses a parent that carries addresses, with what helps, and changes nothing', async () => {
    await onEach(lab, async (machine) => {
      const refusal = await createNetwork(machine, BRIDGE).catch((error: Error) => error.message);
      expect(refusal)
        .to.include(`parent link eth0 carries the host's address ${machine.address}/16`)
        .and.include('add -o adopt_address=true');
      expect(await addressing(machine)).to.equal(original.get(machine.name));
    });
  });

  it('moves the addresses of the parent to the bridge, and the machines answer all the time', async () => {
    await pingMachines();
    await onEach(lab, (machine) => createNetwork(machine, ADOPTING));
    await onEach(lab, async (machine) => {
      const moved = original.get(machine.name)?.replaceAll(/\beth0\b/g, 'br-eth0');
      expect(await addressing(machine)).to.equal(moved);
    });
    expect(await gap()).to.be.at.most(MOVE_GAP_MS);
  });

  it('doctor says that the firewall sees what the bridge forwards, and how it passes', async () => {
    await onEach(lab, async (machine) => {
      const seen = (await machine.sh('cat /proc/sys/net/bridge/bridge-nf-call-iptables || true')) === '1';
      const report = (await machine.tryLanius('doctor', '-o', 'json')).stdout;
      expect(report.includes('"bridge br-eth0"')).to.equal(seen);
      await letPass(machine);
    });
  });

  it('containers of all machines, their hosts and the segment reach each other', async () => {
    await onEach(lab, (machine) => start(machine, 'c1'));
    const ips = await onEach(lab, async (machine) => (await running(machine, 'bridged'))[0]?.ip ?? '');
    for (const machine of lab.machines) {
      const hosts = lab.machines.map(({ address }) => address);
      for (const ip of [...ips, ...hosts, lab.outside.address])
        await machine.docker('exec', 'c1', 'ping', '-c', '1', '-W', '2', ip);
      for (const ip of ips) await machine.sh(`ping -c 1 -W 2 ${ip}`);
    }
    for (const machine of lab.machines) await exact(machine, {}, 'bridged');
  });

  it('the MAC of a machine stays the same while containers come and go, and no packet is lost', async () => {
    const macs = (): Promise<string[]> =>
      onEach(lab, (machine) => machine.sh('cat /sys/class/net/br-eth0/address'));
    const first = await macs();
    expect(first).to.deep.equal(
      await onEach(lab, (machine) => machine.sh('cat /sys/class/net/eth0/address')),
    );
    await pingMachines();
    await onEach(lab, async (machine) => {
      for (const name of ['d1', 'd2', 'd3']) await start(machine, name);
      await machine.docker('rm', '-f', 'd1', 'd2', 'd3');
    });
    expect(await macs()).to.deep.equal(first);
    for (const [index, machine] of lab.machines.entries()) {
      const shown = await lab.outside.exec(['ip', 'neigh', 'show', machine.address]);
      expect(shown.stdout).to.include(first[index]);
    }
    expect(await gap()).to.equal(0);
  });

  it('nothing is left of a container that is killed or removed', async () => {
    await onEach(lab, async (machine) => {
      await start(machine, 'victim');
      expect(await hostEnds(machine)).to.have.length(2);
      await machine.docker('kill', 'victim');
      await until('its host end is gone', async () => (await hostEnds(machine)).length === 1);
      await machine.docker('rm', '-f', 'victim');
      await exact(machine, {}, 'bridged');
    });
  });

  it('a daemon that is killed and comes back changes nothing, and no packet is lost', async () => {
    await pingMachines();
    const shown = await onEach(lab, addressing);
    await onEach(lab, (machine) => machine.restartLanius('SIGKILL'));
    await onEach(lab, (machine) => machine.lanius('reconcile'));
    expect(await onEach(lab, addressing)).to.deep.equal(shown);
    await onEach(lab, async (machine) => expect(await hostEnds(machine)).to.have.length(1));
    expect(await gap()).to.equal(0);
  });

  it('after a power cut bridge, addresses and containers with --restart are back', async () => {
    const [machine] = lab.machines;
    if (machine === undefined) throw new Error('the lab has no machine');
    await machine.docker('update', '--restart', 'always', 'c1');
    await machine.cutPower();
    await machine.boot();
    await machine.startLanius();
    await machine.startEngine();
    await letPass(machine);
    const moved = original.get(machine.name)?.replaceAll(/\beth0\b/g, 'br-eth0');
    expect(await addressing(machine)).to.equal(moved);
    await until('the container runs', async () => (await running(machine, 'bridged')).length === 1, {
      timeoutMs: 20_000,
    });
    await machine.docker('exec', 'c1', 'ping', '-c', '1', '-W', '2', machine.address);
    await machine.docker('exec', 'c1', 'ping', '-c', '1', '-W', '2', lab.outside.address);
  });

  it('with the last network the addresses go back exactly, and the bridge goes', async () => {
    await onEach(lab, (machine) => machine.docker('rm', '-f', 'c1'));
    await pingMachines();
    await onEach(lab, (machine) => machine.docker('network', 'rm', 'bridged'));
    await onEach(lab, (machine) =>
      until('the bridge is gone', async () => !(await machine.sh('ip -o link')).includes('br-eth0')),
    );
    await onEach(lab, async (machine) =>
      expect(await addressing(machine)).to.equal(original.get(machine.name)),
    );
    const longest = await gap();
    console.log(`      longest gap ${longest} ms`);
    expect(longest).to.be.at.most(RELEASE_GAP_MS);
  });
});

function start(machine: Machine, name: string): Promise<string> {
  const words = ['-d', '--name', name, '--network', 'bridged', '--stop-signal', 'KILL'];
  return machine.docker('run', ...words, IMAGE, 'sleep', '100000');
}

/** The remedy of doctor, word for word. */
function letPass(machine: Machine): Promise<string> {
  return machine.sh('iptables -I DOCKER-USER -i br-eth0 -o br-eth0 -j ACCEPT');
}

/** Addresses and routes of a machine, but those of its engine. */
function addressing(machine: Machine): Promise<string> {
  return machine.sh(
    "ip -o addr show scope global | sed 's/^[0-9]*: *//' | grep -v docker0; " +
      'ip route show table all | grep -vE "docker0|^(local|broadcast|multicast|anycast|fe80|ff00)"',
  );
}

async function hostEnds(machine: Machine): Promise<string[]> {
  return (await machine.sh('ip -o link')).split('\n').filter((line) => / lh[0-9a-f]{12}@/.test(line));
}
