/**
 * Any sequence of takes, releases, reservations, lost answers and crashes leaves etcd as a small model says. MODEL_RUNS
 * is the number of sequences; a failure names its seed and the shortest sequence that fails.
 */
import { expect } from 'chai';
import fc from 'fast-check';
import { type Cidr, formatIp, parseCidr, usableRange } from '../../core/ip.ts';
import { choiceOf } from '../../ipam/address/choice.ts';
import { EtcdKv } from '../../store/etcd-kv.ts';
import { poolKeyOf } from '../../store/layout.ts';
import { decode, leaseSchema, nameSchema } from '../../store/schema.ts';
import { indexFaults } from '../race/checker.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { IpamHost, layout, soon } from '../support/ipam-host.ts';
import { need } from '../support/require.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import {
  HOSTS,
  LateRelease,
  type Model,
  type Real,
  Release,
  TakeAny,
  TakeForName,
  TakeThis,
} from './lease-commands.ts';
import { Crash, Reserve, Unreserve } from './lease-commands-rare.ts';

const RUNS = Number(process.env['MODEL_RUNS'] ?? 100);
/** Of a /29: so few that it is often full. */
const ADDRESSES = 6;

describe('ipam/leases against a model', function () {
  this.timeout(120_000);
  let etcd: EtcdProcess;
  const hosts: IpamHost[] = [];
  const proxies: TcpProxy[] = [];
  let watcher: EtcdKv;
  let pools = 0;

  before(async function () {
    need(this, 'etcd');
    etcd = await EtcdProcess.start();
    watcher = new EtcdKv({ hosts: [etcd.host] });
    for (const index of HOSTS) {
      const proxy = await TcpProxy.start(etcd.clientPort);
      proxies.push(proxy);
      hosts.push(await IpamHost.start({ etcd: proxy.host, name: hostName(index) }));
    }
  });
  after(async () => {
    for (const host of hosts) await host.stop();
    for (const proxy of proxies) await proxy.stop();
    watcher?.close();
    await etcd?.stop();
  });

  const host = fc.constantFrom(...HOSTS);
  const address = fc.nat(ADDRESSES - 1);
  const name = fc.constantFrom('web', 'db');
  const lost = fc.nat(24).map((n) => n === 24);
  const commands = fc.commands(
    [
      fc.tuple(host, lost).map((args) => new TakeAny(...args)),
      fc.tuple(host, address, fc.option(name, { nil: undefined }), lost).map((args) => new TakeThis(...args)),
      fc.tuple(host, name, lost).map((args) => new TakeForName(...args)),
      fc.tuple(host, address, fc.integer({ min: 1, max: 2 }), lost).map((args) => new Release(...args)),
      fc.tuple(host, address).map(([h, a]) => new Release(h, a, 1, false)),
      fc.nat(30).map((which) => new LateRelease(which)),
      fc.tuple(host, address, name).map((args) => new Reserve(...args)),
      fc.tuple(host, address).map((args) => new Unreserve(...args)),
      fc.tuple(host, fc.boolean()).map((args) => new Crash(...args)),
    ],
    { maxCommands: 40, size: 'max' },
  );

  it('does what the model says', async () => {
    const property = fc.asyncProperty(commands, (sequence) => fc.asyncModelRun(setUp, sequence));
    await fc.assert(property, { numRuns: RUNS, interruptAfterTimeLimit: 90_000 });
    expect(pools).to.be.at.least(RUNS);
  });

  it('gives a name its address, which was reserved for it while it was in use without a name', async () => {
    const { model, real } = await setUp();
    const sequence = [
      new TakeThis(1, 2, undefined, false),
      new Reserve(0, 2, 'db'),
      new TakeForName(1, 'db', false),
      new Release(1, 2, 1, false),
    ];
    for (const command of sequence) await command.run(model, real);
    expect([...model.entries.values()]).to.deep.equal([{ role: 'operator', name: 'db' }]);
  });

  /** Every run has a pool of its own. */
  async function setUp(): Promise<{ model: Model; real: Real }> {
    const subnet = parseCidr(`10.120.${pools >> 5}.${(pools & 31) * 8}/29`);
    pools += 1;
    await hosts[0]?.addresses.requestPool({ subnet, family: 4, options: {} }, soon());
    const { first, last } = usableRange(subnet);
    const addresses: string[] = [];
    for (let value = first; value <= last; value += 1n) addresses.push(formatIp({ family: 4, value }));
    const real: Real = {
      subnet,
      choice: choiceOf({ family: 4, first, last }),
      hosts,
      proxies,
      seen: [],
      compare: (model) => compare(subnet, model),
    };
    return { model: { addresses, entries: new Map() }, real };
  }

  /** Leases, names and index in etcd, and what each host believes to hold, are the model's. */
  async function compare(subnet: Cidr, { entries }: Model): Promise<void> {
    const inPool = `/${poolKeyOf(subnet)}/`;
    const { results } = await watcher.txn({
      compare: [],
      success: [
        { do: 'get', range: { prefix: layout.leases(subnet) } },
        { do: 'get', range: { prefix: layout.names(subnet) } },
        { do: 'get', range: { prefix: `${layout.prefix}by-host/` } },
      ],
    });
    const [leases = [], names = [], everyIndex = []] = results.map((it) => (it.did === 'get' ? it.kvs : []));
    const index = everyIndex.filter(({ key }) => key.includes(inPool));
    expect(indexFaults({ leases, index }, layout)).to.deep.equal([]);
    const found = leases.map(({ key, value }) => {
      const { host: user, state, role, name: itsName } = decode(leaseSchema, key, value);
      return lineOf(addressIn(key), state === 'reserved' ? 'nobody' : user, role, itsName);
    });
    const wanted = [...entries].map(([at, { user, role, name: itsName }]) =>
      lineOf(at, user === undefined ? 'nobody' : hostName(user), role, itsName),
    );
    expect(found.sort()).to.deep.equal(wanted.sort());
    const named = names.map(
      ({ key, value }) => `${key.split('/').at(-1)} ${decode(nameSchema, key, value).address}`,
    );
    const wantedNames = [...entries].flatMap(([at, entry]) =>
      entry.name === undefined ? [] : [`${entry.name} ${at}`],
    );
    expect(named.sort()).to.deep.equal(wantedNames.sort());
    for (const user of HOSTS) {
      const held = (hosts[user]?.leases.list() ?? []).filter((one) => one.subnet.base === subnet.base);
      const users = [...entries].filter(([, entry]) => entry.user === user);
      expect(held.map((one) => formatIp(one.address)).sort()).to.deep.equal(users.map(([at]) => at).sort());
    }
  }
});

function hostName(index: number): string {
  return `model-${index}`;
}

function addressIn(key: string): string {
  return formatIp(layout.addressOf(key).address);
}

function lineOf(at: string, user: string, role = 'no role', name = 'no name'): string {
  return `${at} ${user} ${role} ${name}`;
}
