#!/bin/bash
# test.sh [--layer NAME]... [--grep TEXT] [--no-setup]   every test there is, as CI runs it: installs what they need, builds, checks
# the style, then runs the layers unit, contract, integration, netns, race, e2e, outage, uml and quickstart. A layer's failure
# stops no other one. The outage takes ten minutes and hardly any work, and user-mode Linux is slow, so these two run beside
# the others, each in a lab of its own (but user-mode Linux not beside e2e); with four cores e2e runs in two halves beside each
# other.
#
#   --layer NAME   only this layer (may be repeated)
#   --grep TEXT    only tests whose title contains TEXT
#   --no-setup     install nothing, and leave node_modules and the lab as they are
#
# Nothing is skipped in silence: a missing capability is a failure. Ends with every failure and its reason, and the line
# `N passed, N failed, N skipped`; exit status 0 only if all passed. Needs root.
set -u -o pipefail
self=$(readlink -f "$0")
cd "$(dirname "$self")/.." || exit 1
export PATH=$PWD/.toolchain/bin:$PATH:/usr/sbin:/sbin
export REQUIRE=${REQUIRE:-all}
export RACE_SEEDS=${RACE_SEEDS:-4} # each takes up to a minute beside the rest; npm run test:race alone runs 20
[ -t 1 ] || export NO_COLOR=1 FORCE_COLOR=0

layers=() grep='' setup=yes
while [ $# -gt 0 ]; do
  case $1 in
    --layer) layers+=("${2:?"--layer needs a name"}") && shift ;;
    --grep) grep=${2:?"--grep needs a text"} && shift ;;
    --no-setup) setup='' ;;
    *) sed -n '2,14s/^# \{0,1\}//p' "$self" >&2 && exit 2 ;;
  esac
  shift
done
[ ${#layers[@]} -gt 0 ] || layers=(unit contract netns outage uml integration race e2e quickstart)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LANIUS_TALLY=$work/tally

# note failed|passed TITLE [REASON]: one more test than mocha knows of
note() {
  KIND=$1 TITLE=$2 REASON=${3:-} node -e '
    const { KIND, TITLE: title, REASON: reason, LANIUS_TALLY } = process.env;
    const failed = KIND === "failed" ? [{ title, reason }] : [];
    const counts = { passes: 1 - failed.length, failures: failed.length, pending: 0, failed, skipped: [] };
    require("node:fs").appendFileSync(LANIUS_TALLY, `${JSON.stringify(counts)}\n`);'
}

# step TITLE COMMAND...: something that is no test but must work; only its failure is counted
step() {
  local title=$1
  shift
  echo "== $title"
  "$@" </dev/null 2>&1 | tee "$work/step" && return 0
  note failed "$title" "$(grep -v '^[[:space:]]*$' "$work/step" | tail -n 5)"
  return 1
}

finish() {
  node scripts/tally.cjs "$LANIUS_TALLY"
  exit
}

# run_layer NAME [NPM-SCRIPT]: its mocha run; whatever keeps mocha from reporting is a failure of its own
run_layer() {
  local before after status said=$work/layer-$1 words=(--reporter test/support/tally-reporter.cjs)
  local script=${2:-test:$1}
  [ -z "$grep" ] || words+=(--fgrep "$grep")
  before=$(wc -l <"$LANIUS_TALLY")
  timeout --kill-after=30 "$(limit "$1")" npm run --silent "$script" -- "${words[@]}" </dev/null 2>&1 | tee "$said"
  status=$?
  after=$(wc -l <"$LANIUS_TALLY")
  if [ "$status" = 124 ] || [ "$status" = 137 ]; then
    if [ "$before" = "$after" ]; then
      note failed "layer $1" "it took longer than $(limit "$1") s"
    else
      note failed "layer $1" "its tests ended, but a socket, timer or process that one of them left open kept it alive for $(limit "$1") s"
    fi
    return
  fi
  [ "$before" = "$after" ] || return 0
  note failed "layer $1" "status $status: $(grep -v '^[[:space:]]*$' "$said" | tail -n 5)"
}

# begin_beside LAYER PREFIX [NPM-SCRIPT]: runs the layer beside the others; what it says and counts is kept for end_beside
begin_beside() {
  LANIUS_TALLY=$work/tally-$1
  : >"$LANIUS_TALLY"
  export LANIUS_LAB_PREFIX=$2
  run_layer "$1" "${3:-}" >"$work/said-$1"
}

# end_beside LAYER: waits for it, then says and counts what was kept
end_beside() {
  wait "${beside[$1]}"
  unset "beside[$1]"
  echo "== $1"
  cat "$work/said-$1"
  cat "$work/tally-$1" >>"$LANIUS_TALLY"
}

# limit LAYER: seconds that it may take
limit() {
  case $1 in
    unit) echo 120 ;;
    contract) echo 240 ;;
    netns) echo 600 ;;
    integration) echo 300 ;;
    race) echo 900 ;;
    outage) echo 1200 ;;
    uml) echo 1500 ;;
    e2e | e2e-2) echo 2700 ;;
    *) echo 300 ;;
  esac
}

