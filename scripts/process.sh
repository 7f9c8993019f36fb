# shellcheck shell=bash
# Functions for scripts that start processes and later end exactly those. Sourced; starts nothing.
# A pid file holds the pid and the time its process began, so that a reused pid is never mistaken for ours.

# started PID: when the process began, in ticks since boot
started() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# remember PID FILE: note a process that we started
remember() { echo "$1 $(started "$1")" >"$2"; }

# running FILE: print the pid noted in FILE if that very process still lives
running() {
  local pid since
  [ -s "$1" ] || return 1
  read -r pid since <"$1" || return 1
  [ -n "$since" ] && [ "$(started "$pid")" = "$since" ] || return 1
  ! grep -qs '^State:[[:space:]]*Z' "/proc/$pid/status" && echo "$pid"
}

# end_process FILE SECONDS: SIGTERM, and after that time SIGKILL, to the process noted in FILE; wait until it is gone
end_process() {
  local pid
  if pid=$(running "$1"); then
    kill "$pid" 2>/dev/null
    for _ in $(seq $(($2 * 20))); do
      running "$1" >/dev/null || break
      sleep 0.05
    done
    if running "$1" >/dev/null; then
      kill -9 "$pid" 2>/dev/null
      while running "$1" >/dev/null; do sleep 0.05; done
    fi
  fi
  rm -f "$1"
}
