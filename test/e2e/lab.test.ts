import { expect } from 'chai';
import { Lab } from '../support/lab.ts';
import { startPing } from '../support/ping.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

const SERVER = '10.77.21.9';

describe('e2e/lab', function () {
  this.timeout(60_000);
  let lab: Lab;

  before(async function () {
    need(this, 'root', 'netns', 'docker', 'etcd', 'lab');
    lab = await Lab.up({
      machines: [
        { name: 'h1', engine: '20.10' },
        { name: 'h2', engine: '26.1' },
        { name: 'h3', engine: '28.5' },
      ],
      etcd: true,
      engines: true,
    });
  });
  after(() => lab?.down());

  const answers = async () => (await lab.outside.exec(['ping', '-c1', '-W1', SERVER])).status === 0;

  it('runs three engines of different versions, each with an identity of its own', async () => {
    const versions = await Promise.all(
      lab.machines.map((machine) => machine.docker('version', '-f', '{{.Server.Version}}')),
    );
    expect(versions.map((version) => version.split('.').slice(0, 2).join('.'))).to.deep.equal([
      '20.10',
      '26.1',
      '28.5',
    ]);
    const ids = await Promise.all(lab.machines.map((machine) => machine.sh('cat /etc/machine-id; hostname')));
    expect(new Set(ids).size).to.equal(3);
    expect(ids[2]).to.match(/^[0-9a-f]{32}\nh3$/);
  });

  it('has one etcd that every machine reaches', async () => {
    await lab.etcd.ctl('put', 'greeting', 'hello');
    const asked = lab.machines.map((machine) =>
      machine.sh(`ETCDCTL_API=3 etcdctl --endpoints=${lab.etcd.endpoint} get --print-value-only greeting`),
    );
    expect(await Promise.all(asked)).to.deep.equal(['hello', 'hello', 'hello']);
  });

  it('keeps the data of etcd over a crash, and loses nothing but time when it is frozen', async () => {
    await lab.etcd.kill();
    await lab.etcd.start();
    expect(await lab.etcd.ctl('get', '--print-value-only', 'greeting')).to.equal('hello\n');
    await lab.etcd.freeze();
    expect(
      (await lab.outside.exec(['etcdctl', '--command-timeout=300ms', 'get', 'greeting'])).status,
    ).to.not.equal(0);
    await lab.etcd.thaw();
    expect(await lab.etcd.ctl('get', '--print-value-only', 'greeting')).to.equal('hello\n');
  });

  it('connects containers of different engines by ping and TCP', async () => {
    await Promise.all(
      lab.machines.map((machine, index) =>
        machine.docker(
          'network',
          'create',
          '-d',
          'macvlan',
          '--subnet',
          '10.77.0.0/16',
          '--ip-range',
          `10.77.2${index + 1}.0/24`,
          '-o',
          'parent=eth0',
          'flat',
        ),
      ),
    );
    const serve = 'while :; do echo hello | nc -l -p 9000; done';
    await lab
      .machine('h1')
      .docker(
        'run',
        '-d',
        '--restart',
        'always',
        '--name',
        'server',
        '--network',
        'flat',
        '--ip',
        SERVER,
        'bb:1',
        'sh',
        '-c',
        serve,
      );
    for (const name of ['h2', 'h3']) {
      const ask = `ping -c2 -i 0.2 -W2 ${SERVER} >/dev/null && nc -w 2 ${SERVER} 9000 </dev/null`;
      const said = await lab
        .machine(name)
        .docker('run', '--rm', '--network', 'flat', 'bb:1', 'sh', '-c', ask);
      expect(said).to.equal('hello');
    }
    expect(await answers()).to.equal(true);
  });

  it('shows the sandbox of a container, and its engine socket, to the tests', async () => {
    const h1 = lab.machine('h1');
    const sandbox = await h1.sandbox('server');
    const [program = '', ...args] = sandbox.command(['ip', '-o', '-4', 'addr', 'show', 'dev', 'eth0']);
    expect(program).to.match(/machine-exec$/);
    expect((await h1.exec(args.slice(1))).stdout).to.contain(`${SERVER}/16`);
    expect(await h1.path('/run/docker.sock')).to.match(/^\/proc\/\d+\/root\/run\/docker\.sock$/);
  });

  it('counts exactly what a pulled cable costs', async () => {
    const h1 = lab.machine('h1');
    const ping = await startPing(lab.outside, SERVER, 10);
    await h1.cable('down');
    await new Promise((resolve) => setTimeout(resolve, 500));
    await h1.cable('up');
    await until('the container to answer again', answers);
    const count = await ping.stop();
    expect(count.sent).to.be.greaterThan(50);
    expect(count.longestGapMs).to.be.within(400, 3_000);
    expect(count.lost).to.be.within(40, 300);

    const quiet = await startPing(lab.outside, SERVER, 10);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await quiet.stop()).to.include({ lost: 0, longestGapMs: 0 });
  });

  it('ends every process at a power cut and brings the machine back with its disk', async () => {
    const h1 = lab.machine('h1');
    const identity = await h1.sh('cat /etc/machine-id');
    await h1.writeFile('/var/lib/lanius/note', 'kept');
    await h1.cutPower();
    expect(await answers()).to.equal(false);
    expect((await h1.exec(['true'])).stderr).to.contain('h1 is powered off');
    await h1.boot();
    await h1.startEngine('--live-restore');
    await until('the container with --restart always to answer', answers);
    expect(await h1.sh('cat /etc/machine-id /var/lib/lanius/note')).to.equal(`${identity}\nkept`);
  });

  it('keeps containers running under --live-restore while the engine crashes', async () => {
    const h1 = lab.machine('h1');
    const ping = await startPing(lab.outside, SERVER, 10);
    await h1.stopEngine('SIGKILL');
    expect((await h1.tryDocker('ps')).status).to.not.equal(0);
    await h1.startEngine('--live-restore');
    expect(await h1.docker('ps', '--format', '{{.Names}}')).to.equal('server');
    expect(await ping.stop()).to.include({ lost: 0 });
  });
});
