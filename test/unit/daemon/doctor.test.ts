import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { systemClock } from '../../../core/clock.ts';
import { EngineUnavailable, StoreUnavailable } from '../../../core/errors.ts';
import { Doctor, type DoctorDependencies } from '../../../daemon/doctor.ts';
import { checkKernel, checkParents, checkPrivileges } from '../../../daemon/doctor-kernel.ts';
import { checkReconciliation, checkSession, checkStateDir } from '../../../daemon/doctor-self.ts';
import {
  checkCompaction,
  checkEngine,
  checkPluginSocket,
  checkStore,
  isFaultyEtcd,
} from '../../../daemon/doctor-services.ts';
import type { ReconcileReport } from '../../../ipam/inventory.ts';
import type { KernelFeatures, LinkInfo } from '../../../net/port.ts';
import type { NetworkInfo } from '../../../plugin/wire/admin.ts';
import type { KvPort } from '../../../store/kv.ts';

const features: KernelFeatures = {
  kernelRelease: '6.1.0',
  netAdmin: true,
  sysAdmin: true,
  linkKinds: { macvlan: true, vlan: 'EOPNOTSUPP', veth: true, bridge: true, ipvlan: true, ifb: true },
};
const link: LinkInfo = { name: 'eth0', linkIndex: 2, mtuBytes: 1500, up: true, carrier: true };
const network: NetworkInfo = {
  networkId: 'n1',
  parent: 'eth0',
  mode: 'macvlan',
  internal: false,
  subnets: ['10.0.0.0/16'],
  endpoints: 1,
};
const report: ReconcileReport = {
  at: new Date(1_000_000).toISOString(),
  trigger: 'timer',
  dryRun: false,
  decisions: [],
  durationMs: 1,
};
const status = {
  version: '3.5.16',
  dbSizeBytes: 20_000_000,
  leader: '8e9e05c52164694d',
  alarms: [],
  revision: 7,
};
const statuses = (checks: readonly { readonly check: string; readonly status: string }[]): string[] =>
  checks.map((one) => `${one.check}: ${one.status}`);

