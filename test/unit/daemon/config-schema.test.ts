import { expect } from 'chai';
import { configKeys, jsonSchema, readText, variableOf } from '../../../daemon/config-keys.ts';
import { type Config, configSchema } from '../../../daemon/config-schema.ts';

type Given = Record<string, unknown>;
const problemsOf = (value: Given): string[] =>
  (configSchema.safeParse(value).error?.issues ?? []).map(
    ({ path, message }) => `${path.join('.')}: ${message}`,
  );

describe('daemon/config-schema', () => {
  it('fills in every default', () => {
    const config: Omit<Config, 'host'> = configSchema.parse({});
    expect(config.docker.pluginSocket).to.equal('/run/docker/plugins/lanius.sock');
    expect(config.etcd).to.deep.equal({
      hosts: [],
      prefix: '/lanius/v1/',
      timeoutMs: 1500,
      tls: {},
      auth: {},
      embedded: { clientPort: 23790, peerPort: 23800, program: 'etcd' },
    });
    expect(config.limits).to.deep.equal({
      handlerTimeoutMs: 4000,
      linkTimeoutMs: 30_000,
      drainTimeoutMs: 5000,
    });
    expect(config.reconcile).to.deep.equal({
      intervalSeconds: 60,
      lookGapSeconds: 2,
      pendingGraceSeconds: 60,
      deadHostGraceSeconds: 0,
    });
  });

  it('describes every key', () => {
    for (const { path, node } of configKeys) expect(node.description, path).to.match(/.\.$/);
    for (const section of Object.values(jsonSchema.properties ?? {}))
      expect(section.description).to.match(/.\.$/);
  });

  it('names variables after keys, each once', () => {
    expect(variableOf(['etcd', 'tls', 'caFile'])).to.equal('LANIUS_ETCD_TLS_CA_FILE');
    expect(new Set(configKeys.map(({ variable }) => variable)).size).to.equal(configKeys.length);
  });

  const pool = { name: 'a', subnet: '10.0.0.0/16' };
  for (const [what, value, problem] of [
    [
      'a range outside the subnet',
      { ipam: { pools: [{ ...pool, range: '10.1.0.0/24' }] } },
      'ipam.pools.0.range: is outside 10.0.0.0/16',
    ],
    [
      'a gateway outside the subnet',
      { ipam: { pools: [{ ...pool, gateway: '10.1.0.1' }] } },
      'ipam.pools.0.gateway: is outside 10.0.0.0/16',
    ],
    [
      'a subnet that is none',
      { ipam: { pools: [{ name: 'a', subnet: '10.0.0.0/40' }] } },
      'ipam.pools.0.subnet: "10.0.0.0/40" is not a subnet: the prefix length is at most 32',
    ],
    [
      'two pools of one name',
      { ipam: { pools: [pool, { name: 'a', subnet: '10.1.0.0/16' }] } },
      'ipam.pools.1.name: "a" is there twice',
    ],
    [
      'two pools that overlap',
      { ipam: { pools: [pool, { name: 'b', subnet: '10.0.7.0/24' }] } },
      'ipam.pools.1.subnet: overlaps the pool "a"',
    ],
    [
      'a default pool that is none',
      { ipam: { pools: [pool], defaultPool: 'b' } },
      'ipam.defaultPool: "b" is not one of the pools (a)',
    ],
    [
      'a certificate without a key',
      { etcd: { tls: { certFile: '/a' } } },
      'etcd.tls: certFile and keyFile go together',
    ],
    [
      'a user without a password',
      { etcd: { auth: { username: 'a' } } },
      'etcd.auth: username and passwordFile go together',
    ],
    [
      'a prefix without a slash at its end',
      { etcd: { prefix: '/x' } },
      'etcd.prefix: must begin and end with "/"',
    ],
    [
      'a host that is no URL',
      { etcd: { hosts: ['10.0.0.2:2379'] } },
      'etcd.hosts.0: must be a URL like http://10.0.0.2:2379',
    ],
    [
      'a host name that is no part of a key',
      { host: { name: 'a/b' } },
      'host.name: may hold letters, digits, dots, dashes and underscores',
    ],
    [
      'a multicast MAC prefix',
      { net: { macPrefix: '03:4c' } },
      'net.macPrefix: must be two bytes of a locally administered address, like 02:4c',
    ],
    ['a relative socket', { admin: { socket: 'a.sock' } }, 'admin.socket: must be an absolute path'],
  ] as const) {
    it(`refuses ${what}`, () => {
      expect(problemsOf(value)).to.deep.equal([problem]);
    });
  }

  it('takes a complete configuration', () => {
    expect(
      problemsOf({
        host: { name: 'h1.example' },
        etcd: { hosts: ['https://etcd-1:2379'], tls: { caFile: '/ca', certFile: '/c', keyFile: '/k' } },
        net: { parent: 'bond0.100', macPrefix: '0A:00' },
        ipam: { pools: [{ ...pool, range: '10.0.4.0/22', gateway: '10.0.0.1' }], defaultPool: 'a' },
      }),
    ).to.deep.equal([]);
  });
});

describe('daemon/config-keys', () => {
  const read = (path: string, text: string): unknown => {
    const key = configKeys.find((one) => one.path === path);
    if (key === undefined) throw new Error(path);
    return readText(key, text);
  };

  it('reads texts as the type of the key', () => {
    expect(read('etcd.timeoutMs', '2000')).to.equal(2000);
    expect(read('etcd.prefix', '/7/')).to.equal('/7/');
    expect(read('etcd.hosts', 'http://a:1, http://b:2')).to.deep.equal(['http://a:1', 'http://b:2']);
    expect(read('etcd.hosts', '')).to.deep.equal([]);
    expect(read('etcd.hosts', '["http://a:1"]')).to.deep.equal(['http://a:1']);
    expect(read('net.tuneNeighbourTable', 'true')).to.equal(true);
    expect(read('net.tuneNeighbourTable', 'false')).to.equal(false);
    expect(read('ipam.pools', '[{"name":"a"}]')).to.deep.equal([{ name: 'a' }]);
  });

  it('says what a text should be', () => {
    expect(() => read('etcd.timeoutMs', '2s')).to.throw('"2s" is not a number');
    expect(() => read('net.tuneNeighbourTable', 'yes')).to.throw('"yes" is neither true nor false');
    expect(() => read('ipam.pools', 'a')).to.throw('must be a JSON list');
    expect(() => read('ipam.pools', '[')).to.throw('is not JSON');
  });
});
