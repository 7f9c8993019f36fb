#!/bin/bash
# quickstart.sh [--json] [--parent LINK] [--subnet CIDR] [--down] [--help]
# Shows Lanius on this one machine: installs what is missing, builds, starts the engine if none runs, starts the daemon
# with an etcd of its own, makes the network lanius-demo with two containers that have limits, and shows that they reach
# each other.
#
#   --parent LINK   the containers' parent link; default: a pair of links of its own (lnqs0, lnqs1) that leads nowhere,
#                   so nothing is sent to your network
#   --subnet CIDR   the containers' subnet; default 10.213.77.0/24; with --parent it must be named
#   --json          the last line is {"containers":[{"name","ip","mac","limits"}...],"console":null}
#   --down          take all of it away again, and end what was started here
#
# Idempotent. Everything it writes on the system is in /var/lib/lanius-quickstart; it changes no firewall rule and no
# bridge, and ends only processes that it started. Packages, node_modules and dist stay after --down.
set -eu
self=$(readlink -f "$0")
cd "$(dirname "$self")/.."
checkout=$PWD
export PATH=$checkout/.toolchain/bin:$PATH:/usr/sbin:/sbin
unset DOCKER_HOST DOCKER_CONTEXT
. "$(dirname "$self")/process.sh"

home=/var/lib/lanius-quickstart
docker_socket=/var/run/docker.sock
plugin_socket=/run/docker/plugins/lanius.sock
network=lanius-demo
image=lanius-demo:1
containers=(lanius-demo-1 lanius-demo-2)
# what the containers ask for: the same that a Marathon app would
limits=(-e net_in=100mbit -e net_out=50mbit)

say() { echo "quickstart: $*"; }
die() {
  echo "quickstart: $*" >&2
  exit 1
}
usage() { sed -n '2,14s/^# \{0,1\}//p' "$self"; }

# try WHAT COMMAND...: run it; if it fails, its last words are the reason
try() {
  local what=$1 said
  shift
  said=$("$@" 2>&1 </dev/null) || die "$what: $(grep -v '^[[:space:]]*$' <<<"$said" | tail -n 2 | tr '\n' ' ')"
}

# accepts SOCKET TIMEOUT_MS
accepts() { [ -S "$1" ] && node scripts/answers.cjs "$1" - "$2"; }
engine_answers() { [ -S "$docker_socket" ] && timeout 10 docker version >/dev/null 2>&1 </dev/null; }
has_systemd() { [ -d /run/systemd/system ]; }

# wait_for SECONDS PIDFILE COMMAND...: until COMMAND succeeds; fails if the process of PIDFILE ends
wait_for() {
  local tries=$(($1 * 10)) pid_file=$2
  shift 2
  until "$@"; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] && running "$pid_file" >/dev/null || return 1
    sleep 0.1
  done
}

start_engine() {
  engine_answers && return
  if has_systemd; then
    say "starting the engine (systemctl start docker)"
    try "systemctl start docker" systemctl start docker
    touch "$home/engine-by-systemd"
    engine_answers || die "docker.service runs, but $docker_socket does not answer; see journalctl -u docker"
    return
  fi
  say "starting an engine of its own"
  # a configuration of its own: the system's may name other sockets, and this one touches neither bridge nor firewall
  cat >"$home/daemon.json" <<JSON
{ "data-root": "$home/docker", "pidfile": "$home/docker.pid", "bridge": "none", "iptables": false, "ip6tables": false, "ip-forward": false }
JSON
  [ -e /run/docker ] || touch "$home/made-run-docker"
  setsid dockerd --config-file "$home/daemon.json" --host "unix://$docker_socket" </dev/null >"$home/engine.log" 2>&1 &
  remember $! "$home/engine.process"
  wait_for 60 "$home/engine.process" engine_answers || die "dockerd did not start: $(tail -n 2 "$home/engine.log" | tr '\n' ' ')"
}

