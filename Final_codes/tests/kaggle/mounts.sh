#!/bin/sh
# Lay out folders as Kaggle mounts them, then run a command: mounts.sh VENV WORKING SOURCE=TARGET ... -- COMMAND ...
# Run it under `unshare --mount` (and `--net`, for internet off): the mounts are seen by the command alone. Everything
# below /kaggle is read-only but /kaggle/working, and so is VENV, whose packages the image links to.
set -eu
venv=$1 working=$2
shift 2
read_only() {
  mount --bind "$1" "$2"
  mount -o remount,bind,ro "$2"
}
read_only "$venv" "$venv"
mount -t tmpfs kaggle /kaggle
mkdir -p /kaggle/input /kaggle/working
mount --bind "$working" /kaggle/working
while [ "$1" != -- ]; do
  mkdir -p "${1##*=}"
  read_only "${1%%=*}" "${1##*=}"
  shift
done
shift
mount -o remount,ro /kaggle
ip link set lo up 2>/dev/null || true # without a network of its own nothing needs to be done
cd /kaggle/working
exec "$@"
