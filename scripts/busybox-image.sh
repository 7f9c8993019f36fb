#!/bin/bash
# busybox-image.sh [BUSYBOX]   write a root file system made of a static busybox alone, as tar, to stdout (for `docker import`).
set -eu
busybox=${1:-$(command -v busybox)}
[ -x "$busybox" ] || { echo "busybox-image.sh: no static busybox; install busybox-static" >&2; exit 1; }
if ldd "$busybox" >/dev/null 2>&1; then
  echo "busybox-image.sh: $busybox is linked dynamically; install busybox-static" >&2
  exit 1
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder"/{bin,etc,tmp,proc,sys,dev}
cp "$busybox" "$folder/bin/busybox"
for applet in $("$busybox" --list); do [ "$applet" = busybox ] || ln -s busybox "$folder/bin/$applet"; done
printf 'root:x:0:0:root:/:/bin/sh\n' >"$folder/etc/passwd"
tar -C "$folder" -cf - .