start_daemon() {
  if running "$home/daemon.process" >/dev/null; then
    accepts "$plugin_socket" 10000 && return
    end_process "$home/daemon.process" 10
  elif accepts "$plugin_socket" 0; then
    die "a Lanius daemon that is not the quickstart's listens on $plugin_socket; stop it first (systemctl stop lanius)"
  fi
  say "starting the daemon with an etcd of its own"
  cat >"$home/config.json" <<JSON
{ "docker": { "socket": "$docker_socket", "pluginSocket": "$plugin_socket" }, "state": { "dir": "$home/state" } }
JSON
  mkdir -p "${plugin_socket%/*}" "$home/state"
  setsid node --enable-source-maps bin/lanius daemon --config "$home/config.json" </dev/null >"$home/daemon.log" 2>&1 &
  remember $! "$home/daemon.process"
  wait_for 30 "$home/daemon.process" accepts "$plugin_socket" 0 ||
    die "the daemon did not start: $(tail -n 2 "$home/daemon.log" | tr '\n' ' ')"
}

make_parent() {
  [ "$parent" = lnqs0 ] || { ip link show "$parent" >/dev/null 2>&1 || die "there is no link $parent; see ip link"; return; }
  if ! ip link show lnqs0 >/dev/null 2>&1; then
    say "making the links lnqs0 and lnqs1"
    try "ip link add lnqs0" ip link add lnqs0 type veth peer name lnqs1
  fi
  local link
  for link in lnqs0 lnqs1; do
    ip link set "$link" addrgenmode none 2>/dev/null || true # no address, hence no traffic, of the host on it
    try "ip link set $link up" ip link set "$link" up
  done
}

make_containers() {
  local name
  if ! docker image inspect "$image" >/dev/null 2>&1; then
    say "making the image $image"
    scripts/busybox-image.sh | docker import - "$image" >/dev/null || die "docker import $image failed; see above"
  fi
  if ! docker network inspect "$network" >/dev/null 2>&1; then
    say "making the network $network ($subnet on $parent)"
    try "docker network create $network" docker network create -d lanius --ipam-driver lanius --subnet "$subnet" -o "parent=$parent" "$network"
  fi
  for name in "${containers[@]}"; do
    [ "$(docker inspect -f '{{.State.Running}}' "$name" 2>/dev/null || true)" = true ] && continue
    docker rm -f "$name" >/dev/null 2>&1 || true
    say "starting $name"
    try "docker run $name" docker run -d --name "$name" --network "$network" "${limits[@]}" "$image" sleep 1000000
  done
}

