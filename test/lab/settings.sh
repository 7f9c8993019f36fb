# shellcheck shell=bash
# Settings and functions that every script of the lab sources. Sets no traps, starts nothing.
#
#   LANIUS_LAB         folder with what lab-setup builds (roots, image, UML kernel)   default /var/tmp/lanius-lab
#   LANIUS_LAB_DISKS   folder of the machines' disks and of etcd's data               default $LANIUS_LAB
#   LANIUS_LAB_PREFIX  beginning of every netns, cgroup and machine folder            default lnl-
#
# Two labs run side by side if their prefixes differ; they share what lab-setup built.
LANIUS_LAB=${LANIUS_LAB:-/var/tmp/lanius-lab}
LANIUS_LAB_DISKS=${LANIUS_LAB_DISKS:-$LANIUS_LAB}
LANIUS_LAB_PREFIX=${LANIUS_LAB_PREFIX:-lnl-}
LAB_SOURCES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LANIUS_CHECKOUT=${LANIUS_CHECKOUT:-$(cd "$LAB_SOURCES/../.." && pwd)}
export LANIUS_LAB LANIUS_LAB_DISKS LANIUS_LAB_PREFIX LANIUS_CHECKOUT LAB_SOURCES

. "$LAB_SOURCES/../../scripts/process.sh"

SWITCH=${LANIUS_LAB_PREFIX}switch
OUTSIDE=${LANIUS_LAB_PREFIX}ext
ETCD_HOME=$LANIUS_LAB_DISKS/etcd/$LANIUS_LAB_PREFIX
MACHINE_PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export SWITCH OUTSIDE ETCD_HOME MACHINE_PATH

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# machine_home NAME: the folder with a machine's disk, logs and pid
machine_home() { echo "$LANIUS_LAB_DISKS/hosts/$LANIUS_LAB_PREFIX$1"; }

# engine_root VERSION: the root file system whose distribution carries that engine; a folder is taken as it is
engine_root() {
  case $1 in
    20.10) if [ -e "$LANIUS_LAB/roots/guest/.done" ]; then echo "$LANIUS_LAB/roots/guest"; else echo /; fi ;;
    26.1) echo "$LANIUS_LAB/roots/trixie" ;;
    28.5) echo "$LANIUS_LAB/roots/sid" ;;
    /*) echo "$1" ;;
    *) die "engine $1 is unknown; there are 20.10, 26.1, 28.5 and folders" ;;
  esac
}

# tool NAME: a program of this system, or else the lab's own copy in the bookworm root
tool() {
  command -v "$1" 2>/dev/null && return
  [ -x "$LANIUS_LAB/roots/guest/usr/bin/$1" ] && echo "$LANIUS_LAB/roots/guest/usr/bin/$1"
}
