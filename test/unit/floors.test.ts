import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect } from 'chai';
import { checkoutFolder } from '../support/checkout.ts';

/** Higher floors import lower ones; folders on one floor never import each other. */
const FLOORS: Readonly<Record<string, number>> = {
  core: 1,
  store: 2,
  net: 2,
  engine: 2,
  ipam: 3,
  links: 3,
  throttle: 3,
  plugin: 4,
  daemon: 5,
  cli: 5,
  cni: 5,
  console: 5,
};
/** Floors within ipam/; files right under it are the ways in and the shapes that all share. */
const IPAM_FLOORS: Readonly<Record<string, number>> = {
  address: 1,
  mac: 1,
  commit: 2,
  lease: 3,
  pool: 4,
  warm: 4,
  reconcile: 5,
  host: 5,
  people: 5,
  upkeep: 5,
  migrate: 6,
};
/** Folders beside the floors, which no floor may import. */
const OUTSIDE = ['test', 'scripts', 'bench'];
/** Programs that talk with the daemon over its socket and share only shapes with it. */
const REMOTE = ['cli', 'cni', 'console'];
const REMOTE_MAY = [/^core\//, /^plugin\/wire\//];

type Imports = ReadonlyMap<string, readonly string[]>;

const SPECIFIER =
  /^\s*(?:import|export)\s[^'"`;]*?from\s*['"]([^'"]+)['"]|^\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm;

function importsOf(source: string): string[] {
  return [...source.matchAll(SPECIFIER)].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
}

function filesOf(folder: string): string[] {
  return readdirSync(join(checkoutFolder, folder), { recursive: true, encoding: 'utf8' })
    .map((file) => join(folder, file))
    .filter((file) => file.endsWith('.ts') && !file.includes('test/lab/roots'));
}

const folderOf = (file: string): string => file.split('/')[0] ?? '';

function readImports(folders: readonly string[]): Imports {
  const present = readdirSync(checkoutFolder);
  const files = folders.filter((folder) => present.includes(folder)).flatMap(filesOf);
  return new Map(
    files.map((file) => {
      const relative = importsOf(readFileSync(join(checkoutFolder, file), 'utf8'))
        .filter((specifier) => specifier.startsWith('.'))
        .map((specifier) => normalize(join(dirname(file), specifier)));
      return [file, relative] as const;
    }),
  );
}

/** @returns what is wrong with one import, in words */
function complaint(from: string, to: string): string | undefined {
  const [own, other] = [folderOf(from), folderOf(to)];
  if (OUTSIDE.includes(other)) return `${from} imports ${to}: a floor must not import ${other}/`;
  if (own === other) return own === 'ipam' ? complaintInside(from, to) : undefined;
  const [ownFloor, otherFloor] = [FLOORS[own], FLOORS[other]];
  if (ownFloor === undefined || otherFloor === undefined)
    return `${from} imports ${to}: ${other}/ has no floor`;
  if (otherFloor >= ownFloor) return `${from} imports ${to}: floor ${ownFloor} imports floor ${otherFloor}`;
  if (REMOTE.includes(own) && !REMOTE_MAY.some((allowed) => allowed.test(to))) {
    return `${from} imports ${to}: ${own}/ may import only core/ and plugin/wire/`;
  }
  return undefined;
}

/** The same for two files of ipam/. */
function complaintInside(from: string, to: string): string | undefined {
  const [own = '', other = ''] = [from, to].map((file) => file.split('/').slice(1, -1).join('/'));
  if (own === '' || other === '' || own === other) return undefined;
  const [ownFloor, otherFloor] = [IPAM_FLOORS[own], IPAM_FLOORS[other]];
  if (ownFloor === undefined || otherFloor === undefined)
    return `${from} imports ${to}: ${ownFloor === undefined ? own : other}/ has no floor in ipam/`;
  if (otherFloor < ownFloor) return undefined;
  return `${from} imports ${to}: floor ${ownFloor} of ipam/ imports floor ${otherFloor}`;
}

/** @returns one cycle as `a > b > a`, if there is one */
function findCycle(imports: Imports): string | undefined {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): string | undefined => {
    const start = path.indexOf(file);
    if (start >= 0) return [...path.slice(start), file].join(' > ');
    if (done.has(file)) return undefined;
    for (const next of imports.get(file) ?? []) {
      const cycle = visit(next, [...path, file]);
      if (cycle !== undefined) return cycle;
    }
    done.add(file);
    return undefined;
  };
  for (const file of imports.keys()) {
    const cycle = visit(file, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

describe('floors', () => {
  const floors = readImports(Object.keys(FLOORS));
  const all = readImports([...Object.keys(FLOORS), ...OUTSIDE]);

  it('reads the sources', () => {
    expect([...floors.keys()]).to.include('core/errors.ts');
    expect(floors.get('core/deadline.ts')).to.include('core/errors.ts');
  });

  it('finds every form of an import', () => {
    const source = [
      "import { a } from './a.ts';",
      "import type { b } from './b.ts';",
      "import {\n  c,\n  type d,\n} from './c.ts';",
      "export { e } from './e.ts';",
      "export * from './f.ts';",
      "import './g.ts';",
      `const h = await ${'import'}('./h.ts');`,
      "export const i = 'from ./no.ts';",
    ].join('\n');
    expect(importsOf(source)).to.deep.equal(['a', 'b', 'c', 'e', 'f', 'g', 'h'].map((x) => `./${x}.ts`));
  });

  it('complains about wrong imports and takes right ones', () => {
    expect(complaint('daemon/main.ts', 'plugin/server.ts')).to.equal(undefined);
    expect(complaint('cli/main.ts', 'plugin/wire/admin.ts')).to.equal(undefined);
    expect(complaint('ipam/pool/pools.ts', 'plugin/server.ts')).to.contain('floor 3 imports floor 4');
    expect(complaint('store/kv.ts', 'net/links.ts')).to.contain('floor 2 imports floor 2');
    expect(complaint('cli/main.ts', 'daemon/doctor.ts')).to.contain('floor 5 imports floor 5');
    expect(complaint('cli/main.ts', 'ipam/pool/pools.ts')).to.contain('only core/ and plugin/wire/');
    expect(complaint('ipam/pool/pools.ts', 'ipam/lease/lease-steps.ts')).to.equal(undefined);
    expect(complaint('ipam/lease/leases.ts', 'ipam/pool/pools.ts')).to.contain(
      'floor 3 of ipam/ imports floor 4',
    );
    expect(complaint('ipam/pool/pools.ts', 'ipam/new/x.ts')).to.contain('new/ has no floor in ipam/');
    expect(complaint('core/ip.ts', 'test/support/run.ts')).to.contain('must not import test/');
    expect(complaint('core/ip.ts', 'elsewhere/x.ts')).to.contain('no floor');
  });

  it('go strictly down', () => {
    const complaints = [...floors].flatMap(([from, targets]) =>
      targets.map((to) => complaint(from, to) ?? ''),
    );
    expect(complaints.filter((text) => text !== '')).to.deep.equal([]);
  });

  it('have no cycles, not even inside a folder', () => {
    expect(
      findCycle(
        new Map([
          ['a', ['b']],
          ['b', ['c']],
          ['c', ['b']],
        ]),
      ),
    ).to.equal('b > c > b');
    expect(findCycle(all)).to.equal(undefined);
  });

  it('import files that are there, by their source names', () => {
    const missing = [...all].flatMap(([from, targets]) =>
      targets.filter((to) => to.endsWith('.ts') && !all.has(to)).map((to) => `${from} imports ${to}`),
    );
    expect(missing).to.deep.equal([]);
  });
});
