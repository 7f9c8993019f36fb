/**
 * Runs inside user-mode Linux (e2e/uml.test.ts starts it): two machines on a trunk, containers on two VLANs of the
 * engine's own macvlan driver. It proves the lab, not Lanius.
 */
import { expect } from 'chai';
import { Lab } from '../support/lab.ts';
import { need } from '../support/require.ts';

describe('uml/vlan', () => {
  let lab: Lab;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'lab');
    lab = await Lab.up({
      machines: [
        { name: 'h1', engine: '20.10' },
        { name: 'h2', engine: '28.5' },
      ],
      engines: true,
      vlans: [5, 6],
    });
    for (const [index, machine] of lab.machines.entries()) {
      for (const vlan of [5, 6]) {
        const subnet = `10.${vlan}.0.0/16`;
        const range = `10.${vlan}.${index + 1}.0/24`;
        await machine.docker(
          ...['network', 'create', '-d', 'macvlan', '--subnet', subnet, '--ip-range', range],
          ...['-o', `parent=eth0.${vlan}`, `vlan${vlan}`],
        );
      }
    }
    const [h1] = lab.machines;
    const serve = 'while :; do echo hello | nc -l -p 9000; done';
    await h1?.docker('run', '-d', '--network', 'vlan5', '--ip', '10.5.1.10', 'bb:1', 'sh', '-c', serve);
    await h1?.docker('run', '-d', '--network', 'vlan6', '--ip', '10.6.1.10', 'bb:1', 'sleep', '1000');
  });
  after(() => lab?.down());

  const ask = (command: string) =>
    lab.machine('h2').tryDocker('run', '--rm', '--network', 'vlan5', 'bb:1', 'sh', '-c', command);

  it('makes tagged sub-interfaces of the parent', async () => {
    expect(await lab.machine('h1').sh('ip -d -o link show eth0.5')).to.contain('vlan protocol 802.1Q id 5');
  });

  it('connects two machines within a VLAN by ping and TCP', async () => {
    const said = await ask('ping -c2 -i 0.2 -W2 10.5.1.10 >/dev/null && nc -w 5 10.5.1.10 9000 </dev/null');
    expect(said).to.include({ status: 0, stdout: 'hello\n' });
  });

  it('keeps VLANs apart', async () => {
    expect((await ask('ping -c1 -W1 10.6.1.10')).status).to.equal(1);
  });
});
