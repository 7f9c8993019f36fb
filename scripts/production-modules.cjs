// production-modules.cjs TARGET   copies from node_modules to TARGET what the program needs where it is installed:
// the packages of package-lock.json that are not for development, of them only what runs (no sources, types, maps, tests,
// documents or build tools), and of native parts only those for x86_64 with glibc. Licenses are kept.
// The versions must be those of the lock file; otherwise it fails and says so.
const { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } = require('node:fs');
const { extname, join } = require('node:path');

/** Native packages that are shipped, each for the one platform that this is built for. */
const NATIVE = new Set(['@koromix/koffi-linux-x64']);
/** Folders with other libraries' or platforms' binaries, tests, examples and tools. */
const LEFT_OUT = new Set([
  ...['test', 'tests', '__tests__', 'spec', 'example', 'examples', 'bench', 'benchmark', 'benchmarks'],
  ...['doc', 'docs', 'bin', 'cli', 'scripts', 'vendor', 'musl_x64', '.github'],
]);
const RUNS = new Set(['.js', '.cjs', '.mjs', '.json', '.node', '.proto']);
const BUILD_TOOLS = new Set([
  'cnoke.cjs',
  'install.js',
  'Gruntfile.js',
  'gulpfile.js',
  'tsconfig.json',
  'bower.json',
]);
const LICENSE = /^(licen[cs]e|notice|copying)/i;

const [target] = process.argv.slice(2);
if (target === undefined) {
  process.stderr.write('usage: node scripts/production-modules.cjs TARGET\n');
  process.exit(2);
}
const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'));
for (const [path, entry] of Object.entries(packages)) {
  if (path === '' || entry.dev === true || entry.devOptional === true) continue;
  const name = path.split('node_modules/').at(-1);
  if (name.startsWith('@types/') || (entry.optional === true && !NATIVE.has(name))) continue;
  takePackage(path, entry.version);
}

function takePackage(path, version) {
  const manifest = join(path, 'package.json');
  const found = existsSync(manifest) ? JSON.parse(readFileSync(manifest, 'utf8')).version : 'nothing';
  if (found !== version) {
    process.stderr.write(
      `production-modules: ${path} is ${found}, package-lock.json says ${version}: run npm ci\n`,
    );
    process.exit(1);
  }
  takeFolder(path, join(target, path.slice('node_modules/'.length)));
}

function takeFolder(from, to) {
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    if (entry.isDirectory()) {
      // packages below a package have entries of their own
      if (entry.name !== 'node_modules' && !LEFT_OUT.has(entry.name))
        takeFolder(source, join(to, entry.name));
    } else if (entry.isFile() && wanted(entry.name)) {
      mkdirSync(to, { recursive: true });
      cpSync(source, join(to, entry.name));
    }
  }
}

function wanted(name) {
  if (LICENSE.test(name)) return true;
  if (BUILD_TOOLS.has(name) || /\.(test|spec|config)\.[cm]?js$/.test(name)) return false;
  return RUNS.has(extname(name));
}
