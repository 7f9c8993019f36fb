/**
 * Runs inside user-mode Linux under systemd (uml.test.ts starts it): the project's units with the real
 * docker.service, installed as README.md says, with the etcd that the daemon runs itself.
 *
 * One story: each test goes on where the one before ended.
 */
import { statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { AdminClient } from '../../cli/admin-client.ts';
import {
  ADMIN_PATHS,
  DEFAULT_ADMIN_SOCKET,
  type DoctorReport,
  type LeaseInfo,
} from '../../plugin/wire/admin.ts';
import { distFolder } from '../support/checkout.ts';
import { macOfIp } from '../support/flat.ts';
import { readAttributes, readResources } from '../support/mesos-grammar.ts';
import { type Place, startPing } from '../support/ping.ts';
import { until } from '../support/poll.ts';
import { labFile, need } from '../support/require.ts';
import { type RunResult, run, runOk } from '../support/run.ts';

const CONFIG = '/etc/lanius/config.json';
const SOCKET = '/run/docker/plugins/lanius.sock';
/** A shell or sleep as PID 1 ignores SIGTERM, and the engine would wait 10 s for it. */
const QUICK = ['--stop-signal', 'KILL'];
const OUTSIDE: Place = { command: (command) => ['ip', 'netns', 'exec', 'out', ...command] };

/** As README.md says, but the checkout is shown instead of copied. */
const INSTALL = `
  set -e
  mkdir -p /etc/lanius
  for part in bin node_modules dist; do mkdir -p /usr/lib/lanius/$part; done
  mount --bind "$LANIUS_CHECKOUT/bin" /usr/lib/lanius/bin
  mount --bind "$LANIUS_CHECKOUT/node_modules" /usr/lib/lanius/node_modules
  mount --bind "${distFolder}" /usr/lib/lanius/dist
  cp "$LANIUS_CHECKOUT/package.json" "$LANIUS_CHECKOUT/README.md" /usr/lib/lanius/
  ln -s /usr/lib/lanius/bin/lanius /usr/bin/lanius
  cp "$LANIUS_CHECKOUT"/systemd/lanius* /etc/systemd/system/
  ip netns add out
  ip link add eth0 type veth peer name eth0 netns out
  ip link set eth0 up
  ip -n out link set eth0 up
  ip -n out addr add 10.5.0.2/16 dev eth0
  systemctl daemon-reload`;

const admin = new AdminClient(DEFAULT_ADMIN_SOCKET);

describe('uml/systemd', () => {
  before(async function () {
    need(this, 'root', 'docker', 'lab');
    await sh(INSTALL);
  });

  it('has units that systemd-analyze finds nothing about', async () => {
    const names = ['lanius.service', 'lanius.socket', 'lanius-mesos.service', 'lanius-mesos.timer'];
    const units = names.map((name) => `/etc/systemd/system/${name}`);
    const { status, stdout, stderr } = await run(['systemd-analyze', 'verify', ...units]);
    expect(`${status} ${stdout}${stderr}`).to.equal('0 ');
  });

  it('starts, says that it serves, and is ready before docker.service starts', async () => {
    await sh('systemctl enable lanius.socket lanius.service');
    // as at boot: both in one transaction
    writeFileSync(
      '/etc/systemd/system/boot.target',
      '[Unit]\nWants=docker.service lanius.service\nAfter=docker.service lanius.service\n',
    );
    await sh('systemctl daemon-reload; systemctl start boot.target');
    const status = await sh('systemctl status lanius.service');
    expect(status).to.contain('Active: active (running)').and.to.contain('Status: "serving"');
    const ready = Number(await show('lanius.service', 'ActiveEnterTimestampMonotonic'));
    const engine = Number(await show('docker.service', 'ExecMainStartTimestampMonotonic'));
    expect(ready).to.be.greaterThan(0).and.lessThan(engine);
    await sh(`docker import - bb:1 < ${labFile('bb.tar')}`);
  });

  it('is exposed little, by the count of systemd-analyze', async () => {
    const table = await sh('systemd-analyze security --no-pager lanius.service');
    const exposure = Number(/Overall exposure level for lanius.service: ([\d.]+)/.exec(table)?.[1]);
    console.log(`      exposure of lanius.service: ${exposure}`);
    expect(exposure).to.be.at.most(3);
  });

  it('makes networks and containers with all of the sandboxing', async () => {
    const network = ['--subnet', '10.5.0.0/16', '--gateway', '10.5.0.2', '-o', 'parent=eth0', 'flat'];
    await docker('network', 'create', '-d', 'lanius', '--ipam-driver', 'lanius', ...network);
    for (const name of ['c1', 'c2']) await start(name);
    const { ip, mac } = await address('c1');
    expect(mac).to.equal(macOfIp(ip));
    await docker('exec', 'c2', 'ping', '-c1', '-W2', ip);
    await runOk(OUTSIDE.command(['ping', '-c1', '-W2', ip]));
    const said = await run(['lanius', 'doctor', '-o', 'json']);
    const { checks } = JSON.parse(said.stdout) as DoctorReport;
    expect(checks.filter(({ status }) => status === 'fail')).to.deep.equal([]);
    const kernel = checks.find(({ check }) => check === 'kernel');
    expect(kernel?.finding).to.match(/makes macvlan links and VLAN sub-interfaces/);
  });

  it('writes what a Mesos agent reads, within the bounds of a unit of its own', async () => {
    const read = (name: string) => sh(`cat /run/lanius-mesos/${name}`);
    const resourcesNow = async () => JSON.parse(await read('resources')) as { name: string }[];
    await sh('systemctl start lanius-mesos.service');
    // The link says a speed, but none is declared: an agent must not see it change.
    expect((await resourcesNow()).map(({ name }) => name)).to.deep.equal(['ips']);
    writeFileSync(CONFIG, '{ "throttle": { "capacity": { "eth0": { "in": "1gbit", "out": "500mbit" } } } }');
    // At once after the start: the unit waits until the daemon has read etcd.
    await sh('systemctl restart lanius.service && systemctl start lanius-mesos.service');
    const resources = await resourcesNow();
    expect(resources.slice(0, 2)).to.deep.equal([
      { name: 'net_in', type: 'SCALAR', scalar: { value: 1000 } },
      { name: 'net_out', type: 'SCALAR', scalar: { value: 500 } },
    ]);
    expect(resources.at(-1)).to.deep.equal({ name: 'ips', type: 'SCALAR', scalar: { value: 65_534 } });
    const free = readResources(await read('free'));
    expect(free.at(-1)).to.deep.equal({ name: 'ips', role: '*', value: { scalar: 65_531 } });
    expect(readAttributes(await read('attributes'))).to.deep.equal([
      { name: 'lanius_10.5.0.0-16', value: { text: 'yes' } },
    ]);
    expect(readAttributes(await read('state'))).to.deep.equal([
      { name: 'lanius_10.5.0.0-16', value: { text: 'free' } },
    ]);
    await sh('systemctl start lanius-mesos.timer && systemctl stop lanius-mesos.timer');
    await sh(`rm ${CONFIG} && systemctl restart lanius.service`);
  });

  it('makes the settings of a shim with all of the sandboxing', async () => {
    const words = ['--subnet', '10.8.0.0/16', '-o', 'parent=eth0', '-o', 'host_access=true', 'reached'];
    await docker('network', 'create', '-d', 'lanius', '--ipam-driver', 'lanius', ...words);
    for (const name of ['accept_ra', 'autoconf'])
      expect(await sh(`cat /proc/sys/net/ipv6/conf/ls*/${name}`)).to.match(/^0\n?$/);
    await docker('network', 'rm', 'reached');
  });

  it('loads the ARP responder with all of the sandboxing, and finds it again after a restart', async () => {
    const words = [
      '--subnet',
      '10.6.0.0/16',
      '--gateway',
      '10.6.0.1',
      '-o',
      'parent=eth0',
      '-o',
      'arp=responder',
    ];
    await docker('network', 'create', '-d', 'lanius', '--ipam-driver', 'lanius', ...words, 'answered');
    await docker('run', '-d', '--name', 'a1', ...QUICK, '--network', 'answered', 'bb:1', 'sleep', '100000');
    const sandbox = await docker('inspect', '-f', '{{.NetworkSettings.SandboxKey}}', 'a1');
    const filter = () => sh(`nsenter --net=${sandbox} tc filter show dev eth0 egress`);
    await until('the responder', async () => (await filter()).includes('lanius-arp'));
    const before = await filter();
    await sh('systemctl restart lanius.service');
    await until('doctor', async () => {
      const said = await run(['lanius', 'doctor', '-o', 'json']);
      if (said.stdout === '') return false;
      const { checks } = JSON.parse(said.stdout) as DoctorReport;
      return checks.some(({ check, status }) => check === 'arp responder' && status === 'ok');
    });
    expect(await filter()).to.equal(before);
    await docker('rm', '-f', 'a1');
    await docker('network', 'rm', 'answered');
    // Another network of the machine has the responder, too: what is left is its.
    expect((await run(['lanius', 'doctor', '--leaks'])).status).to.equal(0);
  });

  it('keeps the traffic going, and all it knows, over systemctl restart', async () => {
    const { ip } = await address('c1');
    const before = await known();
    // for the test after this one: signs of life every 1.5 s instead of every 15 s
    await sh(`mkdir -p /run/systemd/system/lanius.service.d
      printf '[Service]\\nWatchdogSec=3s\\n' >/run/systemd/system/lanius.service.d/watchdog.conf
      systemctl daemon-reload`);
    const ping = await startPing(OUTSIDE, ip, 10);
    await sh('systemctl restart lanius.service');
    await until('the daemon knows its leases', async () => (await known()) === before);
    const { sent, lost } = await ping.stop();
    console.log(`      restart: ${lost} of ${sent} pings lost`);
    expect(sent).to.be.greaterThan(50);
    expect(lost).to.equal(0);
  });

  it('is killed and started again by the watchdog when it hangs', async () => {
    const restarts = Number(await show('lanius.service', 'NRestarts'));
    expect(restarts, 'restarts so far').to.equal(0);
    const pid = await show('lanius.service', 'MainPID');
    await sh(`kill -STOP ${pid}`);
    const again = async () =>
      (await show('lanius.service', 'NRestarts')) === '1' &&
      (await show('lanius.service', 'ActiveState')) === 'active';
    await until('the watchdog', again, { timeoutMs: 30_000 });
    expect(await show('lanius.service', 'MainPID')).not.to.equal(pid);
    expect(await sh('journalctl -u lanius.service --no-pager -o cat')).to.contain('Watchdog timeout');
    await sh('rm -r /run/systemd/system/lanius.service.d; systemctl daemon-reload');
  });

  it('is started again by systemd after kill -9, and a docker run meanwhile succeeds', async () => {
    const before = await known();
    const restarts = Number(await show('lanius.service', 'NRestarts'));
    const { ino } = statSync(SOCKET);
    let watching = true;
    const inodes = new Set<number>();
    const watch = (async () => {
      while (watching) {
        inodes.add(statSync(SOCKET, { throwIfNoEntry: false })?.ino ?? 0);
        await sleep(5);
      }
    })();
    await sh('kill -9 $(systemctl show -p MainPID --value lanius.service)');
    await start('c4').finally(() => {
      watching = false;
    });
    await watch;
    expect([...inodes], 'the socket file').to.deep.equal([ino]);
    expect(Number(await show('lanius.service', 'NRestarts'))).to.equal(restarts + 1);
    const { ip } = await address('c4');
    await runOk(OUTSIDE.command(['ping', '-c1', '-W2', ip]));
    await until('nothing is lost', async () => (await known()) === [before, ip].sort().join(' '));
  });

  it('looks into sandboxes that are older than it, and into younger ones', async () => {
    await start('c3');
    const decisions = await until('the engine shows all four', async () => {
      const report = JSON.parse(await sh('lanius reconcile -o json')) as Report;
      return report.decisions.filter(({ kind }) => kind === 'lease').length === 4 && report;
    });
    expect(decisions.problem).to.equal(undefined);
    expect(decisions.decisions.filter(({ action }) => action !== 'keep')).to.deep.equal([]);
    const pid = await show('lanius.service', 'MainPID');
    expect((await sandboxMounts(pid)).length).to.equal(4);
  });

  it('keeps no sandbox of a dead container alive', async () => {
    const pid = await show('lanius.service', 'MainPID');
    for (const name of ['c1', 'c3']) {
      // a link whose other end is in the sandbox goes when the sandbox goes
      const init = await docker('inspect', '-f', '{{.State.Pid}}', name);
      await sh(`ip link add to-${name} type veth peer name witness netns ${init}`);
      await docker('rm', '-f', name);
    }
    await until('both sandboxes are gone', async () => !/to-c[13]/.test(await sh('ip -br link')));
    expect((await sandboxMounts(pid)).length).to.equal(2);
    await until('the leases of the others are left', async () => (await known()).split(' ').length === 2);
  });

  it('writes the journal with priorities and fields', async () => {
    await sh('kill -9 $(cat /var/lib/lanius/etcd.pid)');
    const of = (priority: string, message: string) => async () =>
      (await journal(`LANIUS_MSG=${message}`)).find((entry) => entry.PRIORITY === priority);
    const ended = 'the embedded etcd ended and is started again';
    const error = await until('the end of etcd is an error', of('3', ended));
    expect(error.MESSAGE).to.match(/^the embedded etcd ended and is started again .*pid=\d+/);
    expect(error).to.include({ SYSLOG_IDENTIFIER: 'lanius' });
    const info = await until('a call is an information', of('6', 'plugin call'));
    expect(info.LANIUS_METHOD).to.match(/^(NetworkDriver|IpamDriver|Plugin)\./);
    expect(info.MESSAGE).to.contain(`plugin call method=${info.LANIUS_METHOD}`);
    await until('etcd is back', async () => (await known()) !== '');
  });

  it('takes over on reload what it can, and names what it cannot', async () => {
    const pid = await show('lanius.service', 'MainPID');
    const reload = async (settings: string): Promise<string> => {
      writeFileSync(CONFIG, settings);
      await sh('systemctl reload lanius.service');
      return await until('the reload has ended', async () => {
        const [state, text] = [
          await show('lanius.service', 'ActiveState'),
          await show('lanius.service', 'StatusText'),
        ];
        return state === 'active' && text !== 'reading the configuration' && text;
      });
    };
    expect(await reload('{ "log": { "level": "debug" }, "session": { "ttlSeconds": 30 } }')).to.equal(
      'serving; waiting for a restart: session.ttlSeconds',
    );
    await until(
      'what was taken over is told',
      async () => (await journal('LANIUS_KEY=log.level')).length > 0,
    );
    expect((await journal('LANIUS_KEY=session.ttlSeconds'))[0]?.PRIORITY).to.equal('4');
    await sh('lanius reconcile');
    await until('the new level', async () => (await journal('PRIORITY=7')).length > 0);
    expect(await reload('{ "log": { "level": "loud" } }')).to.match(
      /^serving; the configuration was not taken over: .*log.level: "loud" is not one of/,
    );
    await sh(`rm ${CONFIG}`);
    const last = async (): Promise<string> => {
      await sh('systemctl reload lanius.service');
      return await show('lanius.service', 'StatusText');
    };
    await until('the defaults again', async () => (await last()) === 'serving');
    expect(await show('lanius.service', 'MainPID')).to.equal(pid);
  });

  it('stops cleanly with its etcd, and is started by the next call', async () => {
    const before = await known();
    const etcd = (await sh('cat /var/lib/lanius/etcd.pid')).trim();
    await sh('systemctl stop lanius.service');
    const state = await sh('systemctl show -p ActiveState -p Result --value lanius.service');
    expect(state).to.equal('success\ninactive');
    expect((await run(['test', '-d', `/proc/${etcd}`])).status, 'etcd').to.equal(1);
    expect(await sh('systemctl --failed --no-legend')).to.equal('');
    await start('c5');
    const { ip } = await address('c5');
    await until(
      'nothing is lost',
      async () => (await known()) === [...before.split(' '), ip].sort().join(' '),
    );
    expect(await show('lanius.service', 'ActiveState')).to.equal('active');
  });

  it('says in systemctl status what is wrong with the configuration, and the engine still starts', async () => {
    await sh('systemctl stop docker.service docker.socket');
    writeFileSync(CONFIG, '{ "etcd": { "hosts": 5 } }');
    expect((await run(['systemctl', 'restart', 'lanius.service'])).status).to.equal(1);
    const why = `${CONFIG}: etcd.hosts: 5 is not an array`;
    // Each new try begins without a word.
    const status = async () => (await run(['systemctl', 'status', 'lanius.service'])).stdout;
    await until('systemctl status says so', async () => (await status()).includes(`Status: "${why}"`), {
      timeoutMs: 60_000,
    });
    await until('the journal has it as an error', async () =>
      (await journal('PRIORITY=3')).some((entry) => entry.MESSAGE === `lanius: ${why}`),
    );

    const from = performance.now();
    await sh('systemctl start docker.service');
    console.log(`      the engine starts in ${Math.round(performance.now() - from)} ms`);
    const refused = await run(['docker', 'run', '--rm', '--network', 'flat', 'bb:1', 'true']);
    expect(refused.status).to.equal(125);
    expect(refused.stderr).to.contain(`Lanius cannot start: ${why}`);

    await sh(`rm ${CONFIG}`);
    await until(
      'the daemon starts by itself when the file is mended',
      async () => (await run(['docker', 'start', 'c2'])).status === 0,
      { timeoutMs: 30_000, intervalMs: 500 },
    );
    await until('leases = containers', async () => (await known()) === (await address('c2')).ip, {
      timeoutMs: 30_000,
      intervalMs: 500,
    });
  });
});

interface Report {
  readonly problem?: string;
  readonly decisions: readonly { readonly kind: string; readonly action: string }[];
}

interface JournalEntry {
  readonly PRIORITY: string;
  readonly MESSAGE: string;
  readonly SYSLOG_IDENTIFIER: string;
  readonly LANIUS_METHOD?: string;
}

async function sh(script: string): Promise<string> {
  return (await runOk(['bash', '-c', script], { timeoutMs: 100_000 })).trimEnd();
}

async function docker(...args: readonly string[]): Promise<string> {
  return (await runOk(['docker', ...args])).trimEnd();
}

function start(name: string): Promise<string> {
  return docker('run', '-d', '--name', name, ...QUICK, '--network', 'flat', 'bb:1', 'sleep', '100000');
}

async function address(container: string): Promise<{ readonly ip: string; readonly mac: string }> {
  const format = '{{.NetworkSettings.Networks.flat.IPAddress}} {{.NetworkSettings.Networks.flat.MacAddress}}';
  const [ip = '', mac = ''] = (await docker('inspect', '-f', format, container)).split(' ');
  return { ip, mac };
}

function show(unit: string, property: string): Promise<string> {
  return sh(`systemctl show -p ${property} --value ${unit}`);
}

/** @param match `FIELD=value` */
async function journal(match: string): Promise<readonly JournalEntry[]> {
  const words = ['journalctl', '-u', 'lanius.service', '-o', 'json', '--no-pager', match];
  const lines = (await runOk(words)).split('\n').filter((line) => line.startsWith('{'));
  return lines.map((line) => JSON.parse(line) as JournalEntry);
}

/** The leases that the daemon shows, sorted, with blanks between. */
async function known(): Promise<string> {
  const rows = await admin.get<readonly LeaseInfo[]>(ADMIN_PATHS.leases);
  const leases = rows.filter(({ state }) => state !== 'reserved').map((row) => row.address);
  return leases.sort().join(' ');
}

async function sandboxMounts(pid: string): Promise<string[]> {
  const mounts: RunResult = await run([
    'grep',
    '-o',
    '/run/docker/netns/[0-9a-f]*',
    `/proc/${pid}/mountinfo`,
  ]);
  return mounts.stdout.split('\n').filter((line) => line !== '');
}
