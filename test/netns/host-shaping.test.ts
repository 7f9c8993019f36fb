/** `KernelHostShaping` on a real parent: classes by MAC, guarantees, what steps around it, and that nothing is left. */
import { expect } from 'chai';
import { Conflict, NotFound } from '../../core/errors.ts';
import { parentIfbNameOf } from '../../core/ids.ts';
import type { Direction } from '../../core/limit.ts';
import { KernelHostShaping } from '../../net/shaping/kernel-host-shaping.ts';
import type { HostShapedEndpoint } from '../../net/shaping-port.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { failure } from './kernel-links.ts';
import { PEER, PEER_IPV6, rateBy, type Sandbox, ShapedHost, shape } from './shaped-host.ts';

const LINK = { in: 1e9, out: 1e9 };

describe('net/shaping, by the host', () => {
  let host: ShapedHost;
  let shaping: KernelHostShaping;

  before(function () {
    need(this, 'root', 'netns', 'iperf3');
  });

  beforeEach(() => {
    host = new ShapedHost();
    shaping = new KernelHostShaping(host.worker);
  });

  afterEach(async () => {
    await host.remove();
  });

  const ifb = parentIfbNameOf('up0');
  const tc = (...words: string[]): string => host.tc(host.home, ...words);
  const endpoint = (
    { endpointId, macAddress }: Sandbox,
    plan: HostShapedEndpoint['plan'],
    least: Partial<HostShapedEndpoint> = {},
  ): HostShapedEndpoint => ({ endpointId, macAddress, plan, ...least });

  async function passed(endpointId: string, direction: Direction): Promise<number> {
    const found = (await shaping.traffic('up0', [endpointId])).get(endpointId);
    if (found === undefined) throw new Error('no traffic');
    return found[direction].bytes;
  }

  /** Bytes through a class, as tc tells them. */
  function classBytes(device: string, minor: string): number {
    const said = tc('-s', 'class', 'show', 'dev', device);
    return Number(new RegExp(`class htb 4c48:${minor} [^\\n]*\\n Sent (\\d+) bytes`).exec(said)?.[1] ?? 0);
  }

  async function holds(what: string, read: () => Promise<number>, megabits: number): Promise<void> {
    const found = await until(
      `${what} comes to ${megabits} Mbit/s`,
      async () => {
        const rate = await rateBy(read);
        if (rate < 0.9 * megabits) console.log(`      ${what}: ${rate.toFixed(2)}, again`);
        return rate >= 0.9 * megabits && rate;
      },
      { timeoutMs: 30_000 },
    );
    console.log(`      ${what}: ${found.toFixed(2)} of ${megabits} Mbit/s`);
    expect(found).to.be.at.most(1.1 * megabits);
  }

  it('holds each endpoint to its limits, both directions, both families, with no other endpoint in its way', async () => {
    const [one, two, three] = [host.macvlan('private'), host.macvlan('private'), host.macvlan('private')];
    await shaping.settle(
      'up0',
      [
        endpoint(one, { in: shape(20), out: shape(50) }),
        endpoint(two, { in: shape(10), out: shape(5) }),
        endpoint(three, {}),
      ],
      LINK,
    );
    for (const address of [PEER, PEER_IPV6]) {
      const flows = [
        await host.flow(one.namespace, host.peer, address),
        await host.flow(two.namespace, host.peer, address),
        await host.flow(two.namespace, host.peer, address, '-R'),
      ];
      await holds(`one out to ${address}`, () => passed(one.endpointId, 'out'), 50);
      await holds(`two out to ${address}`, () => passed(two.endpointId, 'out'), 5);
      await holds(`two in from ${address}`, () => passed(two.endpointId, 'in'), 10);
      for (const flow of flows) await flow.stop();
    }
    const free = await host.flow(three.namespace, host.peer, PEER);
    const rate = await rateBy(() => passed(three.endpointId, 'out'));
    console.log(`      three, without a limit: ${rate.toFixed(0)} Mbit/s`);
    expect(rate).to.be.within(60, 1.1 * (LINK.out / 1e6));
    await free.stop();
  });

  it('writes nothing where all is in force, and only what differs', async () => {
    const [one, two] = [host.macvlan(), host.macvlan()];
    const both = [endpoint(one, { in: shape(20) }), endpoint(two, { out: shape(5) })];
    expect(await shaping.settle('up0', both, LINK)).to.deep.equal([
      'in: the ifb was missing',
      'in: the htb was missing',
      'in: the redirect filter was missing',
      'out: the filter that clears priorities was missing',
      'out: the htb was missing',
    ]);
    expect(await shaping.settle('up0', both, LINK)).to.deep.equal([]);
    expect(await shaping.parents()).to.deep.equal(['up0']);
    const changed = [endpoint(one, { in: shape(30) }), endpoint(two, { out: shape(5) })];
    expect(await shaping.settle('up0', changed, LINK)).to.deep.equal([
      `in: ${one.endpointId.slice(0, 12)}: its class was missing or different`,
    ]);
    expect(await shaping.settle('up0', changed.slice(0, 1), LINK)).to.deep.equal([
      'in: others: classes and filters are removed',
      'out: others: classes and filters are removed',
    ]);
    expect(await shaping.settle('up0', changed.slice(0, 1), LINK)).to.deep.equal([]);
    expect(tc('class', 'show', 'dev', 'up0').trim().split('\n')).to.have.length(4);
  });

  for (const [what, breakIt] of [
    ['the htb of the parent', () => tc('qdisc', 'del', 'dev', 'up0', 'root')],
    ['the htb of the ifb', () => tc('qdisc', 'del', 'dev', ifb, 'root')],
    ['the ifb', () => host.home.ip('link', 'del', ifb)],
    ['the ifb that is down', () => host.home.ip('link', 'set', ifb, 'down')],
    ['the clsact', () => tc('qdisc', 'del', 'dev', 'up0', 'clsact')],
    ['the filter that clears priorities', () => tc('filter', 'del', 'dev', 'up0', 'egress')],
    ['the filters by MAC', () => tc('filter', 'del', 'dev', 'up0', 'parent', '4c48:')],
    [
      'a class',
      () =>
        tc(
          'class',
          'change',
          'dev',
          'up0',
          'parent',
          '4c48:1',
          'classid',
          '4c48:10',
          ...'htb rate 900mbit'.split(' '),
        ),
    ],
    ['a queue', () => tc('qdisc', 'replace', 'dev', 'up0', 'parent', '4c48:10', 'pfifo')],
  ] as [string, () => unknown][]) {
    it(`mends ${what}`, async () => {
      const box = host.macvlan();
      const plan = [endpoint(box, { in: shape(20), out: shape(50) })];
      await shaping.settle('up0', plan, LINK);
      const before =
        tc('qdisc').replaceAll(/tbf \w+:/g, 'tbf') +
        tc('class', 'show', 'dev', 'up0').replaceAll(/leaf \w+:/g, '');
      breakIt();
      expect(await shaping.settle('up0', plan, LINK)).to.not.deep.equal([]);
      expect(await shaping.settle('up0', plan, LINK)).to.deep.equal([]);
      const after =
        tc('qdisc').replaceAll(/tbf \w+:/g, 'tbf') +
        tc('class', 'show', 'dev', 'up0').replaceAll(/leaf \w+:/g, '');
      const lines = (text: string): string[] =>
        text
          .replaceAll(/fifo \w+:/g, 'fifo')
          .split('\n')
          .sort();
      expect(lines(after)).to.deep.equal(lines(before));
    });
  }

  it('puts unknown MACs into a small class, the host into its own, and takes no priority at its word', async () => {
    const box = host.macvlan('private');
    host.home.ip('addr', 'add', '10.78.0.9/24', 'dev', 'up0');
    await shaping.settle('up0', [endpoint(box, { in: shape(50), out: shape(50) })], LINK);
    for (const priority of [0x4c48_0000, 0x4c48_fffd]) {
      const sender = host.prioritySender(box.namespace, PEER, priority);
      await holds(`with priority ${priority.toString(16)}`, () => passed(box.endpointId, 'out'), 50);
      await sender.stop();
    }
    const own = await host.flow(host.home, host.peer, PEER);
    const rate = await rateBy(async () => classBytes('up0', 'fffd'));
    console.log(`      the host itself: ${rate.toFixed(0)} Mbit/s`);
    expect(rate).to.be.within(60, 1.1 * (LINK.out / 1e6));
    await own.stop();
    box.namespace.ip(
      'link',
      'add',
      'around0',
      'link',
      'eth0',
      'address',
      '02:4c:ff:ff:ff:01',
      'type',
      'macvlan',
    );
    box.namespace.ip('addr', 'add', '10.78.0.99/24', 'dev', 'around0');
    box.namespace.ip('link', 'set', 'around0', 'up');
    const around = await host.flow(box.namespace, host.peer, PEER, '-B', '10.78.0.99%around0');
    await holds('a MAC that nobody knows', async () => classBytes('up0', 'fffe'), 1);
    await around.stop();
  });

  it('guarantees a rate, and lends what is free up to the limit', async () => {
    const [one, two] = [host.macvlan('private'), host.macvlan('private')];
    await shaping.settle(
      'up0',
      [
        endpoint(one, { out: shape(90) }, { minOutBitsPerSecond: 70e6 }),
        endpoint(two, { out: shape(90) }, { minOutBitsPerSecond: 20e6 }),
      ],
      { in: 100e6, out: 100e6 },
    );
    const first = await host.flow(one.namespace, host.peer, PEER);
    await holds('one alone', () => passed(one.endpointId, 'out'), 90);
    const second = await host.flow(two.namespace, host.peer, PEER);
    const [a, b] = await Promise.all(
      [one, two].map((box) => rateBy(() => passed(box.endpointId, 'out'), 1500, 2000)),
    );
    console.log(`      both: ${a?.toFixed(1)} and ${b?.toFixed(1)} Mbit/s of 100, with 70 and 20 for sure`);
    expect(a).to.be.at.least(60);
    expect(b).to.be.at.least(17);
    expect((a ?? 0) + (b ?? 0)).to.be.at.most(110);
    await first.stop();
    await second.stop();
  });

  it('holds what comes from another container of the parent', async () => {
    const [one, two] = [host.macvlan(), host.macvlan()];
    await shaping.settle('up0', [endpoint(one, { out: shape(10) }), endpoint(two, { in: shape(30) })], LINK);
    const flow = await host.flow(one.namespace, two.namespace, two.address);
    await holds('in of two', () => passed(two.endpointId, 'in'), 30);
    await flow.stop();
  });

  it('leaves nothing when no endpoint is left, but what is of others', async () => {
    const before = tc('qdisc');
    const box = host.macvlan();
    await shaping.settle('up0', [endpoint(box, { in: shape(20) })], LINK);
    await shaping.settle('up0', [], LINK);
    expect(tc('qdisc')).to.equal(before);
    expect(host.home.link(ifb)).to.equal(undefined);
    expect(await shaping.settle('up0', [], LINK)).to.deep.equal([]);
    expect(await shaping.parents()).to.deep.equal([]);
    // the parent is gone, and the ifb stays behind
    host.home.ip('link', 'add', 'other0', 'type', 'veth', 'peer', 'name', 'other1');
    await shaping.settle('other0', [endpoint(box, { in: shape(20) })], LINK);
    host.home.ip('link', 'del', 'other0');
    expect(await shaping.parents()).to.deep.equal(['other0']);
    expect(await shaping.settle('other0', [], LINK)).to.deep.equal(['the ifb is removed']);
    expect(await shaping.parents()).to.deep.equal([]);
    tc('qdisc', 'add', 'dev', 'up0', 'clsact');
    tc(...'filter add dev up0 ingress pref 7 protocol ip u32 match u32 0 0 flowid 1:1'.split(' '));
    const filters = tc('filter', 'show', 'dev', 'up0', 'ingress');
    await shaping.settle('up0', [endpoint(box, { in: shape(20) })], LINK);
    await shaping.settle('up0', [], LINK);
    expect(tc('filter', 'show', 'dev', 'up0', 'ingress')).to.equal(filters);
  });

  it('refuses what somebody has put in the way, and a parent that is not there', async () => {
    const plan = [endpoint(host.macvlan(), { in: shape(20) })];
    tc('qdisc', 'add', 'dev', 'up0', 'root', 'handle', '1:', 'bfifo');
    const error = await failure(shaping.settle('up0', plan, LINK));
    expect(error).to.be.instanceOf(Conflict);
    expect(error.message).to.match(/^parent link up0 has a root qdisc bfifo 1: of somebody/);
    expect(await shaping.settle('up0', [], LINK)).to.deep.equal([]);
    expect(tc('qdisc', 'show', 'dev', 'up0')).to.include('bfifo 1:');
    tc('qdisc', 'del', 'dev', 'up0', 'root');
    tc('qdisc', 'add', 'dev', 'up0', 'clsact');
    const theirs = 'protocol ip u32 match u32 0 0 flowid 1:1'.split(' ');
    for (const [hook, preference] of [
      ['ingress', '2'],
      ['egress', '1'],
    ] as const) {
      tc('filter', 'add', 'dev', 'up0', hook, 'pref', preference, ...theirs);
      const filters = tc('filter', 'show', 'dev', 'up0', hook);
      const refusal = await failure(shaping.settle('up0', plan, LINK));
      expect(refusal).to.be.instanceOf(Conflict);
      expect(refusal.message).to.include(`a filter u32 of somebody at preference ${preference}`);
      expect(tc('filter', 'show', 'dev', 'up0', hook)).to.equal(filters);
      tc('filter', 'del', 'dev', 'up0', hook);
    }
    expect(await failure(shaping.settle('none0', plan, LINK))).to.be.instanceOf(NotFound);
    expect(await shaping.settle('none0', [], LINK)).to.deep.equal([]);
  });

  it('settles 300 endpoints, and one more among them, in little time', async () => {
    const many = Array.from(
      { length: 300 },
      (_, n): HostShapedEndpoint => ({
        endpointId: n.toString(16).padStart(64, '0'),
        macAddress: `02:4c:0a:4f:${(n >> 8).toString(16).padStart(2, '0')}:${(n & 255).toString(16).padStart(2, '0')}`,
        plan: { in: shape(10), out: shape(10) },
      }),
    );
    const times: string[] = [];
    const timed = async (endpoints: readonly HostShapedEndpoint[]): Promise<readonly string[]> => {
      const start = performance.now();
      const mended = await shaping.settle('up0', endpoints, LINK);
      times.push((performance.now() - start).toFixed(1));
      return mended;
    };
    await timed(many.slice(1));
    expect(await timed(many)).to.have.length(4);
    expect(await timed(many)).to.deep.equal([]);
    expect(
      (
        await shaping.traffic(
          'up0',
          many.map(({ endpointId }) => endpointId),
        )
      ).size,
    ).to.equal(300);
    console.log(`      299: ${times[0]} ms, one more: ${times[1]} ms, a look: ${times[2]} ms`);
  });
});
