import { expect } from 'chai';
import fc from 'fast-check';
import { formatCidr, formatIp, parseIp } from '../../../core/ip.ts';
import { coverOf, gapsOf, runsOf } from '../../../ipam/migrate/address-runs.ts';
import { ShrikeEvidence } from '../../../ipam/migrate/shrike-evidence.ts';
import { planNetwork, type ShrikeDecision, type Standing } from '../../../ipam/migrate/shrike-plan.ts';
import { poolOf } from '../../../ipam/migrate/shrike-pool.ts';
import { parseShrikeTree, type ShrikeTree } from '../../../ipam/migrate/shrike-tree.ts';
import { parseUsedList } from '../../../ipam/migrate/used-list.ts';
import type { LeaseValue } from '../../../store/schema.ts';
import {
  addressesFrom,
  type ShrikeHosts,
  type ShrikeParts,
  shrikeTree,
  usedList,
} from '../../support/shrike-tree.ts';

const HOSTS: ShrikeHosts = {
  subnet: '10.77.0.0/16',
  gateway: '10.77.0.1',
  assigned: ['10.77.0.11', '10.77.0.12'],
  pool: ['10.77.0.13'],
};
const NET: ShrikeParts = {
  net: '10.77.0.0',
  mask: '16',
  free: ['10.77.16.6', '10.77.16.7'],
  assigned: ['10.77.16.4', '10.77.16.5'],
};
const NOTHING: Standing = { pool: undefined, obstacle: undefined, leases: new Map() };
const LISTS = [
  usedList('h1', '10.77.0.11', [['web', '10.77.16.4']]),
  usedList('h2', '10.77.0.12', [['idle', '']]),
];
const lease = (value: Partial<LeaseValue>): LeaseValue => ({
  v: 1,
  state: 'bound',
  host: 'l1',
  request: 'r',
  bootId: 'b',
  at: 0,
  ...value,
});

function treeOf(hosts: ShrikeHosts | undefined = HOSTS, net = NET): ShrikeTree {
  return parseShrikeTree(JSON.parse(JSON.stringify(shrikeTree([net], hosts))));
}

function plan(lists: readonly string[], standing = NOTHING, tree = treeOf(), complete = false) {
  const used = lists.map((text, index) => parseUsedList(`list-${index}`, text));
  const [network] = tree.networks;
  if (network === undefined) throw new Error('the tree has no network');
  const evidence = new ShrikeEvidence(tree, used, complete);
  return planNetwork(network, { tree, evidence, name: 'old' }, standing);
}

const briefly = (decisions: readonly ShrikeDecision[]): string[] =>
  decisions.map(({ action, object, name }) => [action, object, name].filter(Boolean).join(' '));
const reasonOf = (decisions: readonly ShrikeDecision[], object: string): string =>
  decisions.find((one) => one.object === object)?.reason ?? '';

