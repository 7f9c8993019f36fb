/** `lanius purge` on a machine without systemd, in a cluster: test/uml/rpm-reboot.ts has it with the units and the package. */
import { expect } from 'chai';
import { createNetwork } from '../support/flat.ts';
import { Lab } from '../support/lab.ts';
import type { Machine } from '../support/machine.ts';
import { startPing } from '../support/ping.ts';
import { need } from '../support/require.ts';

describe('e2e/purge', function () {
  this.timeout(240_000);
  let lab: Lab;
  let h1: Machine;

  before(async function () {
    need(this, 'root', 'docker', 'lab');
    lab = await Lab.up({ machines: [{ name: 'h1', engine: '28.5' }], etcd: true });
    h1 = lab.machine('h1');
    await h1.startLanius({ etcd: { hosts: [lab.etcd.endpoint] } });
    await h1.startEngine();
    const options = ['-o', 'macvlan_mode=private', '-o', 'enforce=host'];
    await createNetwork(h1, { name: 'flat', subnet: '10.77.0.0/16', gateway: '10.77.0.2', options });
    const words = ['--name', 'web', '--network', 'flat', '-e', 'net_out=20mbit'];
    await h1.docker('run', '-d', ...words, 'bb:1', 'sleep', '100000');
    expect(await h1.sh('tc class show dev eth0')).to.contain('20Mbit');
  });
  after(() => lab?.down());

  const addressOfWeb = () =>
    h1.docker('inspect', '-f', '{{.NetworkSettings.Networks.flat.IPAddress}}', 'web');

  it('refuses while a container runs, and while a daemon runs that systemd does not know of', async () => {
    const refused = await h1.tryLanius('purge', '--yes');
    expect(refused.status).to.equal(1);
    expect(refused.stderr).to.contain('web run on networks of Lanius');
    const forced = await h1.tryLanius('purge', '--yes', '--force');
    expect(forced.status).to.equal(1);
    expect(forced.stderr).to.match(/the state folder .* is in use by another daemon \(pid \d+\)/);
    expect(await keysOf(lab)).to.include('hosts/h1');
  });

  it('shows what it would remove, and asks where somebody could answer', async () => {
    const dry = (await h1.tryLanius('purge', '--dry-run', '--force', '-o', 'json')).stdout;
    const { done, items, kept } = JSON.parse(dry) as {
      done: boolean;
      items: { what: string; object: string }[];
      kept: { name: string }[];
    };
    expect(done).to.equal(false);
    expect(items).to.deep.include({ what: 'registration', object: 'host h1 in etcd' });
    expect(items).to.deep.include({ what: 'addresses', object: '1 leased by host h1' });
    expect(kept.map(({ name }) => name)).to.deep.equal(['flat']);
    const silent = await h1.tryLanius('purge', '--force');
    expect(silent.status).to.equal(2);
    expect(silent.stderr).to.contain('say --yes');
  });

  it('with force cuts off nothing either where the engine does not answer, however often', async () => {
    await h1.stopLanius();
    const blind = '/etc/lanius/blind.json';
    const config = { etcd: { hosts: [lab.etcd.endpoint] }, docker: { socket: '/run/nobody.sock' } };
    await h1.writeFile(blind, JSON.stringify(config));
    const refused = await h1.tryLanius('purge', '--yes', '--config', blind);
    expect(refused.stderr).to.contain('web run on networks of Lanius');
    const ping = await startPing(lab.outside, await addressOfWeb(), 10);
    for (let turn = 0; turn < 2; turn++) {
      await h1.writeFile(blind, JSON.stringify(config));
      const said = await h1.tryLanius('purge', '--yes', '--force', '--config', blind);
      expect(said.status, said.stderr).to.equal(0);
      expect(said.stderr).to.contain('are taken from the records');
      expect(said.stdout).to.match(/network [0-9a-f]{12} keeps its links: web run on it/);
      expect(said.stdout).to.contain('/var/lib/lanius/endpoints stays');
    }
    expect(await ping.stop()).to.include({ lost: 0 });
    expect(await h1.sh('tc class show dev eth0')).to.contain('20Mbit');
  });

  it('with force gives up the address of a running container, and does not cut it off', async () => {
    const ip = await addressOfWeb();
    const ping = await startPing(lab.outside, ip, 10);
    const { status, stderr, stdout } = await h1.tryLanius('purge', '--yes', '--force');
    expect(status, stderr).to.equal(0);
    expect(stdout).to.contain('network flat keeps its links: web run on it');
    expect(await ping.stop()).to.include({ lost: 0 });
    expect(await h1.sh('tc class show dev eth0')).to.contain('20Mbit');
    const keys = await keysOf(lab);
    expect(keys.filter((key) => /h1|leases|holds|uses/.test(key))).to.deep.equal([]);
    expect(await h1.sh('ls -A /var/lib/lanius /etc/lanius')).to.equal('/etc/lanius:\n\n/var/lib/lanius:');
  });

  it('removes the rest when the engine has gone, and then finds nothing any more', async () => {
    await h1.stopEngine();
    // the ARP responder that the running container had
    expect((await h1.tryLanius('purge', '--yes')).stdout).to.contain('nothing is left of Lanius');
    expect(await h1.sh('tc qdisc show dev eth0; ip link show type ifb')).to.not.match(/htb|ifb/);
    const { status, stdout } = await h1.tryLanius('purge', '--yes');
    expect(`${status} ${stdout}`).to.equal('0 there is nothing of Lanius on this host\n');
  });
});

/** Relative to the prefix. */
async function keysOf(lab: Lab): Promise<string[]> {
  const text = await lab.etcd.ctl('get', '--prefix', '--keys-only', '/lanius/v1/');
  return text
    .split('\n')
    .filter((key) => key !== '')
    .map((key) => key.replace('/lanius/v1/', ''));
}