# limits_of CONTAINER: what is in force for it, as `in RATE, out RATE`; waits until the daemon has told its lease
limits_of() {
  local try said=''
  for try in 1 2 3 4 5 6 7 8 9 10; do
    said=$(node bin/lanius limit ls -o json 2>/dev/null | node -e '
      let text = "";
      process.stdin.on("data", (chunk) => (text += chunk)).on("end", () => {
        const found = JSON.parse(text).limits.find(({ containerName }) => containerName === process.argv[1]);
        if (found?.in?.state === "in force" && found?.out?.state === "in force") console.log(`in ${found.in.rate}, out ${found.out.rate}`);
      });' "$1") && [ -n "$said" ] && break
    sleep 0.5
  done
  echo "${said:-none}"
}

# of CONTAINER FIELD: a field of its endpoint (IPAddress, MacAddress)
of() { docker inspect -f "{{(index .NetworkSettings.Networks \"$network\").$2}}" "$1"; }

show() {
  local from=${containers[0]} to=${containers[1]} name said line=''
  try "$from cannot reach $to" docker exec "$from" ping -c 3 -i 0.2 -W 2 "$(of "$to" IPAddress)"
  try "$to cannot reach $from" docker exec "$to" ping -c 3 -i 0.2 -W 2 "$(of "$from" IPAddress)"
  say "$from and $to reach each other"
  echo
  printf '%-16s %-16s %-18s %s\n' NAME IP MAC LIMITS
  for name in "${containers[@]}"; do
    said=$(limits_of "$name")
    printf '%-16s %-16s %-18s %s\n' "$name" "$(of "$name" IPAddress)" "$(of "$name" MacAddress)" "$said"
    line+="${line:+,}{\"name\":\"$name\",\"ip\":\"$(of "$name" IPAddress)\",\"mac\":\"$(of "$name" MacAddress)\",\"limits\":\"$said\"}"
  done
  echo
  echo "Console: none yet"
  echo "Remove:  $self --down"
  [ -z "$json" ] || echo "{\"containers\":[$line],\"console\":null}"
}

take_down_network() {
  engine_answers || return 0
  # the engine tells the daemon of every removal; without one it would wait for it
  if ! running "$home/daemon.process" >/dev/null && docker network inspect "$network" >/dev/null 2>&1; then
    if [ -e "$home/config.json" ]; then (start_daemon) || true; fi
  fi
  docker rm -f "${containers[@]}" >/dev/null 2>&1 || true
  if docker network inspect "$network" >/dev/null 2>&1; then
    try "docker network rm $network" docker network rm "$network"
  fi
}

# the daemon's etcd ends with it; should the daemon have been killed, it may have stayed
end_etcd() {
  local program
  for program in /proc/[0-9]*/cmdline; do
    cat "$program" 2>/dev/null | tr "\0" " " | grep -q "^[^ ]*etcd .*$home/state" || continue
    program=${program#/proc/}
    remember "${program%/cmdline}" "$home/etcd.process"
    end_process "$home/etcd.process" 10
  done
}

# unmount_below FOLDER
unmount_below() {
  awk -v folder="$1/" 'index($2, folder) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mounted; do umount -l "$mounted"; done
}

down() {
  [ -d "$home" ] || { say "nothing to take down"; return; }
  take_down_network
  engine_answers && docker image rm -f "$image" >/dev/null 2>&1 || true
  if running "$home/daemon.process" >/dev/null; then
    say "ending the daemon"
    end_process "$home/daemon.process" 15
  fi
  end_etcd
  if [ -e "$home/engine-by-systemd" ]; then
    say "stopping the engine (systemctl stop docker)"
    try "systemctl stop docker" systemctl stop docker.socket docker.service
  elif running "$home/engine.process" >/dev/null; then
    say "ending the engine"
    end_process "$home/engine.process" 30
    rm -f "$docker_socket"
    find /sys/fs/cgroup -depth -type d -path '*/docker*' -exec rmdir {} + 2>/dev/null || true
    if [ -e "$home/made-run-docker" ]; then
      unmount_below /run/docker
      rm -rf /run/docker
    fi
  fi
  ip link show lnqs0 >/dev/null 2>&1 && ip link del lnqs0
  unmount_below "$home"
  rm -rf "$home"
  say "all of it is gone"
}

json='' parent='' subnet='' action=up
while [ $# -gt 0 ]; do
  case $1 in
    --json) json=yes ;;
    --parent) parent=${2:?"--parent needs the name of a link"} && shift ;;
    --subnet) subnet=${2:?"--subnet needs a CIDR"} && shift ;;
    --down) action=down ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && die "unknown option $1" ;;
  esac
  shift
done
[ "$(id -u)" = 0 ] || die "needs root; run it with sudo"
[ "$action" = up ] || { down && exit 0; }
[ -z "$parent" ] || [ -n "$subnet" ] || die "--parent $parent: name the --subnet too, a part of it that nobody else uses"
parent=${parent:-lnqs0}
subnet=${subnet:-10.213.77.0/24}

scripts/install-deps.sh --run || die "installing failed; see the line above"
say "building"
try "npm run build" npm run --silent build
mkdir -p "$home"
chmod 700 "$home"
start_engine
start_daemon
if [ -e "$home/settings" ] && [ "$(cat "$home/settings")" != "$parent $subnet" ]; then
  say "taking down the network made with other settings"
  take_down_network
fi
echo "$parent $subnet" >"$home/settings"
make_parent
make_containers
show