describe('ipam/migrate/shrike-plan', () => {
  it('keeps every assigned address as long as no host has said what it uses', () => {
    const { pool, decisions } = plan([]);
    expect(pool?.wishes).to.deep.equal({
      gateway: '10.77.0.1',
      defaults: ['arp=off'],
      ranges: ['10.77.16.4-10.77.16.7'],
      excludes: ['10.77.0.11-10.77.0.13'],
    });
    expect(briefly(decisions)).to.deep.equal([
      'leave 10.77.0.11-10.77.0.12',
      'leave 10.77.0.13',
      'reserve 10.77.16.4 shrike.10.77.16.4',
      'reserve 10.77.16.5 shrike.10.77.16.5',
      'free 10.77.16.6-10.77.16.7',
    ]);
    expect(reasonOf(decisions, '10.77.16.5')).to.contain('no host has given a list');
  });

  it('frees what no container has, once all hosts have said so', () => {
    const { decisions } = plan(LISTS);
    expect(briefly(decisions)).to.include.members([
      'reserve 10.77.16.4 shrike.h1.10.77.16.4',
      'free 10.77.16.5',
    ]);
    expect(reasonOf(decisions, '10.77.16.4')).to.equal('web on h1 has it');
    expect(reasonOf(decisions, '10.77.16.5')).to.contain('no container of the 2 hosts has it');
  });

  it('keeps all while a host that Shrike names has given no list, or Shrike names none', () => {
    const one = plan(LISTS.slice(0, 1));
    expect(briefly(one.decisions)).to.include('reserve 10.77.16.5 shrike.10.77.16.5');
    expect(reasonOf(one.decisions, '10.77.16.5')).to.contain('host 10.77.0.12 has given no list');
    const nameless = parseShrikeTree(shrikeTree([NET]));
    expect(plan(LISTS, NOTHING, nameless).pool?.wishes.excludes).to.deep.equal(['10.77.0.11-10.77.0.12']);
    expect(reasonOf(plan(LISTS, NOTHING, nameless).decisions, '10.77.16.5')).to.contain(
      'Shrike names no hosts',
    );
    expect(briefly(plan(LISTS, NOTHING, nameless, true).decisions)).to.include('free 10.77.16.5');
    expect(briefly(plan([], NOTHING, nameless, true).decisions)).to.not.include('free 10.77.16.5');
  });

  it('reserves what containers have although Shrike does not know it', () => {
    const lists = [
      usedList('h1', '10.77.0.11', [
        ['a', '10.77.16.6'],
        ['b', '10.77.99.1'],
        ['c', '172.17.0.5'],
        ['d', '10.77.16.4'],
      ]),
      usedList('h2', '10.77.0.12', [['e', '10.77.16.4']]),
    ];
    const { decisions } = plan(lists);
    expect(briefly(decisions)).to.include.members([
      'reserve 10.77.16.6 shrike.h1.10.77.16.6',
      'reserve 10.77.99.1 shrike.h1.10.77.99.1',
      'free 10.77.16.7',
    ]);
    expect(reasonOf(decisions, '10.77.16.6')).to.contain('free in Shrike all the same');
    expect(reasonOf(decisions, '10.77.99.1')).to.contain('unknown to Shrike');
    expect(reasonOf(decisions, '10.77.16.4')).to.contain(
      'd on h1 and e on h2 have it, so one of them has to go',
    );
  });

  it('tells conflicts with what stands, and orders nothing that is done', () => {
    const tree = treeOf();
    const [network] = tree.networks;
    if (network === undefined) throw new Error('no network');
    const first = plan(LISTS);
    const pool = poolOf(network.subnet, 'old', first.pool?.wishes ?? {});
    const done = new Map([
      ['10.77.16.4', lease({ state: 'reserved', role: 'operator', name: 'shrike.h1.10.77.16.4' })],
    ]);
    const again = plan(LISTS, { ...NOTHING, pool, leases: done });
    expect(again.pool).to.equal(undefined);
    expect(
      again.decisions.filter(({ action }) => action === 'reserve' || action === 'conflict'),
    ).to.deep.equal([]);
    const taken = new Map([
      ['10.77.16.4', lease({ containerName: 'new' })],
      ['10.77.16.5', null],
    ]);
    const { decisions } = plan([], { ...NOTHING, pool, leases: taken });
    expect(reasonOf(decisions, '10.77.16.4')).to.contain('new on host l1 has it, too');
    expect(reasonOf(decisions, '10.77.16.5')).to.contain('damaged: see lanius store check');
    const moved = new Map([['10.77.16.4', lease({ containerName: 'web' })]]);
    const after = plan(LISTS, { ...NOTHING, pool, leases: moved }).decisions;
    expect(reasonOf(after, '10.77.16.4')).to.equal('web on host l1 has it: it has moved already');
    const asked = new Map([
      ['10.77.16.4', lease({ role: 'operator', name: 'shrike.h1.10.77.16.4', containerName: 'web' })],
    ]);
    expect(briefly(plan(LISTS, { ...NOTHING, pool, leases: asked }).decisions)).to.include(
      'stands 10.77.16.4',
    );
    const { excludes: _, ...open } = pool;
    const careless = plan([], {
      ...NOTHING,
      pool: { ...open, ranges: [{ first: '10.77.0.2', last: '10.77.16.9' }] },
    });
    expect(reasonOf(careless.decisions, '10.77.0.13')).to.contain(
      'lanius pool set old --add-exclude 10.77.0.13',
    );
    const across = plan([], { ...NOTHING, obstacle: 'pool x (10.77.3.0/24) lies inside of 10.77.0.0/16' });
    expect(across.decisions).to.have.length(1);
    expect(across.decisions[0]).to.include({ action: 'conflict', object: 'pool' });
  });

  it('goes on where an import did not come to its end', () => {
    const [network] = treeOf().networks;
    if (network === undefined) throw new Error('no network');
    const closed = poolOf(network.subnet, 'old', { excludes: [formatCidr(network.subnet)] });
    const again = plan(LISTS, { ...NOTHING, pool: closed });
    expect(again.pool?.decision.reason).to.contain('did not come to its end');
  });

  it('keeps network, broadcast and gateway address apart', () => {
    const net = { net: '10.77.0.0', mask: '24', free: ['10.77.0.0', '10.77.0.255'], assigned: ['10.77.0.1'] };
    const { pool, decisions } = plan([], NOTHING, treeOf({ ...HOSTS, assigned: [], pool: [] }, net));
    expect(pool?.wishes.gateway).to.equal('10.77.0.1');
    expect(reasonOf(decisions, '10.77.0.1')).to.contain('is the gateway of pool');
    const other = plan([], NOTHING, treeOf({ ...HOSTS, gateway: '192.168.223.2' }));
    expect(other.pool?.wishes).to.not.have.property('gateway');
    expect(reasonOf(other.decisions, '192.168.223.2')).to.contain('is not in subnet 10.77.0.0/16');
  });

  it('covers scattered addresses with ranges and holes that are these addresses exactly', () => {
    const sets = fc.uniqueArray(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(sets, fc.integer({ min: 1, max: 20 }), (numbers, most) => {
        const wanted = numbers
          .toSorted((a, b) => a - b)
          .map((n) => ({ family: 4 as const, value: BigInt(n) }));
        const { ranges, holes } = coverOf(runsOf(wanted), most);
        expect(ranges.length).to.be.at.most(most);
        const inside = (n: bigint, all: readonly { first: bigint; last: bigint }[]) =>
          all.some(({ first, last }) => first <= n && n <= last);
        for (let n = 0n; n <= 401n; n += 1n)
          expect(inside(n, ranges) && !inside(n, holes)).to.equal(numbers.includes(Number(n)));
        expect(gapsOf(ranges).length).to.equal(ranges.length - 1);
      }),
    );
  });
});

