#!/usr/bin/env bash
# Measures the speed of a network's training step against its plain baseline, in one run.
#
# usage: scripts/benchmark.sh NETWORK [--stack reference|current|auto] [--help] [benchmark arguments]
#
#   NETWORK        residual_attention_net, slot_attention, slot_attention_torch, protoattend, protoattend_torch
#   --stack STACK  the environment to measure in (default: current); ZOO_PYTHON names another Python
#   --help         this text
#
# Every other argument goes to the benchmark: --batch_size --repeats --steps --device --variants (names,
# comma-separated) --json, with residual_attention_net --images, with slot_attention --task, with
# protoattend and its twin --candidates.
# Exit code: 0 where every ratio is reached, 1 where one is missed or ours waits too long for data, 2 where no
# ratio is set for this device and version, 64 for a usage error.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
# shellcheck source-path=SCRIPTDIR
. "$root/scripts/lib/messages.sh"
. "$root/scripts/lib/pythons.sh"

stack=current
network=""
arguments=()

read_arguments() {
  while [ $# -gt 0 ]; do
    case "$1" in
      -h | --help) print_help "$root/scripts/benchmark.sh"; exit 0 ;;
      --stack=*) stack="${1#*=}" ;;
      --stack) [ $# -ge 2 ] || fail_usage "--stack needs a name"; stack="$2"; shift ;;
      *) if [ -z "$network" ] && [ "${1#-}" = "$1" ]; then network="$1"; else arguments+=("$1"); fi ;;
    esac
    shift
  done
  check_stack "$stack" reference current auto
  [ -n "$network" ] || fail_usage "which network? residual_attention_net, slot_attention, slot_attention_torch, protoattend or protoattend_torch"
  [ -f "$root/benchmarks/$network/benchmark.py" ] || fail_usage "there is no benchmark of $network"
}

main() {
  local python
  read_arguments "$@"
  stack="$(choose_stack "$stack")"
  python="${ZOO_PYTHON:-$root/.venv/$stack/bin/python}"
  type -P "$python" >/dev/null \
    || fail "no environment for $stack: make it with scripts/setup.sh --stack $stack"
  cd "$root"
  PYTHONPATH="$root:$root/PyTorch:$root/TensorFlow${PYTHONPATH:+:$PYTHONPATH}" \
    exec "$python" -m "benchmarks.$network.benchmark" ${arguments[@]+"${arguments[@]}"}
}

main "$@"
