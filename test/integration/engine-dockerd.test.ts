import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { expect } from 'chai';
import { silentLogger } from '../../core/log.ts';
import { DockerEngine } from '../../engine/docker-engine.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';

describe('engine/docker-engine with a real dockerd', function () {
  this.timeout(60_000);
  let folder: string;
  let dockerd: ChildProcess | undefined;
  let engine: DockerEngine;

  const start = (): void => {
    const at = (name: string): string => join(folder, name);
    // a network namespace of its own; unshare execs, so its pid is dockerd's
    const flags = ['--bridge=none', '--iptables=false', '--ip6tables=false', '--storage-driver=vfs'];
    const paths = [`-H=unix://${at('d.sock')}`, `--data-root=${at('data')}`, `--exec-root=${at('run')}`];
    const pidFile = `--pidfile=${at('d.pid')}`;
    dockerd = spawn('unshare', ['-n', 'dockerd', ...flags, ...paths, pidFile], { stdio: 'ignore' });
  };
  const stop = async (): Promise<void> => {
    const child = dockerd;
    dockerd = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await exited;
  };
  const post = (path: string, body: object): Promise<{ readonly status: number; readonly text: string }> =>
    new Promise((resolve, reject) => {
      const headers = { 'Content-Type': 'application/json' };
      const options = { socketPath: join(folder, 'd.sock'), path, method: 'POST', headers, agent: false };
      const call = request(options, (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => {
          text += chunk.toString();
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      });
      call.on('error', reject);
      call.end(JSON.stringify(body));
    });

  before(async function () {
    need(this, 'root', 'netns', 'docker');
    folder = await mkdtemp('/var/tmp/lanius-dockerd-');
    // the built-in bridge driver stands for ours: no plugin is needed to list its networks
    engine = new DockerEngine(
      { socketPath: join(folder, 'd.sock'), driverName: 'bridge' },
      { logger: silentLogger },
    );
  });
  after(async () => {
    await stop();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  it('follows it from before its start, over its end, to its return, and reads its networks', async () => {
    const seen: string[] = [];
    const following = engine.follow({
      onConnected: () => seen.push('connected'),
      onDisconnected: () => seen.push('disconnected'),
      onEvent: ({ type, action }) => seen.push(`${type} ${action}`),
    });
    try {
      start();
      await until('connected', () => seen.includes('connected'), { timeoutMs: 30_000 });
      expect((await engine.version(2000)).version).to.match(/^\d+\.\d+/);
      const created = await post('/networks/create', {
        Name: 'flat',
        Driver: 'bridge',
        Internal: true,
        IPAM: { Config: [{ Subnet: '10.99.0.0/16' }] },
      });
      expect(created.status, created.text).to.equal(201);
      const networks = await engine.networks(2000);
      expect(networks.map(({ name, subnets, internal }) => ({ name, subnets, internal }))).to.deep.equal([
        { name: 'flat', subnets: ['10.99.0.0/16'], internal: true },
      ]);
      expect(await engine.network(networks[0]?.networkId ?? '', 2000)).to.deep.equal(networks[0]);
      expect(await engine.network('0'.repeat(64), 2000)).to.equal(undefined);
      expect(await engine.containers(2000)).to.deep.equal([]);
      await until('the event of the network', () => seen.includes('network create'));
      await stop();
      await until('disconnected', () => seen.includes('disconnected'));
      start();
      await until('connected again', () => seen.filter((word) => word === 'connected').length === 2, {
        timeoutMs: 30_000,
      });
      expect(await engine.networks(2000)).to.have.length(1);
    } finally {
      following.close();
    }
  });
});
