import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { systemClock } from '../../../core/clock.ts';
import { silentLogger } from '../../../core/log.ts';
import { InvalidConfig } from '../../../daemon/config.ts';
import { configKeys } from '../../../daemon/config-keys.ts';
import { type Config, configSchema } from '../../../daemon/config-schema.ts';
import { LiveConfig, reloadPlan } from '../../../daemon/live-config.ts';
import type { LogLevel } from '../../../daemon/logger.ts';
import { Reloading } from '../../../daemon/reload.ts';
import { checkoutFolder } from '../../support/checkout.ts';

function configOf(settings: object, name = 'h1'): Config {
  const parsed = configSchema.parse(settings);
  return { ...parsed, host: { ...parsed.host, name } };
}

/** A reload with everything that it says. */
function played(before: object, load: () => Config) {
  const said: string[] = [];
  const live = new LiveConfig(configOf(before));
  const logger = {
    ...silentLogger,
    setLevel: (level: LogLevel) => said.push(`level ${level}`),
    info: (message: string, fields?: object) => said.push(`info ${message} ${JSON.stringify(fields ?? {})}`),
    warn: (message: string, fields?: object) => said.push(`warn ${message} ${JSON.stringify(fields ?? {})}`),
    error: (message: string, fields?: object) =>
      said.push(`error ${message} ${JSON.stringify(fields ?? {})}`),
  };
  const systemd = {
    reloading: () => said.push('reloading'),
    ready: (status: string) => said.push(`ready: ${status}`),
  };
  new Reloading({ load }, { live, systemd, logger }).reload();
  return { live, said };
}

describe('daemon/live-config', () => {
  it('tells what is in force at once from what waits for a restart', () => {
    const plan = reloadPlan(
      configOf({ log: { level: 'info' }, session: { ttlSeconds: 15 } }),
      configOf({ log: { level: 'debug' }, session: { ttlSeconds: 20 } }, 'h2'),
    );
    expect(plan.now).to.deep.equal([{ key: 'log.level', from: 'info', to: 'debug' }]);
    expect(plan.later.map(({ key }) => key)).to.deep.equal(['host.name', 'session.ttlSeconds']);
  });

  it('gives parts options that change under them', () => {
    const live = new LiveConfig(configOf({}));
    const [reconciler, plugin] = [
      live.reconcilerOptions('i'),
      live.pluginOptions({ logger: silentLogger, clock: systemClock }),
    ];
    expect([reconciler.intervalMs, plugin.handlerTimeoutMs]).to.deep.equal([60_000, 4000]);
    live.take(
      configOf({
        reconcile: { intervalSeconds: 5 },
        limits: { handlerTimeoutMs: 700 },
        state: { dir: '/x' },
      }),
    );
    expect([reconciler.intervalMs, plugin.handlerTimeoutMs]).to.deep.equal([5000, 700]);
    expect(live.config.state.dir).to.equal('/var/lib/lanius');
  });

  it('reads every setting that is marked as reloadable through itself, or where the daemon ends', () => {
    const marked = configKeys.filter(({ node }) => node.reload === true).map(({ path }) => path);
    expect(marked).to.include('log.level');
    const files = ['live-config', 'run', 'reload'].map((name) => `${checkoutFolder}/daemon/${name}.ts`);
    const sources = files.map((file) => readFileSync(file, 'utf8')).join('\n');
    for (const path of marked) expect(sources).to.contain(path.split('.')[1]);
  });

  it('takes over what it can and names what it cannot', () => {
    const { live, said } = played({}, () =>
      configOf({ log: { level: 'debug' }, etcd: { hosts: ['http://10.0.0.1:2379'] } }),
    );
    expect(said).to.deep.equal([
      'reloading',
      'level debug',
      'info a setting was taken over {"key":"log.level","from":"info","to":"debug"}',
      'warn a changed setting waits for a restart: systemctl restart lanius {"key":"etcd.hosts","from":[],"to":["http://10.0.0.1:2379"]}',
      'ready: serving; waiting for a restart: etcd.hosts',
    ]);
    expect(live.config.etcd.hosts).to.deep.equal([]);
  });

  it('keeps the configuration in force when the new one has an error, and says so', () => {
    const { live, said } = played({ log: { level: 'warn' } }, () => {
      throw new InvalidConfig(['x.json: log.level: "loud" is not one of error, warn, info, debug']);
    });
    expect(live.config.log.level).to.equal('warn');
    expect(said[1]).to.contain('error the configuration has an error: the one before stays in force');
    expect(said[2]).to.match(/^ready: serving; the configuration was not taken over: x.json: log.level/);
  });
});