describe('ipam/migrate/shrike-tree', () => {
  const refusal = (document: unknown): string => {
    try {
      parseShrikeTree(document);
      return '';
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  };

  it('reads the answer of etcd, its node alone, and the whole store around it', () => {
    const answer = shrikeTree([NET], HOSTS);
    const around = {
      key: '/',
      dir: true,
      nodes: [answer.node, { key: '/docker', dir: true, nodes: [{ key: '/docker/x', value: '1' }] }],
    };
    for (const document of [answer, answer.node, { action: 'get', node: around }]) {
      const { networks, hosts, hostsToCome, gateway } = parseShrikeTree(document);
      expect(networks.map(({ assigned }) => assigned.map(formatIp))).to.deep.equal([NET.assigned]);
      expect([hosts.length, hostsToCome.length, gateway]).to.deep.equal([2, 1, parseIp('10.77.0.1')]);
    }
  });

  it('takes what stands in both lists for assigned', () => {
    const { networks } = parseShrikeTree(shrikeTree([{ ...NET, free: ['10.77.16.4'] }]));
    expect(networks[0]).to.deep.include({ free: [] });
  });

  it('refuses what is damaged or foreign in one line that names the key', () => {
    const text = JSON.stringify(shrikeTree([NET], HOSTS));
    const changed = (from: string, to: string) => refusal(JSON.parse(text.replace(from, to)));
    const cases: readonly [string, RegExp][] = [
      [refusal(undefined), /is no node of etcd v2/],
      [refusal([]), /is no node of etcd v2/],
      [refusal({ node: { key: '/talkingdata', nodes: 'x' } }), /is no node of etcd v2/],
      [
        refusal({ errorCode: 100, message: 'Key not found', cause: '/talkingdata', index: 3 }),
        /an error of etcd \(Key not found\)/,
      ],
      [
        refusal({ node: { key: '/other', dir: true } }),
        /none of its 1 keys lies under \/talkingdata\/containers\//,
      ],
      [
        changed(
          '/talkingdata/containers/10.77.0.0/pool/10.77.16.6',
          '/talkingdata/containers/10.77.0.0/pool/10.77.16.600',
        ),
        /"10.77.16.600" of .* is not an IPv4 address/,
      ],
      [
        changed('/pool/10.77.16.6', '/pool/10.78.0.1'),
        /address 10.78.0.1 under .* is not in its subnet 10.77.0.0\/16/,
      ],
      [changed('/assigned/10.77.16.4', '/elsewhere/10.77.16.4'), /does not lie in|none of Shrike's layout/],
      [
        changed('\\"Mask\\":\\"16\\"', '\\"Mask\\":\\"8\\"'),
        /config names 10.77.0.0\/8, which is not its subnet/,
      ],
      [changed('\\"Mask\\":\\"16\\"', '\\"Mask\\":16'), /the value of .*config is damaged/],
      [changed('{\\"Ipnet\\"', '{'), /the value of .*config is damaged/],
      [
        changed('"/talkingdata/hosts/pool"', '"/talkingdata/guests/pool"'),
        /does not lie in|none of Shrike's layout/,
      ],
    ];
    for (const [said, expected] of cases) {
      expect(said).to.match(expected);
      expect(said).to.match(/^the file is no tree of Shrike's: .*; nothing was changed$/);
    }
    const { node } = shrikeTree([NET]);
    const bare = {
      ...node,
      nodes: node.nodes?.map((one) => ({
        ...one,
        nodes: one.nodes?.map((net) => ({ ...net, nodes: net.nodes?.slice(1) })),
      })),
    };
    expect(refusal(bare)).to.match(/has no config, so its mask is not known/);
  });

  it('never fails in another way, whatever the document is', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (document) => {
        const said = refusal(document);
        expect(said).to.match(/^(|the file is no tree of Shrike's: .*; nothing was changed)$/s);
        expect(said).to.not.contain('\n');
      }),
    );
  });
});

describe('ipam/migrate/used-list', () => {
  it('reads a list, and refuses one that is cut off or something else', () => {
    const list = parseUsedList('h1', 'host h1 10.77.0.11 fe80::1\n/web 10.77.16.4 172.17.0.2\n/idle\nend\n');
    expect(list).to.deep.equal({
      host: 'h1',
      addresses: ['10.77.0.11', 'fe80::1'],
      containers: [
        { name: 'web', addresses: ['10.77.16.4', '172.17.0.2'] },
        { name: 'idle', addresses: [] },
      ],
    });
    const said = (text: string): string => {
      try {
        parseUsedList('h1.txt', text);
        return '';
      } catch (error) {
        return error instanceof Error ? error.message : '';
      }
    };
    expect(said('host h1 10.77.0.11\n/web 10.77.16.4\n')).to.match(
      /^h1.txt is no list .* line 2 is not "end", so it is cut off/,
    );
    expect(said('')).to.match(/line 1 is not "end"/);
    expect(said('end')).to.match(/line 1 does not say "host NAME/);
    expect(said('host h1 x\nend')).to.match(/line 1 has "x", which is not an address/);
    expect(said('host h1\nweb 10.77.16.4\nend')).to.match(/line 2 does not begin with the name/);
    expect(said('host h1\n/web 10.77.16.400\nend')).to.match(/line 2 has "10.77.16.400"/);
  });

  it('counts addresses over the end of an octet', () => {
    expect(addressesFrom('10.77.16.254', 3)).to.deep.equal(['10.77.16.254', '10.77.16.255', '10.77.17.0']);
  });
});
