#!/usr/bin/env bash
# Makes an environment and runs the fast tests in it; --all runs what CI runs.
#
# usage: scripts/test.sh [--all] [--stack reference|current|auto|both] [--slow] [--help] [pytest arguments]
#
#   --all          both stacks, the long tests, and the smoke tier of zoo regress; reference is left
#                  out, and said so, where no Python 3.7 runs
#   --stack STACK  auto (default; with --all: both)
#   --slow         the slow tests too, a few hours; those marked gpu run with: scripts/test.sh -m gpu
#   --no_gate      --all without the smoke tier
#   --help         this text
#
# ruff and mypy run on `current`. As many tests run at a time as there are cores, each on one thread.
# Every other argument goes to pytest, and there is no gate then. The gate's verdicts and pages of
# its runs are in output/gate/. Exit code: 0 where everything asked for ran and passed, 1 where
# something failed, 64 for a wrong --stack. A gate that is INCONCLUSIVE is said and fails nothing.
set -uo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
# shellcheck source-path=SCRIPTDIR
. "$root/scripts/lib/messages.sh"
. "$root/scripts/lib/pythons.sh"

stack=""
all=0
slow=0
gate=1
pytest_arguments=()
results=()
failed=0
ran=0

read_arguments() {
  while [ $# -gt 0 ]; do
    case "$1" in
      -h | --help) print_help "$root/scripts/test.sh"; exit 0 ;;
      --stack=*) stack="${1#*=}" ;;
      --stack) [ $# -ge 2 ] || fail_usage "--stack needs a name"; stack="$2"; shift ;;
      --all) all=1 ;;
      --slow) slow=1 ;;
      --no_gate) gate=0 ;;
      *) pytest_arguments+=("$1") ;;
    esac
    shift
  done
  if [ "$all" -eq 1 ]; then
    stack="${stack:-both}"
  else
    gate=0
  fi
  stack="${stack:-auto}"
  check_stack "$stack" reference current auto both
  marks="not gpu"
  [ "$slow" -eq 1 ] || marks="$marks and not slow"
  # What was chosen by name runs, however long it takes.
  [ "$all" -eq 1 ] || [ ${#pytest_arguments[@]} -gt 0 ] || marks="$marks and not long"
}

# stacks_to_run: sets $stacks; leaves out of `both` what this machine can't run.
stacks_to_run() {
  case "$stack" in
    both)
      stacks="current"
      if find_stack_python reference >/dev/null; then
        stacks="current reference"
      else
        results+=("reference: left out ($(why_no_reference))")
      fi
      ;;
    *) stacks="$(choose_stack "$stack")" ;;
  esac
}

# check NAME COMMAND...: runs it and notes how it ended.
check() {
  local name="$1"
  shift
  say "== $name"
  if "$@"; then
    results+=("$name: passed")
  else
    results+=("$name: FAILED")
    failed=1
  fi
}

# run_pytest PYTHON: 5, "no tests collected", counts as passed where the caller narrowed the choice.
# shellcheck disable=SC2329 # called through check
run_pytest() {
  local code
  TF_USE_LEGACY_KERAS=1 TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-2}" MPLBACKEND=Agg \
    OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" \
    "$1" -m pytest -n auto -m "$marks" ${pytest_arguments[@]+"${pytest_arguments[@]}"}
  code=$?
  [ "$code" -eq 5 ] || ran=1
  [ "$code" -eq 0 ] || { [ "$code" -eq 5 ] && [ ${#pytest_arguments[@]} -gt 0 ]; }
}

# prepare_torch_npu PYTHON: the package index's torch_npu over stub libraries, for the tests that are
# left out without it.
prepare_torch_npu() {
  local told
  told="$("$1" -m tests.real_torch_npu.installed 2>&1)" \
    || results+=("tests on the real torch_npu: left out (${told##*$'\n'})")
}

# write_gate_pages STACK: a page of each of the newest gate's runs, where there are any.
write_gate_pages() {
  local newest run name
  newest="$(find "$root/output/regress" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | sort | tail -n 1)"
  for run in "$newest"/*/seed_0; do
    [ -f "$run/record.json" ] || continue
    name="${run%/seed_0}"
    "$root/.venv/$1/bin/python" -m common report "$run" -o "$root/output/gate/$1-${name##*/}.html" || true
  done
}

# run_gate STACK: the smoke tier; without speeds, for the cores may have other work.
run_gate() {
  local name="gate on $1" code=0
  mkdir -p "$root/output/gate"
  say "== $name"
  "$root/.venv/$1/bin/python" -m common regress --without_speed \
    --junit "$root/output/gate/$1.xml" --markdown "$root/output/gate/$1.md" || code=$?
  write_gate_pages "$1"
  case "$code" in
    0) results+=("$name: passed") ;;
    2) results+=("$name: INCONCLUSIVE") ;;
    *) results+=("$name: FAILED"); failed=1 ;;
  esac
}

test_stack() {
  local python="$root/.venv/$1/bin/python"
  local horovod=()
  [ "$all" -eq 0 ] || [ "$1" != reference ] || horovod=(--horovod)
  if ! "$root/scripts/setup.sh" --stack "$1" ${horovod[@]+"${horovod[@]}"}; then
    results+=("$1: no environment: FAILED")
    failed=1
    return
  fi
  if [ "$1" = current ]; then
    check "ruff" "$python" -m ruff check .
    check "ruff format" "$python" -m ruff format --check .
    check "mypy" "$python" -m mypy
  fi
  [ "$all" -eq 0 ] || [ "$1" != current ] || prepare_torch_npu "$python"
  check "pytest on $1" run_pytest "$python"
  [ "$gate" -eq 0 ] || [ ${#pytest_arguments[@]} -gt 0 ] || run_gate "$1"
}

main() {
  local name
  read_arguments "$@"
  cd "$root" || exit 1
  stacks_to_run
  for name in $stacks; do
    test_stack "$name"
  done
  say "== summary"
  printf '%s\n' "${results[@]}"
  [ "$all" -eq 1 ] || [ ${#pytest_arguments[@]} -gt 0 ] \
    || say "not run: the long tests, the other stack and the gate's smoke tier; scripts/test.sh --all does"
  [ "$ran" -eq 1 ] || fail "no test ran"
  exit "$failed"
}

main "$@"
