#!/usr/bin/env bash
# Makes the Python environment .venv/STACK of this checkout: the packages of ci/locks/STACK.txt and
# the checkout itself, editable. Running it again costs nothing; a changed lock is installed in place.
#
# usage: scripts/setup.sh [--stack reference|current|auto] [--horovod] [--offline FOLDER] [--cuda|--cpu] [--help]
#
#   --stack STACK     reference: Python 3.7, TensorFlow 1.15, torch 1.8.1
#                     current: Python 3.11, TensorFlow 2, torch 2
#                     auto (default): current, but reference where the active Python is 3.7
#   --horovod         compile Horovod where the lock names it, for several TensorFlow ranks on CPU
#                     or GPU; two minutes, needs cmake and g++
#   --offline FOLDER  install from the wheels in FOLDER alone, without a network
#                     (docs/dependencies.md says how to fill it)
#   --cuda            current only: torch with CUDA, several GB; later runs stay with it. Needs a driver
#                     that answers, unless ZOO_CUDA_UNSEEN is set, as where an image is built
#   --cpu             torch without CUDA: the default where nothing was installed, and the way back
#   --help            this text
#
# Settings of pip count for uv too (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, PIP_CERT, and
# pip.conf). ZOO_TORCH_INDEX names another index for torch without CUDA, such as a mirror.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
# shellcheck source-path=SCRIPTDIR
. "$root/scripts/lib/messages.sh"
. "$root/scripts/lib/pythons.sh"
. "$root/scripts/lib/packages.sh"
. "$root/scripts/lib/environments.sh"

stack=auto
build=""
horovod=0
wheels=""

read_arguments() {
  while [ $# -gt 0 ]; do
    case "$1" in
      -h | --help) print_help "$root/scripts/setup.sh"; exit 0 ;;
      --stack=* | --offline=*) set -- "${1%%=*}" "${1#*=}" "${@:2}"; continue ;;
      --stack) [ $# -ge 2 ] || fail_usage "--stack needs a name"; stack="$2"; shift ;;
      --offline) [ $# -ge 2 ] || fail_usage "--offline needs a folder"; wheels="$2"; shift ;;
      --horovod) horovod=1 ;;
      --cuda | --cpu) build="${1#--}" ;;
      *) fail_usage "unknown argument $1" ;;
    esac
    shift
  done
}

check_arguments() {
  check_stack "$stack" reference current auto
  if [ -n "$wheels" ]; then
    [ -d "$wheels" ] || fail "--offline: $wheels is not a folder"
    wheels="$(cd "$wheels" && pwd -P)"
  fi
}

# choose_build: what was asked for, else what the environment has, else cpu.
choose_build() {
  local had
  had="$(environment_of "$stack")/.zoo-build"
  if [ -z "$build" ]; then
    build=cpu
    [ ! -r "$had" ] || build="$(cat "$had")"
  elif [ "$build" = cuda ]; then
    check_cuda
  fi
}

check_cuda() {
  has_build_without_cuda "$(lock_of "$stack")" \
    || fail_usage "--cuda is for --stack current; torch of the $stack stack carries CUDA already"
  [ -n "${ZOO_CUDA_UNSEEN:-}" ] || nvidia-smi -L >/dev/null 2>&1 \
    || fail "--cuda: no NVIDIA driver answers (nvidia-smi -L); leave --cuda out for the CPU build"
}

main() {
  read_arguments "$@"
  check_arguments
  stack="$(choose_stack "$stack")"
  choose_build
  if [ "$horovod" -eq 1 ] || ! is_ready "$stack" "$build"; then
    mkdir -p "$root/.venv"
    install_log="$root/.venv/setup-$stack.log"
    one_at_a_time "$root/.venv/.lock"
    : >"$install_log"
    is_ready "$stack" "$build" || bring_up_to_date "$stack" "$build"
    [ "$horovod" -eq 0 ] || { find_uv || true; install_horovod "$stack"; }
  fi
  say "ready: $(environment_of "$stack")"
}

main "$@"
