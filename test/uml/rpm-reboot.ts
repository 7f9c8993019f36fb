/**
 * The second boot of the host that rpm.ts has left: what is back without a hand, then the end of Lanius on this host as
 * docs/uninstall.md says, and the package that brings its own Node.
 *
 * One story: each test goes on where the one before ended.
 */
import { readlinkSync, rmSync } from 'node:fs';
import { expect } from 'chai';
import { pingAll } from '../support/crash.ts';
import { until } from '../support/poll.ts';
import { labFile, need } from '../support/require.ts';
import { run } from '../support/run.ts';
import {
  addressOf,
  CONFIG,
  docker,
  keysInEtcd,
  makeNetwork,
  OUTSIDE,
  RPMS,
  recall,
  sh,
  show,
  startContainer,
  untilLimited,
  untilServing,
} from './rpm-host.ts';

const PATIENTLY = { timeoutMs: 110_000, intervalMs: 500 };

describe('uml/rpm-reboot', function () {
  this.timeout(400_000);
  let ip: string;

  before(function () {
    need(this, 'root', 'docker', 'lab');
    ({ ip } = recall<{ ip: string }>('kept.json'));
  });

  it('has the container back after the boot, with its address, its VLAN, its lease and its limits, without a hand', async () => {
    await until('the engine serves', async () => (await run(['docker', 'ps'])).status === 0, PATIENTLY);
    const running = async () => (await docker('inspect', '-f', '{{.State.Running}}', 'kept')) === 'true';
    await until('the container runs', running, PATIENTLY);
    expect(await addressOf('kept')).to.equal(ip);
    await until('it is reached', async () => {
      return (await run(OUTSIDE.command(['ping', '-c1', '-W2', ip]))).status === 0;
    });
    const ready = Number(await show('lanius.service', 'ActiveEnterTimestampMonotonic'));
    const engine = Number(await show('docker.service', 'ExecMainStartTimestampMonotonic'));
    expect(ready, 'Lanius is ready before the engine starts').to.be.greaterThan(0).and.lessThan(engine);
    expect(await sh('lanius ip ls')).to.contain(ip);
    await untilLimited('kept');
  });

  it('refuses to be purged while a container runs', async () => {
    const { status, stderr } = await run(['lanius', 'purge', '--yes']);
    expect(status).to.equal(1);
    expect(stderr).to.contain('kept run on networks of Lanius');
    expect(await show('lanius.service', 'ActiveState')).to.equal('active');
  });

  it('is erased while a container runs: its traffic goes on, and rpm says what is left', async () => {
    const pings = await pingAll(OUTSIDE, [[ip, 10]]);
    const said = await sh('rpm -e lanius 2>&1');
    console.log(`      erased: 0 of ${await pings.expectNoLoss()} pings lost`);
    expect(said).to.contain('Left on this host: 1 networks and 1 endpoints');
    expect(said).to.contain('config.json.rpmsave');
    expect((await run(['systemctl', 'is-active', 'lanius.socket'])).stdout).to.equal('inactive\n');
  });

  it('goes on with what it finds when it is installed again', async () => {
    await sh(`rpm -i ${RPMS.first} 2>&1; mv ${CONFIG}.rpmsave ${CONFIG}`);
    await sh('systemctl enable -q --now lanius.socket lanius.service');
    await untilServing();
    expect(await sh('lanius ip ls')).to.contain(ip);
    await docker('restart', 'kept');
    expect(await addressOf('kept')).to.equal(ip);
  });

  it('is purged when its containers and networks are gone: nothing is left in kernel, etcd and files', async () => {
    await docker('rm', '-f', 'kept');
    await docker('network', 'rm', 'flat');
    await until(
      'doctor --leaks',
      async () => (await run(['lanius', 'doctor', '--leaks'])).status === 0,
      PATIENTLY,
    );
    const dry = await sh('lanius purge --dry-run');
    expect(dry)
      .to.match(/^unit +lanius.service/m)
      .and.to.match(/^registration +host uml in etcd/m);
    expect(await keysInEtcd()).to.include('hosts/uml');
    const said = await sh('lanius purge --yes');
    expect(said).to.contain('nothing is left of Lanius');
    expect((await keysInEtcd()).filter((key) => key.includes('uml'))).to.deep.equal([]);
    await sh('rpm -e lanius 2>&1');
    await expectNothingLeft();
    expect(await sh('ip -o link')).to.not.match(/lanius|eth0\.|ln[0-9a-f]{12}/);
  });

  it('runs as lanius-bundled with the Node that it brings and an etcd of its own, and is purged again', async () => {
    await sh(`rpm -i ${RPMS.bundled} 2>&1`);
    await sh('systemctl enable -q --now lanius.socket lanius.service');
    await untilServing();
    const pid = await show('lanius.service', 'MainPID');
    expect(readlinkSync(`/proc/${pid}/exe`)).to.equal('/usr/lib/lanius/node/bin/node');
    await makeNetwork();
    await startContainer('one');
    await sh(OUTSIDE.command(['ping', '-c1', '-W2', await addressOf('one')]).join(' '));
    expect(await sh('rpm -V lanius-bundled')).to.equal('');

    const forced = await sh('lanius purge --yes --force');
    expect(forced).to.contain('network flat keeps its links: one run on it');
    await sh(OUTSIDE.command(['ping', '-c1', '-W2', await addressOf('one')]).join(' '));
    await docker('rm', '-f', 'one').catch(() => {});
    await sh('systemctl stop docker.service docker.socket');
    // the engine's own note of the network, which no driver can take from it any more
    rmSync('/var/lib/docker/network', { recursive: true, force: true });
    await sh('lanius purge --yes');
    await sh('rpm -e lanius-bundled 2>&1');
    await expectNothingLeft();
    expect(await sh('ip -o link')).to.not.match(/lanius|eth0\.|ln[0-9a-f]{12}/);
  });
});

/** No file, no folder, no pin and no process of Lanius. */
async function expectNothingLeft(): Promise<void> {
  const where = '/etc /usr /var /run /root /sys/fs/bpf /tmp';
  const found = await sh(
    `find ${where} -xdev -iname '*lanius*' -not -path '${labFile('').slice(0, -1)}*' 2>/dev/null || true`,
  );
  expect(found).to.equal('');
  expect((await run(['pgrep', '-f', '/usr/lib/lanius'])).stdout).to.equal('');
}
