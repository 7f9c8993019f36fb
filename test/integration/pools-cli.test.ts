import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { main } from '../../cli/main.ts';
import { silentLogger } from '../../core/log.ts';
import { type AdminDependencies, createAdminApp } from '../../daemon/admin-server.ts';
import { type Listener, listenOn } from '../../daemon/listen.ts';
import { EtcdProcess } from '../support/etcd-process.ts';
import { IpamHost } from '../support/ipam-host.ts';
import { need } from '../support/require.ts';

describe('lanius pool on a real etcd', function () {
  this.timeout(20_000);
  let etcd: EtcdProcess;
  let host: IpamHost;
  let folder: string;
  let socket: string;
  let listener: Listener;

  before(async function () {
    need(this, 'etcd');
    etcd = await EtcdProcess.start();
    host = await IpamHost.start({ etcd: etcd.host, name: 'h1' });
    folder = mkdtempSync(join(tmpdir(), 'lanius-pools-'));
    socket = join(folder, 'admin.sock');
    const parts = { poolAdmin: host.poolAdmin, logger: silentLogger } as unknown as AdminDependencies;
    listener = await listenOn(createServer(createAdminApp(parts)), { path: socket });
  });
  after(async () => {
    await listener?.close(100);
    await host?.stop();
    await etcd?.stop();
    if (folder !== undefined) rmSync(folder, { recursive: true });
  });

  async function lanius(line: string): Promise<string> {
    const argv = line.split(' ').map((word) => (word === "''" ? '' : word));
    let [out, err] = ['', ''];
    const streams = {
      out: (text: string) => {
        out += text;
      },
      err: (text: string) => {
        err += text;
      },
    };
    const status = await main(argv, { LANIUS_ADMIN_SOCKET: socket }, streams);
    return `${status} ${out}${err}`;
  }

  it('makes, changes, shows and removes a pool', async () => {
    const add =
      'pool add prod --subnet 10.40.0.0/16 --gateway 10.40.0.1 --range 10.40.1.0/24,name=web,container=web-* ' +
      '--range 10.40.2.0-10.40.2.99,rack=r1 --exclude 10.40.1.7 --select rack=r1 --borrow --quota 50 --cooling 2m ' +
      '--sticky --keep 12h --vlan 5 --mac-prefix 02:4D --default net_in=10mbit --default arp=off';
    expect(await lanius(add)).to.equal('0 pool prod (10.40.0.0/16) is made\n');
    expect(await lanius(add)).to.equal('0 pool prod (10.40.0.0/16) is there already\n');
    const shown = await lanius('pool show prod');
    for (const line of [
      'Name:            prod',
      'Subnet:          10.40.0.0/16',
      'Gateway:         10.40.0.1',
      'VLAN:            5',
      'Select:          rack=r1',
      'Borrow:          yes',
      'Quota per host:  50',
      'Cooling:         2m',
      'Sticky:          yes',
      'Keep:            12h',
      'MAC prefix:      02:4d',
      'Default net_in:  10mbit',
      'Default net_out: -',
      'Default arp:     off',
      'Excludes:        10.40.1.7',
      'Draining:        0',
      '10.40.1.0-10.40.1.255,name=web,container=web-*  255   0      255',
      '10.40.2.0-10.40.2.99,rack=r1                    100   0      100',
    ])
      expect(shown).to.contain(`${line}\n`);
    const set =
      'pool set prod --no-borrow --no-sticky --no-quota --gateway= --vlan 6 --no-default --rm-range web ' +
      '--add-range 10.40.3.0/24 --add-exclude 10.40.3.1 --rm-exclude 10.40.1.7';
    expect(await lanius(set)).to.equal('0 pool prod is changed\n');
    const { pool } = JSON.parse((await lanius('pool show 10.40.0.0/16 -o json')).slice(2));
    expect(pool).to.deep.include({
      name: 'prod',
      vlan: 6,
      ranges: [
        { first: '10.40.2.0', last: '10.40.2.99', hosts: { rack: 'r1' } },
        { first: '10.40.3.0', last: '10.40.3.255' },
      ],
      excludes: [{ first: '10.40.3.1', last: '10.40.3.1' }],
      coolingSeconds: 120,
    });
    for (const key of ['gateway', 'borrow', 'sticky', 'quotaPerHost', 'defaults'])
      expect(pool).not.to.have.key(key);
    expect(await lanius('pool set prod --vlan 6')).to.equal('0 pool prod is so already\n');
    expect(await lanius('pool rm prod')).to.equal('0 pool prod (10.40.0.0/16) is removed\n');
    expect(await lanius('pool rm prod')).to.equal('1 lanius: there is no pool "prod": see lanius pool ls\n');
  });

  const wrong: readonly (readonly [string, string])[] = [
    ['pool add a', '2 lanius: pool add needs --subnet; see lanius pool add --help\n'],
    ['pool set a', '2 lanius: pool set needs something to change; see lanius pool set --help\n'],
    [
      'pool set a --subnet 10.0.0.0/8',
      '1 lanius: pool a: a subnet cannot change: grow or shrink the pool by its ranges (--add-range, --rm-range), or make another with lanius pool add\n',
    ],
    ['pool add a/b --subnet 10.41.0.0/16', '1 lanius: pool "a/b" is not a name: use letters, digits, dots'],
    ['pool add a --subnet 10.41.0.0/31', '1 lanius: pool a: subnet 10.41.0.0/31 is too small to be shared'],
    [
      'pool add a --subnet 10.41.0.0/16 --range 10.42.0.0/24',
      '1 lanius: range 10.42.0.0-10.42.0.255 is not inside',
    ],
    [
      'pool add a --subnet 10.41.0.0/16 --default net_in=1mbps',
      '1 lanius: default net_in: rate "1mbps" may mean bits or bytes',
    ],
    ['pool set nobody --quota 3', '1 lanius: there is no pool "nobody": see lanius pool ls\n'],
    ['pool set a --no-range=x', '2 lanius: --no-range takes no value; see lanius pool set --help\n'],
    ['pool set a --no-add-range', '2 lanius: unknown option --no-add-range'],
    ['pool add a --subnet= ', '2 lanius: --subnet needs a value'],
    ['pool show', '2 lanius: pool show needs NAME|SUBNET; see lanius pool show --help\n'],
    ["pool show ''", '1 lanius: pool: must not be empty\n'],
    [`pool show ${'x'.repeat(2000)}`, '1 lanius: pool: is longer than 1000 characters\n'],
    [`pool show ${'\u00e4'.repeat(10_000)}`, '1 lanius: the arguments are too long for one request\n'],
    [
      `pool add a --subnet 10.41.0.0/16 --range ${'x'.repeat(150_000)}`,
      '1 lanius: the request is longer than 100 kB: say less at once\n',
    ],
    [
      'pool add a --subnet 10.41.0.0/16 --range 10.41.0.0/24,name=a,name=b',
      '1 lanius: "name" is given twice in "10.41.0.0/24,name=a,name=b": leave one out\n',
    ],
    [
      'pool add a --subnet 10.41.0.0/16 --select rack=a,rack=b',
      '1 lanius: "rack" is given twice in "rack=a,rack=b": leave one out\n',
    ],
    [
      'pool add a --subnet 10.41.0.0/16 --default net_in',
      '1 lanius: default "net_in" has no value: write it like net_in=10mbit',
    ],
    ...['0.0.0.0/0', '127.0.0.0/16', '224.0.0.0/8', 'fe80::/64', 'ff00::/64', '::/64'].map(
      (subnet) =>
        [
          `pool add a --subnet ${subnet}`,
          `1 lanius: pool a: subnet ${subnet} has addresses that no container can have `,
        ] as const,
    ),
  ];
  for (const [line, said] of wrong) {
    it(`refuses "${line.slice(0, 80)}"`, async () => {
      expect(await lanius(line)).to.satisfy((text: string) => text.startsWith(said), said);
    });
  }
});
