import { expect } from 'chai';
import { parseIp } from '../../core/ip.ts';
import { DEFAULT_MAC_PREFIX, macOf } from '../../core/mac.ts';
import { onEach } from '../support/crash.ts';
import { flatLab, IMAGE } from '../support/flat.ts';
import type { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

const DUAL = ['--ipv6', '--subnet', '10.78.0.0/24', '--subnet', 'fd78::/64', '--gateway', '10.78.0.1'];
/** Engines before 28 give every network IPv4. */
const SIX = ['--ipv4=false', '--ipv6', '--subnet', 'fd79::/64'];

describe('e2e/both families, and IPv6 alone', function () {
  this.timeout(180_000);
  let lab: Lab;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await flatLab({
      lab: {
        machines: [
          { name: 'h1', engine: '20.10' },
          { name: 'h2', engine: '26.1' },
          { name: 'h3', engine: '28.5' },
          { name: 'h4', engine: '28.5' },
        ],
        etcd: true,
      },
    });
  });
  after(() => lab?.down());

  const create = (machine: Machine, name: string, ...args: readonly string[]) =>
    machine.docker(
      ...['network', 'create', '-d', 'lanius', '--ipam-driver', 'lanius', '-o', 'parent=eth0', ...args, name],
    );

  it('containers of a network with both families reach each other by both, over machines', async () => {
    await onEach(lab, async (machine) => {
      await create(machine, 'dual', ...DUAL);
      await run(machine, 'dual');
    });
    const all = await onEach(lab, (machine) => addressesOf(machine, 'dual'));
    await onEach(lab, async (machine) => {
      for (const { ipv4, ipv6, mac } of all) {
        expect(mac).to.equal(macOf(DEFAULT_MAC_PREFIX, parseIp(ipv4)));
        for (const ip of [ipv4, ipv6]) await inside(machine, 'dual', 'ping', '-c1', '-W2', ip);
      }
    });
  });

  it('an internal network with both families has no default route of either', async () => {
    await onEach(lab, async (machine) => {
      await machine.docker('rm', '-f', 'dual');
      await machine.docker('network', 'rm', 'dual');
      await create(machine, 'inner', ...DUAL, '--internal');
      await run(machine, 'inner');
      for (const family of ['-4', '-6'])
        expect(await inside(machine, 'inner', 'ip', family, 'route')).not.to.contain('default');
    });
    const all = await onEach(lab, (machine) => addressesOf(machine, 'inner'));
    await onEach(lab, async (machine) => {
      for (const { ipv4, ipv6 } of all)
        for (const ip of [ipv4, ipv6]) await inside(machine, 'inner', 'ping', '-c1', '-W2', ip);
    });
  });

  it('engine 28 has networks of IPv6 alone, whose MACs follow from the IPv6 addresses', async () => {
    const machines = [lab.machine('h3'), lab.machine('h4')];
    const all = await Promise.all(
      machines.map(async (machine) => {
        await create(machine, 'six', ...SIX);
        await run(machine, 'six');
        return addressesOf(machine, 'six');
      }),
    );
    expect(new Set(all.map(({ ipv6 }) => ipv6)).size).to.equal(2);
    for (const { ipv4, ipv6, mac } of all) {
      expect(ipv4).to.equal('');
      expect(mac).to.equal(macOf(DEFAULT_MAC_PREFIX, parseIp(ipv6)));
      for (const machine of machines) await inside(machine, 'six', 'ping', '-c1', '-W2', ipv6);
    }
    await Promise.all(
      machines.map(async (machine) => {
        await machine.docker('rm', '-f', 'six');
        await machine.docker('network', 'rm', 'six');
      }),
    );
  });

  it('leaves nothing', async () => {
    await onEach(lab, async (machine) => {
      await machine.docker('rm', '-f', 'inner');
      await machine.docker('network', 'rm', 'inner');
      await until('nothing is left over', async () => {
        return (await machine.askLanius('doctor', '--leaks')).status === 0;
      });
    });
  });
});

function run(machine: Machine, name: string): Promise<string> {
  const quick = ['--stop-signal', 'KILL', '--network', name];
  return machine.docker('run', '-d', '--name', name, ...quick, IMAGE, 'sleep', '100000');
}

function inside(machine: Machine, name: string, ...command: readonly string[]): Promise<string> {
  return machine.docker('exec', name, ...command);
}

interface Addresses {
  readonly ipv4: string;
  readonly ipv6: string;
  readonly mac: string;
}

async function addressesOf(machine: Machine, name: string): Promise<Addresses> {
  const format =
    '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.GlobalIPv6Address}} {{.MacAddress}}{{end}}';
  const said = (await machine.docker('inspect', '-f', format, name)).replaceAll('invalid IP', '');
  const [ipv4 = '', ipv6 = '', mac = ''] = said.trimEnd().split(' ');
  return { ipv4, ipv6, mac };
}
