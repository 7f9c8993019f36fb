#!/bin/bash
# build-bpf.sh [--print]   net/bpf/responder.bpf.c -> net/bpf/responder-program.ts, the bytes that the daemon loads
#   --print   to stdout instead of the file
#
# Needs clang 14 (other versions may choose other instructions; test/netns/responder-build.test.ts compares) and the
# kernel's headers. No debug information, no relocations: the section "tc" of the object is the program.
set -eu -o pipefail
self=$(readlink -f "$0")
cd "$(dirname "$self")/.."
export LC_ALL=C
wanted=14
clang=''
for name in "clang-$wanted" clang; do
  [ "$("$name" -dumpversion 2>/dev/null | cut -d. -f1)" = "$wanted" ] && clang=$name && break
done
[ -n "$clang" ] || { echo "build-bpf: clang $wanted is not installed (Debian: clang-$wanted)" >&2 && exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$clang" -target bpfel -mcpu=v1 -O2 -g0 -std=gnu11 -Wall -Wextra -Werror -ffreestanding \
  -isystem "/usr/include/$(uname -m)-linux-gnu" -c net/bpf/responder.bpf.c -o "$work/responder.o"
node scripts/bpf-bytes.cjs "$work/responder.o" tc >"$work/responder-program.ts"
if [ "${1:-}" = --print ]; then
  cat "$work/responder-program.ts"
else
  cp "$work/responder-program.ts" net/bpf/responder-program.ts
fi
