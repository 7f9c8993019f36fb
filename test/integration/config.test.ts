import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { InvalidConfig, loadConfig } from '../../daemon/config.ts';
import { runConfigCommand } from '../../daemon/config-command.ts';

describe('daemon/config', () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lanius-config-'));
    file = join(folder, 'config.json');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const load = (argv: readonly string[] = [], env: NodeJS.ProcessEnv = {}) =>
    loadConfig({ argv, env, hostname: 'this-host', defaultFile: file });
  const problemsOf = (argv: readonly string[] = [], env: NodeJS.ProcessEnv = {}): readonly string[] => {
    try {
      load(argv, env);
      return [];
    } catch (error) {
      if (!(error instanceof InvalidConfig)) throw error;
      return error.problems.map((problem) => problem.replaceAll(file, 'FILE'));
    }
  };

  it('runs on defaults without a file', () => {
    const { config, sources } = load();
    expect(config.host.name).to.equal('this-host');
    expect(new Set(sources.values())).to.deep.equal(new Set(['default']));
  });

  it('takes a flag before a variable before the file before the default', () => {
    writeFileSync(file, '{"log":{"level":"warn"},"etcd":{"timeoutMs":1000,"prefix":"/file/"}}');
    const env = { LANIUS_ETCD_TIMEOUT_MS: '2000', LANIUS_LOG_LEVEL: 'error' };
    const { config, sources } = load(
      [
        '--log.level',
        'debug',
        '--ipam.defaultPool=a',
        '--ipam.pools',
        '[{"name":"a","subnet":"10.0.0.0/8"}]',
      ],
      env,
    );
    expect(config.log.level).to.equal('debug');
    expect(config.etcd).to.include({ timeoutMs: 2000, prefix: '/file/' });
    expect(config.ipam.pools).to.have.length(1);
    expect(
      ['log.level', 'etcd.timeoutMs', 'etcd.prefix', 'net.macPrefix'].map((key) => sources.get(key)),
    ).to.deep.equal(['--log.level', 'LANIUS_ETCD_TIMEOUT_MS', file, 'default']);
  });

  it('reads labels of the host from a file, a variable or a flag, and names what cannot be one', () => {
    writeFileSync(file, '{"host":{"labels":{"rack":"r1"}}}');
    expect(load().config.host).to.deep.equal({ name: 'this-host', labels: { rack: 'r1' } });
    const env = { LANIUS_HOST_LABELS: 'rack=r2, zone=b' };
    expect(load([], env).config.host.labels).to.deep.equal({ rack: 'r2', zone: 'b' });
    expect(load(['--host.labels', '{"rack":"r3"}'], env).config.host.labels).to.deep.equal({ rack: 'r3' });
    expect(load([], { LANIUS_HOST_LABELS: '' }).config.host.labels).to.deep.equal({});
    expect(problemsOf([], { LANIUS_HOST_LABELS: 'rack' })).to.deep.equal([
      'LANIUS_HOST_LABELS: "rack" is not of the form KEY=VALUE',
    ]);
    expect(problemsOf([], { LANIUS_HOST_LABELS: 'name=r1' })).to.deep.equal([
      'LANIUS_HOST_LABELS: may hold letters, digits, dots, dashes and underscores, and must not be name, container or select',
    ]);
  });

  it('needs the file that --config or LANIUS_CONFIG names', () => {
    expect(problemsOf(['--config', '/nowhere/c.json'])).to.deep.equal([
      '/nowhere/c.json: there is no such file',
    ]);
    expect(problemsOf([], { LANIUS_CONFIG: '/nowhere/d.json' })).to.deep.equal([
      '/nowhere/d.json: there is no such file',
    ]);
  });

  it('tells every problem, each in one line with its place', () => {
    writeFileSync(
      file,
      JSON.stringify({
        net: { parnet: 'eth0' },
        lgo: {},
        limits: { handlerTimeoutMs: 1, drainTimeoutMs: '5s' },
        etcd: 'x',
        ipam: { pools: [{ name: 'a', subnet: '10.0.0.0/8', gatewy: '10.0.0.1' }] },
      }),
    );
    const env = { LANIUS_LOG_LEVEL: 'loud', LANIUS_ADMIN_SOKET: '/a', LANIUS_LAB: '/other' };
    expect(problemsOf(['--session.ttlSeconds', 'x', '--net.parnt=a', 'word'], env)).to.have.members([
      'FILE: net.parnet: unknown key, did you mean "parent"?',
      'FILE: lgo: unknown key, did you mean "log"?',
      'FILE: limits.handlerTimeoutMs: 1 is less than 100',
      'FILE: limits.drainTimeoutMs: "5s" is not a number',
      'FILE: etcd: "x" is not an object',
      'FILE: ipam.pools[0].gatewy: unknown key, did you mean "gateway"?',
      'LANIUS_LOG_LEVEL: "loud" is not one of error, warn, info, debug',
      'LANIUS_ADMIN_SOKET: unknown variable, did you mean LANIUS_ADMIN_SOCKET?',
      '--session.ttlSeconds: "x" is not a number',
      '--net.parnt: unknown flag, did you mean --net.parent?',
      'unknown argument "word"',
    ]);
  });

  it('says where a file is no JSON object', () => {
    writeFileSync(file, '{"log":');
    expect(problemsOf()[0]).to.match(/^FILE: .*JSON/);
    writeFileSync(file, '[]');
    expect(problemsOf()).to.deep.equal(['FILE: must be a JSON object']);
  });

  describe('command', () => {
    const run = async (argv: readonly string[], env: NodeJS.ProcessEnv = {}) => {
      const said = { status: 0, out: '', err: '' };
      const output = {
        write: (text: string) => {
          said.out += text;
        },
        complain: (text: string) => {
          said.err += text;
        },
      };
      said.status = await runConfigCommand(argv, env, output);
      return said;
    };

    it('checks', async () => {
      writeFileSync(file, '{"net":{"parnet":"eth0"}}');
      expect(await run(['check', '--config', file])).to.deep.equal({
        status: 1,
        out: '',
        err: `lanius: ${file}: net.parnet: unknown key, did you mean "parent"?\n`,
      });
      writeFileSync(file, '{}');
      expect(await run(['check', '--config', file])).to.include({
        status: 0,
        out: 'the configuration is right\n',
      });
      const wrong = await run(['check', '-o', 'json', '--config', file, '--log.level', 'x']);
      expect(JSON.parse(wrong.out)).to.include({ ok: false });
    });

    it('shows what is in force and why', async () => {
      writeFileSync(file, '{"log":{"level":"warn"}}');
      const { out } = await run(['show', '--config', file], { LANIUS_ETCD_TIMEOUT_MS: '900' });
      expect(out).to.match(/^KEY +VALUE +SOURCE\n/);
      expect(out).to.match(/\nhost\.name +\S+ +hostname\n/);
      expect(out)
        .to.contain(file)
        .and.to.match(/\netcd\.timeoutMs +900 +LANIUS_ETCD_TIMEOUT_MS\n/);
      const rows = JSON.parse((await run(['show', '--output=json', '--config', file])).out);
      expect(rows).to.deep.include({ key: 'log.level', value: 'warn', source: file });
    });

    it('prints the schema and the help, and explains misuse', async () => {
      expect(JSON.parse((await run(['schema'])).out).properties.etcd.type).to.equal('object');
      expect((await run(['--help'])).out).to.contain('Usage: lanius config');
      expect(await run(['chek'])).to.deep.equal({
        status: 2,
        out: '',
        err: 'lanius: unknown command "config chek", did you mean "check"? see lanius config --help\n',
      });
      expect((await run([])).status).to.equal(2);
      expect((await run(['show', '-o', 'yaml'])).status).to.equal(2);
    });
  });
});
