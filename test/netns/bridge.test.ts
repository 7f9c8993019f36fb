/** Bridges and veth pairs against the real kernel, each test in network namespaces of its own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Conflict, InvalidRequest, NotFound } from '../../core/errors.ts';
import { bridgeNameOf, hostEndNameOf, linkAliasOf, linkNameOf } from '../../core/ids.ts';
import type { EndpointRecord } from '../../store/host-records.ts';
import { until } from '../support/poll.ts';
import { need } from '../support/require.ts';
import { run } from '../support/run.ts';
import { BridgeHost, BridgeParts, NETWORK } from './bridge-host.ts';
import { failure } from './kernel-links.ts';
import { TestNamespace } from './namespace.ts';

const ENDPOINT_ID = '0123456789ab'.padEnd(64, 'c');
const ENDPOINT: EndpointRecord = {
  v: 1,
  endpointId: ENDPOINT_ID,
  networkId: NETWORK.networkId,
  address: '10.9.0.7/24',
  // Below every MAC that the kernel makes up, so that a bridge with none of its own would take it.
  macAddress: '00:4c:0a:09:00:07',
  linkName: linkNameOf(ENDPOINT_ID),
  options: {},
  createdAt: 0,
  instance: 'test',
};
const HOST_END = hostEndNameOf(ENDPOINT_ID);

interface Shown {
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
  readonly master?: string;
  readonly ifalias?: string;
  readonly operstate: string;
  readonly flags: readonly string[];
  readonly linkinfo?: { readonly info_kind?: string; readonly info_data?: Readonly<Record<string, unknown>> };
  readonly addr_info?: readonly unknown[];
}

describe('links/bridge-uplink, links/bridge-mode', function () {
  this.timeout(30_000);
  let host: BridgeHost;
  let parts: BridgeParts;
  let stateDir: string;

  before(function () {
    need(this, 'root', 'netns');
  });

  beforeEach(async () => {
    host = new BridgeHost();
    stateDir = mkdtempSync(join(tmpdir(), 'lanius-bridge-'));
    parts = await new BridgeParts(host.namespace.path, stateDir).load();
  });

  afterEach(async () => {
    await parts.close();
    host.remove();
    rmSync(stateDir, { recursive: true, force: true });
  });

  const ip = (...words: readonly string[]): string => host.namespace.ip(...words);
  const show = (name: string): Shown | undefined =>
    (JSON.parse(ip('-d', '-j', 'addr')) as readonly Shown[]).find(({ ifname }) => ifname === name);
  const names = (): string[] => host.namespace.links().map(({ ifname }) => ifname);

  describe('the bridge', () => {
    it('has mark, MAC and MTU of the parent, no spanning tree, and the parent as its port', async () => {
      ip('link', 'set', 'up0', 'mtu', '1400');
      await parts.uplink.prepare(NETWORK);
      const [bridge, up0] = [show('br-up0'), show('up0')];
      expect(bridge).to.include({ ifalias: 'lanius:bridge', mtu: 1400, address: up0?.address });
      expect(bridge?.flags).to.include('UP');
      expect(bridge?.linkinfo?.info_data).to.include({ stp_state: 0, forward_delay: 0 });
      expect(up0?.master).to.equal('br-up0');
      await parts.uplink.prepare(NETWORK);
      await parts.uplink.settle([NETWORK]);
      expect(names()).to.have.members(['lo', 'up0', 'br-up0']);
      await parts.uplink.settle([]);
      expect(names()).to.have.members(['lo', 'up0']);
    });

    it('keeps its MAC and MTU whatever ports come and go', async () => {
      await parts.uplink.prepare(NETWORK);
      const { address, mtu } = show('br-up0') ?? {};
      await parts.mode.attach(ENDPOINT, { ...NETWORK, mtuBytes: 1280 });
      expect(show('br-up0')).to.include({ address, mtu });
      await parts.net.linkDelete(HOST_END);
      expect(show('br-up0')).to.include({ address, mtu });
    });

    it('of somebody else is used if it has the parent, and never removed', async () => {
      ip('link', 'add', 'br0', 'type', 'bridge');
      const network = { ...NETWORK, bridge: 'br0' };
      const error = await failure(parts.uplink.prepare(network));
      expect(error).to.be.instanceOf(Conflict);
      expect(error.message).to.include('attach it (ip link set up0 master br0)');
      ip('link', 'set', 'up0', 'master', 'br0');
      ip('addr', 'add', '10.9.0.5/24', 'dev', 'br0');
      await parts.uplink.prepare(network);
      await parts.uplink.settle([]);
      expect(show('up0')?.master).to.equal('br0');
      expect(show('br0')?.ifalias).to.equal(undefined);
    });

    it('is refused for a parent on another bridge, and by the name of another kind of link', async () => {
      const wrongKind = await failure(parts.uplink.prepare({ ...NETWORK, bridge: 'lo' }));
      expect(wrongKind.message).to.include('link lo exists, but is no bridge');
      ip('link', 'add', 'br0', 'type', 'bridge');
      ip('link', 'set', 'up0', 'master', 'br0');
      const onOther = await failure(parts.uplink.prepare(NETWORK));
      expect(onOther).to.be.instanceOf(Conflict);
      expect(onOther.message).to.equal(
        'parent link up0 is a port of br0 already: give -o bridge=br0, or choose another parent',
      );
      expect(names()).to.have.members(['lo', 'up0', 'br0']);
    });

    it('is refused for a parent with addresses, with what helps, and nothing new stands', async () => {
      host.configure();
      const before = host.addressing();
      const error = await failure(parts.uplink.prepare(NETWORK));
      expect(error).to.be.instanceOf(InvalidRequest);
      expect(error.message)
        .to.include("carries the host's address 10.9.0.5/24")
        .and.include('adopt_address=true');
      expect(host.addressing()).to.deep.equal(before);
      expect(names()).to.have.members(['lo', 'up0']);
    });

    it('stays for a port of somebody else', async () => {
      await parts.uplink.prepare(NETWORK);
      ip('link', 'add', 'tap0', 'type', 'veth', 'peer', 'name', 'tap1');
      ip('link', 'set', 'tap0', 'master', 'br-up0');
      await parts.uplink.settle([]);
      expect(show('up0')?.master).to.equal('br-up0');
      ip('link', 'del', 'tap0');
      await parts.uplink.settle([]);
      expect(names()).to.have.members(['lo', 'up0']);
    });

    it('that somebody deleted gets its containers back', async () => {
      parts.networks.push(NETWORK);
      parts.endpoints.push(ENDPOINT);
      await parts.uplink.prepare(NETWORK);
      await parts.mode.attach(ENDPOINT, NETWORK);
      ip('link', 'del', 'br-up0');
      await parts.uplink.prepare(NETWORK);
      expect(show('up0')?.master).to.equal('br-up0');
      expect(show(HOST_END)?.master).to.equal('br-up0');
    });

    it('has a name that fits, the same on every host', () => {
      expect(bridgeNameOf('eth0.100')).to.equal('br-eth0.100');
      expect(bridgeNameOf('enp179s0f1np1')).to.equal(bridgeNameOf('enp179s0f1np1'));
      expect(bridgeNameOf('enp179s0f1np1')).to.match(/^br-enp179s-[0-9a-f]{4}$/);
      expect(bridgeNameOf('enp179s0f1np1')).not.to.equal(bridgeNameOf('enp179s0f1np2'));
    });
  });

  describe('a container', () => {
    let sandbox: TestNamespace;

    beforeEach(async () => {
      sandbox = new TestNamespace();
      await parts.uplink.prepare(NETWORK);
    });
    afterEach(() => sandbox.remove());

    /** What an engine does. */
    function moveIn(): void {
      ip('link', 'set', ENDPOINT.linkName, 'netns', sandbox.name, 'name', 'eth0');
      sandbox.ip('addr', 'add', '10.9.0.7/24', 'dev', 'eth0');
      sandbox.ip('link', 'set', 'eth0', 'up');
    }

    it('gets an end with its MAC, down; the other end is a port, up, marked, without IPv6', async () => {
      await parts.mode.attach(ENDPOINT, NETWORK);
      const [end, hostEnd] = [show(ENDPOINT.linkName), show(HOST_END)];
      const mark = linkAliasOf(ENDPOINT_ID);
      expect(end).to.include({ address: ENDPOINT.macAddress, ifalias: mark, mtu: 1500 });
      expect(end?.flags).not.to.include('UP');
      expect(hostEnd).to.include({ master: 'br-up0', ifalias: mark });
      expect(hostEnd?.flags).to.include('UP');
      await parts.mode.attach(ENDPOINT, NETWORK);
      expect(names()).to.have.members(['lo', 'up0', 'br-up0', ENDPOINT.linkName, HOST_END]);
      moveIn();
      await until('the end is up', () => show(HOST_END)?.operstate === 'UP');
      expect(show(HOST_END)?.addr_info).to.deep.equal([]);
    });

    it('reaches the host and the segment, and they reach it', async () => {
      await parts.mode.attach(ENDPOINT, NETWORK);
      moveIn();
      ip('addr', 'add', '10.9.0.5/24', 'dev', 'br-up0');
      host.far.ip('addr', 'add', '10.9.0.1/24', 'dev', 'far0');
      const ping = async (from: TestNamespace, to: string): Promise<void> => {
        const command = host.placeOf(from).command(['ping', '-c', '1', '-W', '2', to]);
        expect(await run(command)).to.include({ status: 0 });
      };
      await ping(sandbox, '10.9.0.5');
      await ping(sandbox, '10.9.0.1');
      await ping(host.namespace, '10.9.0.7');
      await ping(host.far, '10.9.0.7');
      const neighbours = host.far.ip('neigh', 'show', '10.9.0.7');
      expect(neighbours).to.include(ENDPOINT.macAddress);
    });

    it('takes the other end with it when its sandbox dies', async () => {
      await parts.mode.attach(ENDPOINT, NETWORK);
      moveIn();
      sandbox.remove();
      await until('the host end is gone', () => show(HOST_END) === undefined);
      expect(names()).to.have.members(['lo', 'up0', 'br-up0']);
    });

    it('loses an end that was left from an earlier sandbox', async () => {
      await parts.mode.attach(ENDPOINT, NETWORK);
      moveIn();
      await parts.mode.attach(ENDPOINT, NETWORK);
      expect(show(ENDPOINT.linkName)).to.include({ address: ENDPOINT.macAddress });
      expect(sandbox.link('eth0')).to.equal(undefined);
    });

    it('is refused where a name is taken, or the bridge is missing, and leaves nothing', async () => {
      ip('link', 'add', HOST_END, 'type', 'veth', 'peer', 'name', 'tap1');
      const taken = await failure(parts.mode.attach(ENDPOINT, NETWORK));
      expect(taken).to.be.instanceOf(Conflict);
      expect(taken.message).to.include(`ip link delete ${HOST_END}`);
      expect(names()).to.have.members(['lo', 'up0', 'br-up0', HOST_END, 'tap1']);
      expect(show(HOST_END)?.ifalias).to.equal(undefined);
      const missing = await failure(parts.mode.attach(ENDPOINT, { ...NETWORK, bridge: 'br9' }));
      expect(missing).to.be.instanceOf(NotFound);
      const tooBig = await failure(parts.mode.attach(ENDPOINT, { ...NETWORK, mtuBytes: 9000 }));
      expect(tooBig).to.be.instanceOf(InvalidRequest);
    });

    it('gets its link within the time of a start', async () => {
      const times: number[] = [];
      for (let i = 0; i < 20; i++) {
        const endpointId = i.toString(16).padStart(12, '0').padEnd(64, 'd');
        const macAddress = `02:4c:0a:09:01:${i.toString(16).padStart(2, '0')}`;
        const started = performance.now();
        await parts.mode.attach(
          { ...ENDPOINT, endpointId, macAddress, linkName: linkNameOf(endpointId) },
          NETWORK,
        );
        times.push(performance.now() - started);
      }
      times.sort((a, b) => a - b);
      console.log(
        `      veth pair on a bridge: median ${times[10]?.toFixed(2)} ms, slowest ${times[19]?.toFixed(2)} ms`,
      );
    });
  });
});
