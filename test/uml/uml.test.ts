import { mkdtempSync, rmSync } from 'node:fs';
import { expect } from 'chai';
import { labFile, need } from '../support/require.ts';
import { builtRpms, distributionRpm } from '../support/rpm.ts';
import { makeUmlDisk, runInUml, runMochaInUml, succeeded, type UmlResult } from '../support/uml.ts';

describe('uml', function () {
  this.timeout(1_300_000);
  let vlan: Promise<UmlResult>;
  let systemd: Promise<UmlResult>;
  let ipvlan: Promise<UmlResult>;
  let responder: Promise<UmlResult>;
  let rpm: Promise<readonly UmlResult[]>;
  let shaping: Promise<UmlResult>;
  let policer: Promise<UmlResult>;

  before(function () {
    need(this, 'root', 'lab', 'uml', 'rpm');
    // Two rows of guests beside each other, each with one CPU: more at once would be too many for two cores.
    systemd = runMochaInUml('test/uml/systemd.js', { mode: 'systemd', timeoutMs: 600_000 });
    rpm = following(systemd, bootTwice);
    vlan = runMochaInUml('test/uml/vlan.js', { timeoutMs: 600_000 });
    ipvlan = following(vlan, () => runMochaInUml('test/uml/ipvlan.js', { timeoutMs: 400_000 }));
    responder = following(ipvlan, () =>
      runMochaInUml('test/netns/responder-life.test.js', { timeoutMs: 400_000 }),
    );
    shaping = following(responder, () => runMochaInUml('test/netns/shaping.test.js', { timeoutMs: 400_000 }));
    policer = following(shaping, () => runMochaInUml('test/uml/policer.js', { timeoutMs: 280_000 }));
    // Told by the test that waits for it.
    for (const running of all()) running.catch(() => {});
  });
  after(() => Promise.allSettled(all()));

  const all = (): Promise<unknown>[] => [vlan, systemd, rpm, ipvlan, responder, shaping, policer];

  it('carries the VLANs of Lanius over a trunk between two machines', () => passed(vlan));

  it('gives containers ipvlan links, on a kernel that has them', () => passed(ipvlan));

  it('answers ARP on a kernel that is late with memory for the maps', () => passed(responder));

  it('shapes and mends on a kernel that loads what it needs as modules', () => passed(shaping));

  it('falls back to a policer', () => passed(policer));

  it('runs Lanius as a hardened unit of systemd, beside docker.service', () => passed(systemd));

  it('lives on a host as an RPM: installed, upgraded, downgraded, booted, erased, purged', async () => {
    for (const boot of await rpm) await passed(Promise.resolve(boot));
  });

  it('runs a script on a kernel with 802.1Q, returns its status and output, shows the checkout read-only', async () => {
    const script = `ip link add eth9 type dummy; ip link add link eth9 eth9.5 type vlan id 5 && echo "$WORD"
      touch package.json 2>&1; test -e /etc/made || echo clean; touch /etc/made; exit 7`;
    const { status, output } = await runInUml(script, { env: { WORD: "it's made" } });
    expect(status).to.equal(7);
    expect(output).to.match(/^it's made\n.*Read-only file system\nclean\n$/);
    expect(await succeeded(runInUml('test -e /etc/made || echo clean'))).to.equal('clean\n');
  });
});

/** The packages in a guest whose disk the second boot finds. The second boot needs what the first has made. */
async function bootTwice(): Promise<UmlResult[]> {
  const first = await builtRpms({ release: '1', bundled: true });
  const second = await builtRpms({ release: '2', bundled: false });
  const env = {
    RPM_DISTRIBUTION: await distributionRpm([first.lanius, first.bundled]),
    RPM_FIRST: first.lanius,
    RPM_SECOND: second.lanius,
    RPM_BUNDLED: first.bundled,
  };
  const folder = mkdtempSync(labFile('uml/disk-'));
  const disk = `${folder}/disk.ext4`;
  try {
    await makeUmlDisk(disk);
    const boots: UmlResult[] = [];
    for (const file of ['test/uml/rpm.js', 'test/uml/rpm-reboot.js']) {
      const boot = await runMochaInUml(file, { mode: 'systemd', timeoutMs: 600_000, disk, env });
      boots.push(boot);
      if (boot.status !== 0) break;
    }
    return boots;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Tells the tests of the guest one by one. */
async function passed(running: Promise<UmlResult>): Promise<void> {
  const output = await succeeded(running);
  expect(output)
    .to.match(/ passing/)
    .and.not.match(/ (failing|pending)/);
  const lines = output
    .split('\n')
    .filter((line) => /^ +✔|^ +exposure|^ +restart:|^ +the engine|^ +(up|down)grade:|^ +erased:/.test(line));
  console.log(lines.map((line) => `    ${line}`).join('\n'));
}

/** Begins when the other has ended, however it did. */
function following<T>(other: Promise<unknown>, begin: () => Promise<T>): Promise<T> {
  return other.then(begin, begin);
}
