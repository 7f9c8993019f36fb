/** The RPM packages themselves, on this system: no daemon runs. The booted guest installs them in test/uml/rpm.ts. */
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { expect } from 'chai';
import { labFile, need } from '../support/require.ts';
import { type BuiltRpms, builtRpms, distributionRpm } from '../support/rpm.ts';
import { run, runOk } from '../support/run.ts';

describe('uml/package', function () {
  this.timeout(300_000);
  let rpms: BuiltRpms;
  let root: string;

  before(async function () {
    need(this, 'root', 'rpm', 'lab');
    mkdirSync(labFile('uml'), { recursive: true });
    root = mkdtempSync(labFile('uml/root-'));
    rpms = await builtRpms({ release: '1', bundled: true });
  });
  after(() => {
    if (root !== undefined) rmSync(root, { recursive: true, force: true });
  });

  it('is built twice with the same bytes', async () => {
    const again = await builtRpms({ release: '1', bundled: true, attempt: 2 });
    for (const [one, two] of [
      [rpms.lanius, again.lanius],
      [rpms.bundled, again.bundled],
    ] as const) {
      expect(two).not.to.equal(one);
      expect(hashOf(two), one).to.equal(hashOf(one));
      const installed = await runOk(['rpm', '-qp', '--qf', '%{size}', one]);
      const [name = ''] = one.split('/').slice(-1);
      console.log(
        `      ${name}: ${megabytes(statSync(one).size)}, installed ${megabytes(Number(installed))}`,
      );
    }
  });

  it('has no tests, sources, maps, build tools and benchmarks, and nothing of other platforms', async () => {
    for (const rpm of [rpms.lanius, rpms.bundled]) {
      const files = (await runOk(['rpm', '-qpl', rpm])).trim().split('\n');
      expect(files.length).to.be.greaterThan(500);
      const unwanted = files.filter(
        (file) =>
          /\.(ts|map|c|cc|cpp|h|gyp|exe|dll|dylib|sh|test\.js)$/.test(file) ||
          /^(?!\/usr\/share\/doc\/).*\/(tests?|__tests__|bench|benchmarks?|examples?|scripts|mocha|chai|typescript|@types|musl_x64)(\/|$)/.test(
            file,
          ),
      );
      expect(unwanted, rpm).to.deep.equal([]);
      expect(files.filter((file) => file.endsWith('.node'))).to.deep.equal([
        '/usr/lib/lanius/node_modules/@koromix/koffi-linux-x64/linux_x64/koffi.node',
      ]);
      for (const wanted of ['/usr/bin/lanius', '/etc/lanius/config.json', '/usr/share/man/man1/lanius.1.gz'])
        expect(files).to.include(wanted);
    }
  });

  it('says what it needs of the distribution', async () => {
    const { status, stderr } = await run(['rpm', '--root', root, '-i', '--test', rpms.lanius]);
    expect(status).to.be.greaterThan(0);
    expect(stderr)
      .to.contain('nodejs >= 20 is needed by lanius')
      .and.to.contain('iproute is needed by lanius');
    const bundled = await run(['rpm', '--root', root, '-i', '--test', rpms.bundled]);
    expect(bundled.stderr).to.contain('iproute is needed by').and.not.to.contain('nodejs');
    expect(await runOk(['rpm', '-qp', '--recommends', rpms.lanius])).to.equal('etcd\n');
  });

  it('is as packed once it is installed, and runs', async () => {
    const distribution = await distributionRpm([rpms.lanius, rpms.bundled]);
    await runOk(['rpm', '--root', root, '-i', distribution]);
    // the scratch root has no shell for the scriptlets; the guest runs them
    await runOk(['rpm', '--root', root, '-i', '--noscripts', rpms.lanius]);
    expect((await run(['rpm', '--root', root, '-V', 'lanius'])).stdout).to.equal('');
    const manifest = JSON.parse(readFileSync(`${root}/usr/lib/lanius/package.json`, 'utf8')) as {
      version: string;
    };
    const program = `${root}/usr/lib/lanius/bin/lanius`;
    expect(await runOk(['node', program, 'version'])).to.contain(`command: ${manifest.version}`);
    expect(
      await runOk(['node', program, 'config', 'check', '--config', `${root}/etc/lanius/config.json`]),
    ).to.equal('the configuration is right\n');
    expect(programsBelow(root).sort()).to.deep.equal([
      '/usr/lib/lanius/node_modules/@koromix/koffi-linux-x64/linux_x64/koffi.node',
    ]);
  });

  it('refuses to stand beside its other package', async () => {
    const { status, stderr } = await run(['rpm', '--root', root, '-i', '--test', rpms.bundled]);
    expect(status).to.be.greaterThan(0);
    expect(stderr).to.match(/lanius.* conflicts with/);
  });

  it('runs as lanius-bundled where no Node is installed', async () => {
    // a throw-away layer over a distribution without Node; what is mounted goes with the namespace
    const script = `set -e
      mount -t tmpfs none ${root}; mkdir ${root}/upper ${root}/work ${root}/merged
      mount -t overlay overlay -o lowerdir=${labFile('roots/trixie')},upperdir=${root}/upper,workdir=${root}/work ${root}/merged
      rpm --root ${root}/merged -i --nodeps ${rpms.bundled} >&2
      chroot ${root}/merged /bin/sh -c '! command -v node && lanius version && lanius config check'`;
    const said = await runOk(['unshare', '--mount', '--propagation', 'private', 'bash', '-c', script]);
    const [, command] = /^command: (.*)$/m.exec(said) ?? [];
    expect(command).to.match(/^\d+\.\d+\.\d+$/);
    expect(said).to.contain('the configuration is right');
  });
});

function hashOf(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** Files that are programs or libraries of any platform: ELF, Windows, macOS. */
function programsBelow(root: string, folder = '/usr'): string[] {
  return readdirSync(`${root}${folder}`).flatMap((name) => {
    const path = `${folder}/${name}`;
    const stat = lstatSync(`${root}${path}`);
    if (stat.isDirectory()) return programsBelow(root, path);
    if (!stat.isFile()) return [];
    const magic = readFileSync(`${root}${path}`).subarray(0, 4).toString('latin1');
    return /^(\x7fELF|MZ|\xcf\xfa\xed\xfe|\xca\xfe\xba\xbe)/.test(magic) ? [path] : [];
  });
}