describe('daemon/doctor', () => {
  it('needs macvlan, says whether there are VLANs, and only names the other kinds', () => {
    const [good] = checkKernel(features);
    expect(good).to.include({ status: 'ok' });
    expect(good?.finding).to.match(/ makes macvlan links, but no VLAN sub-interfaces: /);
    const [all] = checkKernel({ ...features, linkKinds: { ...features.linkKinds, vlan: true, ifb: 'no' } });
    expect(all?.finding).to.match(/ makes macvlan links and VLAN sub-interfaces; .*not there: .*ifb$/);
    const without = { ...features, linkKinds: { ...features.linkKinds, macvlan: 'EOPNOTSUPP' } };
    expect(checkKernel(without)[0]).to.include({ status: 'fail' });
  });

  it('names the capabilities that are missing', () => {
    expect(statuses(checkPrivileges(features))).to.deep.equal(['privileges: ok']);
    expect(checkPrivileges({ ...features, netAdmin: false })[0]?.finding).to.contain('CAP_NET_ADMIN');
  });

  it('looks at each parent once', async () => {
    const check = async (found: LinkInfo | undefined): Promise<string[]> =>
      statuses(await checkParents([network, network], { linkGet: async () => found }));
    expect(await check(link)).to.deep.equal(['parent eth0: ok']);
    expect(await check(undefined)).to.deep.equal(['parent eth0: fail']);
    expect(await check({ ...link, up: false })).to.deep.equal(['parent eth0: fail']);
    expect(await check({ ...link, carrier: false })).to.deep.equal(['parent eth0: warn']);
    expect(statuses(await checkParents([], { linkGet: async () => undefined }))).to.deep.equal([
      'parents: ok',
    ]);
  });

  for (const [version, expected] of [
    ['20.10.24', 'ok'],
    ['28.5.2', 'ok'],
    ['29.0.0', 'warn'],
    ['29.0.2', 'warn'],
    ['29.0.3', 'ok'],
    ['29.0.20', 'ok'],
  ] as const) {
    it(`says ${expected} to engine ${version}`, async () => {
      const checks = await checkEngine({ version: async () => ({ version, apiVersion: '1' }) }, 100);
      expect(statuses(checks)).to.deep.equal([`engine: ${expected}`]);
    });
  }

  for (const [version, faulty] of [
    ['3.3.27', true],
    ['3.4.23', true],
    ['3.4.32', false],
    ['3.5.0', true],
    ['3.5.13', true],
    ['3.5.14', false],
    ['3.6.0-rc.1', false],
    ['2.3.8', true],
    ['4.0.0', false],
  ] as const) {
    it(`${faulty ? 'warns of' : 'takes'} etcd ${version}`, () => {
      expect(isFaultyEtcd(version)).to.equal(faulty);
    });
  }

  it('fails for alarms and a missing leader', async () => {
    const check = async (part: object): Promise<string[]> =>
      statuses(await checkStore({ status: async () => ({ ...status, ...part }) }, 100));
    expect(await check({})).to.deep.equal(['etcd: ok']);
    expect(await check({ alarms: ['NOSPACE'] })).to.deep.equal(['etcd: ok', 'etcd alarm: fail']);
    expect(await check({ leader: '0' })).to.deep.equal(['etcd: ok', 'etcd leader: fail']);
  });

  it('warns if an old revision of a store with a long history is still there', async () => {
    const asked: (number | undefined)[] = [];
    const check = async (revision: number, kept: boolean): Promise<string[]> => {
      const range: KvPort['range'] = async (_range, options) => {
        asked.push(options?.revision);
        if (!kept) throw new StoreUnavailable('etcd no longer has that revision');
        return { revision, kvs: [], count: 0 };
      };
      const store = { status: async () => ({ ...status, revision }), range };
      return statuses(await checkCompaction(store, 'k', 100));
    };
    expect(await check(250_000, true)).to.deep.equal([]);
    expect(await check(250_001, true)).to.deep.equal(['etcd compaction: warn']);
    expect(await check(900_000, false)).to.deep.equal(['etcd compaction: ok']);
    expect(asked).to.deep.equal([50_001, 700_000]);
    const away = () => Promise.reject(new StoreUnavailable('no etcd'));
    expect(await checkCompaction({ status: away, range: away }, 'k', 100)).to.deep.equal([]);
  });

  it('fails for what does not answer, with its own words', async () => {
    const engine = { version: () => Promise.reject(new EngineUnavailable('no engine')) };
    const store = { status: () => Promise.reject(new StoreUnavailable('no etcd')) };
    expect((await checkEngine(engine, 100))[0]).to.include({ status: 'fail', finding: 'no engine' });
    expect((await checkStore(store, 100))[0]).to.include({ status: 'fail', finding: 'no etcd' });
    const [socket] = await checkPluginSocket('/nowhere.sock', 100);
    expect(socket?.finding).to.match(/^\/nowhere\.sock does not answer: .*ENOENT/);
  });

  it('warns of a reconciliation that is missing, late or could not decide', () => {
    const check = (last: ReconcileReport | undefined, nowMs: number): string =>
      checkReconciliation(last, nowMs, 60)[0]?.status ?? '';
    expect(check(undefined, 0)).to.equal('warn');
    expect(check(report, 1_060_000)).to.equal('ok');
    expect(check(report, 1_300_000)).to.equal('warn');
    expect(check({ ...report, problem: 'the engine was silent' }, 1_000_000)).to.equal('warn');
    expect(checkSession(false)[0]?.status).to.equal('fail');
  });

  it('tries whether the state can be written, and leaves nothing there', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lanius-doctor-'));
    expect(statuses(await checkStateDir(folder))).to.deep.equal(['state: ok']);
    await rm(folder, { recursive: true });
    expect(statuses(await checkStateDir(folder))).to.deep.equal(['state: fail']);
  });

  describe('as a whole', () => {
    const deps: DoctorDependencies = {
      net: { probe: async () => features, linkGet: async () => link },
      engine: { version: async () => ({ version: '28.5.2', apiVersion: '1.51' }) },
      store: { status: async () => status, range: async () => ({ revision: 7, kvs: [], count: 0 }) },
      session: { held: true },
      reconciler: { last: { ...report, at: new Date().toISOString() } },
      networks: () => [network],
      links: {
        networks: { list: () => [] },
        endpoints: { list: () => [] },
        uplinks: { problems: new Map() },
        revival: { problems: new Map() },
        net: { linkListIn: async () => undefined },
      },
      clock: systemClock,
    };
    const options = {
      pluginSocket: '/nowhere.sock',
      stateDir: tmpdir(),
      storeKey: 'k',
      reconcileIntervalSeconds: 60,
    };

    it('reports every check and is not ok if one failed', async () => {
      const { ok, checks } = await new Doctor(options, deps).examine();
      expect(ok).to.equal(false);
      expect(checks.filter((one) => one.status === 'fail').map(({ check }) => check)).to.deep.equal([
        'plugin socket',
      ]);
      expect(checks).to.have.length(10);
      for (const one of checks) if (one.status !== 'ok') expect(one.remedy, one.check).to.be.a('string');
    });

    it('ends although one thing hangs and another throws', async () => {
      const broken: DoctorDependencies = {
        ...deps,
        net: { probe: () => new Promise(() => {}), linkGet: () => Promise.reject(new Error('worker gone')) },
      };
      const { checks } = await new Doctor({ ...options, checkTimeoutMs: 50 }, broken).examine();
      const failed = checks.filter((one) => one.status === 'fail').map(({ check }) => check);
      expect(failed).to.deep.equal(['kernel', 'privileges', 'parents', 'plugin socket']);
      expect(checks.find(({ check }) => check === 'parents')?.finding).to.equal('worker gone');
    });
  });
});
