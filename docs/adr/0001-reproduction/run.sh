#!/bin/sh
# Installs both npm netlink packages into a temporary folder and shows their defects in fresh network namespaces.
# Needs: node, npm, a C++ compiler (node-netlink compiles at installation), unshare, ip. Root or user namespaces.
# Exit status: 0 = both defects reproduced, 1 = at least one is not there (read the ADR again), 2 = could not be tried.
set -u
ulimit -c 0

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
cp "$here"/package.json "$here"/*.mjs "$work"/ || exit 2
cd "$work" || exit 2

if ! npm install --no-audit --no-fund --no-package-lock >install.log 2>&1; then
  cat install.log >&2
  echo 'npm install failed' >&2
  exit 2
fi
if ! unshare -rn true; then
  echo 'no network namespace can be made (unshare -rn)' >&2
  exit 2
fi

reproduced=0

echo "== node-netlink 0.0.4 on Node $(node --version): 20 concurrent requests on one socket"
timeout 60 unshare -rn node node-netlink.mjs
[ $? -eq 0 ] && reproduced=$((reproduced + 1))

echo "== netlink 0.3.0 on Node $(node --version): event socket overflows (ENOBUFS) while the loop is busy"
timeout 60 unshare -rn node netlink.mjs 2>&1 | sed 's/^/   /' >netlink.log
cat netlink.log
if grep -q 'exit: SIGABRT' netlink.log; then reproduced=$((reproduced + 1)); fi

echo "== $reproduced of 2 defects reproduced"
[ "$reproduced" -eq 2 ]