run_quickstart() {
  local said='it printed no JSON line'
  if timeout --kill-after=30 300 scripts/quickstart.sh --json </dev/null 2>&1 | tee "$work/quickstart"; then
    said=$(tail -n 1 "$work/quickstart" | node -e '
      let text = "";
      process.stdin.on("data", (chunk) => (text += chunk)).on("end", () => {
        const { containers } = JSON.parse(text);
        const addresses = new Set(containers.flatMap(({ ip, mac }) => (ip && mac ? [ip] : [])));
        if (containers.some(({ limits }) => limits !== "in 100mbit, out 50mbit")) throw new Error(`not all have their limits: ${text}`);
        if (containers.length !== 2 || addresses.size !== 2) throw new Error(`no two containers with addresses: ${text}`);
      });' 2>&1 >/dev/null | grep -m 1 Error)
  else
    said=$(grep -v '^[[:space:]]*$' "$work/quickstart" | tail -n 3)
  fi
  if ! timeout --kill-after=30 120 scripts/quickstart.sh --down </dev/null 2>&1 | tee "$work/quickstart-down" || [ -e /var/lib/lanius-quickstart ]; then
    said+=" --down: $(tail -n 1 "$work/quickstart-down")"
  fi
  if [ -z "$said" ]; then note passed quickstart; else note failed quickstart "$said"; fi
}

if [ -n "$setup" ]; then
  # without Node nothing can be counted either
  if ! scripts/install-deps.sh --test </dev/null 2>&1 | tee "$work/install"; then
    printf '\nFailed:\n  install-deps\n      %s\n\n0 passed, 1 failed, 0 skipped\n' "$(tail -n 1 "$work/install")"
    exit 1
  fi
fi
: >"$LANIUS_TALLY"
if [ -n "$setup" ]; then
  case " ${layers[*]} " in *\ e2e\ * | *\ outage\ * | *\ uml\ *) step lab-setup test/lab/bin/lab-setup ;; esac
fi
rm -rf dist # tests whose source is gone must not run
# a type error does not keep the compiler from writing what it understood
step build npm run --silent build || [ -d dist/test ] || finish
step lint npm run --silent lint
declare -A beside=()
for layer in "${layers[@]}"; do
  case $layer in
    outage | uml)
      begin_beside "$layer" "ln${layer:0:1}-" &
      beside[$layer]=$!
      ;;
    e2e)
      # three engines and the guests would be too much for two cores; two labs of three engines, too
      [ -z "${beside[uml]:-}" ] || end_beside uml
      echo '== e2e'
      if [ "$(nproc)" -ge 4 ]; then
        LANIUS_HALF=2 begin_beside e2e-2 lne- test:e2e &
        beside[e2e-2]=$!
        LANIUS_HALF=1 run_layer e2e
      else
        run_layer e2e
      fi
      ;;
    quickstart) echo '== quickstart' && run_quickstart ;;
    *) echo "== $layer" && run_layer "$layer" ;;
  esac
done
for layer in "${!beside[@]}"; do end_beside "$layer"; done
finish
