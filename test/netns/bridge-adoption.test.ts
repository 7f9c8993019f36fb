/** Adoption of a host's addresses by a bridge, against the real kernel, with a process that is killed at every step. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { need } from '../support/require.ts';
import { ADOPTING, BridgeHost, BridgeParts } from './bridge-host.ts';
import { failure } from './kernel-links.ts';

/** A packet that comes in the very moment of the change may be lost. */
const ADOPT_GAP_MS = 10;
const TARGETS = ['10.9.0.5', '10.9.0.6', '10.8.0.5', 'fd09::5'] as const;
/** The kernel takes no frames of a port while it takes it off a bridge, for a grace period or two of its own. */
const RELEASE_GAP_MS = 150;

const ADOPT_POINTS = ['bridge.after-add', 'adopt.after-record', 'adopt.after-move', 'adopt.after-delete'];
const RESTORE_POINTS = [
  'restore.before-move',
  'restore.after-move',
  'restore.after-delete',
  'bridge.after-delete',
];

describe('links/address-adoption', function () {
  this.timeout(60_000);
  let host: BridgeHost;
  let stateDir: string;
  let original: ReturnType<BridgeHost['addressing']>;
  /** Ends the pings. */
  let gaps: () => Promise<number[]>;

  before(function () {
    need(this, 'root', 'netns');
  });

  beforeEach(async () => {
    host = new BridgeHost();
    host.configure();
    stateDir = mkdtempSync(join(tmpdir(), 'lanius-bridge-'));
    original = host.addressing();
    gaps = await host.pinging(TARGETS);
  });

  afterEach(async () => {
    await gaps().catch(() => []);
    host.remove();
    rmSync(stateDir, { recursive: true, force: true });
  });

  function onBridge(shown: typeof original): typeof original {
    const moved = (line: string): string =>
      line.replace(/^up0 /, 'br-up0 ').replaceAll(/"label":"up0(:1)?"/g, '"label":"br-up0"');
    return {
      addresses: shown.addresses.map(moved),
      routes: shown.routes.map((line) => line.replace('dev up0', 'dev br-up0')).toSorted(),
    };
  }

  async function settled(parts: BridgeParts): Promise<void> {
    await parts.uplink.settle([]);
    expect(host.addressing()).to.deep.equal(original);
    expect(host.namespace.links().map(({ ifname }) => ifname)).to.have.members(['lo', 'up0']);
    expect(parts.notes).to.equal(0);
  }

  it('moves addresses and routes to the bridge without a gap, and back exactly', async () => {
    const parts = await new BridgeParts(host.namespace.path, stateDir).load();
    try {
      await parts.uplink.prepare(ADOPTING);
      expect(host.addressing()).to.deep.equal(onBridge(original));
      await delay(500);
      expect(Math.max(...(await gaps()))).to.be.at.most(ADOPT_GAP_MS);
      await parts.uplink.prepare(ADOPTING);
      expect(host.addressing()).to.deep.equal(onBridge(original));
      gaps = await host.pinging(TARGETS);
      await settled(parts);
      await delay(300);
      const lost = await gaps();
      console.log(`      taken off the bridge: longest gaps ${lost.join(', ')} ms`);
      for (const gap of lost) expect(gap).to.be.at.most(RELEASE_GAP_MS);
    } finally {
      await parts.close();
    }
  });

  it('moves hundreds of routes, and gives them back', async () => {
    for (let i = 0; i < 300; i += 1)
      host.namespace.ip('route', 'add', `10.99.${i >> 8}.${i & 255}/32`, 'dev', 'up0');
    original = host.addressing();
    const parts = await new BridgeParts(host.namespace.path, stateDir).load();
    try {
      await parts.uplink.prepare(ADOPTING);
      expect(host.addressing()).to.deep.equal(onBridge(original));
      await settled(parts);
    } finally {
      await parts.close();
    }
  });

  it('keeps a bridge of ours that carries an address which nobody noted', async () => {
    const parts = await new BridgeParts(host.namespace.path, stateDir).load();
    await parts.uplink.prepare(ADOPTING);
    await parts.close();
    const forgetful = await new BridgeParts(host.namespace.path, join(stateDir, 'lost')).load();
    try {
      const failure = await forgetful.uplink.settle([]).catch((error: Error) => error.message);
      expect(failure).to.match(/^bridge br-up0 is kept, because it carries the host's address/);
      expect(host.addressing()).to.deep.equal(onBridge(original));
    } finally {
      await forgetful.close();
    }
  });

  for (const point of ADOPT_POINTS) {
    it(`killed at ${point}: the host answers, and the next start restores it`, async () => {
      expect(await host.act('prepare', stateDir, point)).to.equal(`failpoint ${point}: killed\n`);
      await delay(500);
      expect(Math.max(...(await gaps()))).to.be.at.most(ADOPT_GAP_MS);
      const parts = await new BridgeParts(host.namespace.path, stateDir).load();
      try {
        await settled(parts);
      } finally {
        await parts.close();
      }
    });

    it(`killed at ${point}: the network made again completes it`, async () => {
      await host.act('prepare', stateDir, point);
      expect(await host.act('prepare', stateDir)).to.equal('');
      expect(host.addressing()).to.deep.equal(onBridge(original));
      await delay(300);
      expect(Math.max(...(await gaps()))).to.be.at.most(ADOPT_GAP_MS);
      const parts = await new BridgeParts(host.namespace.path, stateDir).load();
      try {
        await settled(parts);
      } finally {
        await parts.close();
      }
    });
  }

  for (const point of RESTORE_POINTS) {
    it(`killed at ${point}: the host answers, and the next start completes it`, async () => {
      expect(await host.act('prepare', stateDir)).to.equal('');
      expect(await host.act('settle', stateDir, point)).to.equal(`failpoint ${point}: killed\n`);
      await delay(500);
      for (const gap of await gaps()) expect(gap).to.be.at.most(RELEASE_GAP_MS);
      const parts = await new BridgeParts(host.namespace.path, stateDir).load();
      try {
        await settled(parts);
      } finally {
        await parts.close();
      }
    });
  }

  it('a move that the kernel refuses is taken back, and the host answers', async () => {
    host.namespace.ip('link', 'add', 'mv0', 'link', 'up0', 'type', 'macvlan', 'mode', 'bridge');
    const parts = await new BridgeParts(host.namespace.path, stateDir).load();
    try {
      const error = await failure(parts.uplink.prepare(ADOPTING));
      expect(error.message).to.include('networks of mode macvlan or ipvlan use it');
      expect(host.addressing()).to.deep.equal(original);
      expect(host.namespace.link('br-up0')).to.equal(undefined);
      expect(parts.notes).to.equal(0);
      await delay(300);
      expect(Math.max(...(await gaps()))).to.be.at.most(ADOPT_GAP_MS);
    } finally {
      await parts.close();
    }
  });

  it('an address that was leased for a time is not taken from its client', async () => {
    host.namespace.ip('addr', 'add', '10.9.0.9/24', 'dev', 'up0', 'valid_lft', '600', 'preferred_lft', '600');
    const parts = await new BridgeParts(host.namespace.path, stateDir).load();
    try {
      const error = await failure(parts.uplink.prepare(ADOPTING));
      expect(error.message).to.match(
        /^option adopt_address: address 10.9.0.9 of link up0 was leased for a time/,
      );
      expect(host.namespace.link('br-up0')).to.equal(undefined);
    } finally {
      await parts.close();
    }
  });

  it('a note of an earlier boot is worth nothing', async () => {
    const first = await new BridgeParts(host.namespace.path, stateDir).load();
    await first.uplink.prepare(ADOPTING);
    await first.close();
    // What a boot does: no bridge, and the addresses of the configuration, which has another one now.
    host.namespace.ip('link', 'del', 'br-up0');
    host.namespace.ip('addr', 'add', '10.9.0.77/24', 'dev', 'up0');
    const second = await new BridgeParts(host.namespace.path, stateDir, 'boot-2').load();
    try {
      await second.uplink.prepare(ADOPTING);
      expect(host.addressing().addresses.join('\n')).to.match(/^br-up0 .*"10.9.0.77"[^\n]*$/);
      await second.uplink.settle([]);
      expect(host.addressing().addresses.join('\n')).to.match(/^up0 .*"10.9.0.77"[^\n]*$/);
    } finally {
      await second.close();
    }
  });

  it('what a deleted bridge took with it is on the next one', async () => {
    const parts = await new BridgeParts(host.namespace.path, stateDir).load();
    try {
      await parts.uplink.prepare(ADOPTING);
      const moved = host.addressing();
      host.namespace.ip('link', 'del', 'br-up0');
      await parts.uplink.prepare(ADOPTING);
      expect(host.addressing()).to.deep.equal(moved);
      await settled(parts);
    } finally {
      await parts.close();
    }
  });
});
