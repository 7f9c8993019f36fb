/**
 * The RPM packages of this checkout, built by scripts/build-rpm.sh; each variant once a run of mocha. They lie in the lab's
 * folder, which user-mode Linux sees. A package `distribution` stands for the distribution that the test's system is not:
 * it provides what the packages require, so that `rpm -i` can be said without `--nodeps`.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { checkoutFolder } from './checkout.ts';
import { labFile } from './require.ts';
import { runOk } from './run.ts';

export interface BuildOptions {
  readonly release: string;
  readonly bundled: boolean;
  /** Two builds that must not be taken for each other. */
  readonly attempt?: number;
}

export interface BuiltRpms {
  readonly folder: string;
  readonly lanius: string;
  /** '' if it was not built. */
  readonly bundled: string;
}

const LIMIT_MS = 240_000;
const built = new Map<string, Promise<BuiltRpms>>();
let home: string | undefined;

/** @throws what the script says if it fails */
export function builtRpms(options: BuildOptions): Promise<BuiltRpms> {
  const key = JSON.stringify(options);
  const known = built.get(key);
  if (known !== undefined) return known;
  const building = build(options);
  built.set(key, building);
  return building;
}

async function build({ release, bundled }: BuildOptions): Promise<BuiltRpms> {
  const out = mkdtempSync(`${rpmHome()}/built-`);
  const words = ['--out', out, '--release', release, ...(bundled ? [] : ['--without-bundled'])];
  const said = await runOk([`${checkoutFolder}/scripts/build-rpm.sh`, ...words], { timeoutMs: LIMIT_MS });
  const lines = said.trim().split('\n');
  return { folder: out, lanius: lines.at(-1) ?? '', bundled: bundled ? (lines.at(-2) ?? '') : '' };
}

/** @param rpms packages whose requirements it provides @returns the path of the package */
export async function distributionRpm(rpms: readonly string[]): Promise<string> {
  const work = mkdtempSync(`${rpmHome()}/distribution-`);
  const required = await runOk(['rpm', '-qp', '--requires', ...rpms]);
  const provided = [...new Set(required.split('\n').map((line) => line.trim()))]
    .filter((line) => line !== '' && !/^(rpmlib|config)\(/.test(line))
    .map((line) => `Provides: ${line.replace('>=', '=')}\n`);
  writeFileSync(
    `${work}/distribution.spec`,
    `Name: distribution\nVersion: 1\nRelease: 1\nSummary: what a distribution has\nLicense: none\n${provided.join('')}AutoReqProv: no\n%description\nx\n%files\n`,
  );
  const where = ['--define', `_topdir ${work}`, '--define', `_rpmdir ${work}`];
  await runOk(['rpmbuild', '-bb', '--quiet', '--target', 'x86_64', ...where, `${work}/distribution.spec`]);
  return `${work}/x86_64/distribution-1-1.x86_64.rpm`;
}

/** Takes away what was built. */
function removeRpms(): void {
  if (home !== undefined) rmSync(home, { recursive: true, force: true });
  home = undefined;
  built.clear();
}

function rpmHome(): string {
  if (home === undefined) {
    mkdirSync(labFile('uml'), { recursive: true });
    home = mkdtempSync(labFile('uml/rpm-'));
    // several files of one run of mocha use them
    process.once('exit', removeRpms);
  }
  return home;
}
