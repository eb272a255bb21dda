# shellcheck shell=bash
# What the scripts say, and the exit codes they end with.

readonly USAGE_EXIT_CODE=64

say() { printf '%s\n' "$*"; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

fail_usage() {
  printf 'error: %s; see --help\n' "$*" >&2
  exit "$USAGE_EXIT_CODE"
}

# need NAME COUNT: fails unless a value follows the flag.
need() { [ "$2" -ge 2 ] || fail_usage "$1 needs a value"; }

# print_help FILE: the comment block at the head of a script is its help text.
print_help() { awk 'NR > 1 && /^#/ { sub(/^# ?/, ""); print; next } NR > 1 { exit }' "$1"; }

# check_stack GIVEN ALLOWED...: ends with a usage error where GIVEN is none of those.
check_stack() {
  local given="$1" allowed
  shift
  for allowed in "$@"; do
    [ "$given" != "$allowed" ] || return 0
  done
  fail_usage "--stack $given: there are $*"
}
