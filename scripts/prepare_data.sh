#!/usr/bin/env bash
# Brings a dataset to the data folder: downloads, checks and unpacks it, or generates it.
#
# usage: scripts/prepare_data.sh NAME [--data_path DIR] [--mirror URL | --offline] [--help]
#
#   NAME   a dataset of `zoo data list`: cifar10, fashion_mnist, clevr, synthetic_scenes, …
#   --help this text; with a NAME the flags of that dataset
#
# What `zoo data prepare` does, with the environment that scripts/setup.sh made. ZOO_PYTHON names another Python.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
# shellcheck source-path=SCRIPTDIR
. "$root/scripts/lib/messages.sh"

# find_environment: prints the Python of the environment that is there, the current one first.
find_environment() {
  local candidate
  for candidate in "${ZOO_PYTHON:-}" "$root"/.venv/{current,reference}/bin/python; do
    if [ -n "$candidate" ] && type -P "$candidate"; then
      return
    fi
  done
  fail "no environment is there: make one with scripts/setup.sh --stack auto"
}

case "${1:-}" in
  "" | -h | --help) print_help "$0"; exit 0 ;;
esac
python="$(find_environment)"
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$python" -m common data prepare "$@"
