/**
 * What the tests of the packages in the booted guest stand on: the cable with its VLAN, an etcd beside Lanius, containers.
 * One place for all of it, used by both boots (rpm.ts and rpm-reboot.ts).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import type { Place } from '../support/ping.ts';
import { until } from '../support/poll.ts';
import { labFile } from '../support/require.ts';
import { run, runOk } from '../support/run.ts';

export const CONFIG = '/etc/lanius/config.json';
export const ETCD = 'http://127.0.0.1:2379';
export const VLAN = 100;
/** At the other end of the cable, in the VLAN: 10.5.0.2. */
export const OUTSIDE: Place = { command: (command) => ['ip', 'netns', 'exec', 'out', ...command] };
/** How many containers run while the package is changed. */
export const CONTAINERS = 20;

/** The packages, given by uml.test.ts. */
export const RPMS = {
  distribution: process.env['RPM_DISTRIBUTION'] ?? '',
  /** Release 1. */
  first: process.env['RPM_FIRST'] ?? '',
  /** Release 2. */
  second: process.env['RPM_SECOND'] ?? '',
  bundled: process.env['RPM_BUNDLED'] ?? '',
};

/** Units that are there at each boot: the cable before the network is configured, an etcd before Lanius. */
const UNITS: Readonly<Record<string, string>> = {
  'lab-net.service': `[Unit]
Before=network.target network-online.target
DefaultDependencies=no
After=systemd-modules-load.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /etc/lab-net
[Install]
WantedBy=sysinit.target
`,
  'lab-etcd.service': `[Unit]
Before=lanius.service
[Service]
Type=notify
ExecStart=/usr/bin/etcd --data-dir=/var/lib/lab-etcd --listen-client-urls=${ETCD} --advertise-client-urls=${ETCD} --log-level=warn
[Install]
WantedBy=multi-user.target
`,
};

const NET = `ip link set lo up
ip netns add out
ip link add eth0 type veth peer name eth0 netns out
ip link set eth0 up
ip -n out link set eth0 up
ip -n out link add link eth0 eth0.${VLAN} type vlan id ${VLAN}
ip -n out link set eth0.${VLAN} up
ip -n out addr add 10.5.0.2/16 dev eth0.${VLAN}
`;

export async function prepareHost(): Promise<void> {
  writeFileSync('/etc/lab-net', NET);
  for (const [name, text] of Object.entries(UNITS)) writeFileSync(`/etc/systemd/system/${name}`, text);
  await sh(`systemctl daemon-reload; systemctl enable -q ${Object.keys(UNITS).join(' ')}`);
  await sh(`systemctl start ${Object.keys(UNITS).join(' ')}`);
}

/** The engine, and a network on the VLAN. */
export async function makeNetwork(name = 'flat'): Promise<void> {
  const words = ['--subnet', '10.5.0.0/16', '--gateway', '10.5.0.2', '--ip-range', '10.5.16.0/24'];
  const options = ['-o', 'parent=eth0', '-o', `vlan=${VLAN}`];
  await docker('network', 'create', '-d', 'lanius', '--ipam-driver', 'lanius', ...words, ...options, name);
}

/**
 * Starts a container.
 * @param words more of `docker run`
 */
export async function startContainer(name: string, ...words: readonly string[]): Promise<string> {
  // a shell or sleep as PID 1 ignores SIGTERM, and the engine would wait 10 s for it
  const quick = ['--stop-signal', 'KILL'];
  return await docker(
    'run',
    '-d',
    '--name',
    name,
    ...quick,
    ...words,
    '--network',
    'flat',
    'bb:1',
    'sleep',
    '100000',
  );
}

/** For `startContainer`. */
export const LIMITED = ['-e', 'net_in=40mbit', '-e', 'net_out=30mbit'];

/** Both are in force, as the daemon says and as the kernel has it. */
export async function untilLimited(container: string): Promise<void> {
  const pid = await docker('inspect', '-f', '{{.State.Pid}}', container);
  await until(
    `the limits of ${container}`,
    async () => {
      const { stdout } = await run(['lanius', 'limit', 'ls', '-o', 'json']);
      const { limits } = JSON.parse(stdout) as {
        limits: {
          containerName?: string;
          in?: { rate: string; state: string };
          out?: { rate: string; state: string };
        }[];
      };
      const found = limits.find(({ containerName }) => containerName === container);
      const said = [found?.in, found?.out].map((one) => `${one?.rate} ${one?.state}`).join(', ');
      return said === '40mbit in force, 30mbit in force';
    },
    { timeoutMs: 60_000, intervalMs: 500 },
  );
  expect(await sh(`nsenter -t ${pid} -n tc qdisc show`))
    .to.match(/tbf .*rate 30Mbit/)
    .and.match(/tbf .*rate 40Mbit/);
}

export async function importImage(): Promise<void> {
  await sh(`docker import - bb:1 < ${labFile('bb.tar')}`);
}

export async function addressOf(container: string): Promise<string> {
  return await docker('inspect', '-f', '{{.NetworkSettings.Networks.flat.IPAddress}}', container);
}

/** Replaces the package by another, older or newer. */
export async function changePackage(rpm: string): Promise<string> {
  return await sh(`rpm -U --oldpackage ${rpm} 2>&1`);
}

/** e.g. `0.1.0-2` */
export async function installedVersion(): Promise<string> {
  return await sh("rpm -q --qf '%{version}-%{release}' lanius");
}

/** Waits until the daemon serves, as `systemctl status` says. */
export async function untilServing(): Promise<void> {
  await until(
    'the daemon serves',
    async () =>
      (await show('lanius.service', 'StatusText')) === 'serving' &&
      (await show('lanius.service', 'ActiveState')) === 'active',
    { timeoutMs: 60_000, intervalMs: 300 },
  );
}

export async function sh(script: string): Promise<string> {
  return (await runOk(['bash', '-c', script], { timeoutMs: 110_000 })).trimEnd();
}

export async function docker(...args: readonly string[]): Promise<string> {
  return (await runOk(['docker', ...args], { timeoutMs: 110_000 })).trimEnd();
}

export async function show(unit: string, property: string): Promise<string> {
  return await sh(`systemctl show -p ${property} --value ${unit}`);
}

/** Keys of Lanius in etcd, relative to its prefix. */
export async function keysInEtcd(): Promise<string[]> {
  const keys = await sh(`ETCDCTL_API=3 etcdctl --endpoints ${ETCD} get --prefix --keys-only /`);
  return keys
    .split('\n')
    .filter((key) => key !== '')
    .map((key) => key.replace('/lanius/v1/', ''));
}

/** What the first boot leaves for the second. */
export function remember(file: string, value: object): void {
  writeFileSync(`/root/${file}`, JSON.stringify(value));
}

export function recall<T>(file: string): T {
  return JSON.parse(readFileSync(`/root/${file}`, 'utf8')) as T;
}
