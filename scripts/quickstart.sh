#!/usr/bin/env bash
# Makes the environment, shows what the trained weights in weights/ do, then trains every network
# briefly on data that needs no download, evaluates, prints the result table and writes the pictures:
# about six minutes on two idle cores. Interrupted, it shows what it has.
#
# usage: scripts/quickstart.sh [--stack reference|current|auto] [--help]
#
#   --stack STACK  which environment (default auto: current, but reference where the active Python is 3.7)
#   --help         this text
#
# Everything is written to output/quickstart in the checkout; an earlier run is moved aside.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
# shellcheck source-path=SCRIPTDIR
. "$root/scripts/lib/messages.sh"
. "$root/scripts/lib/pythons.sh"

stack=auto
output="$root/output/quickstart"
python=""
run_folders=()

read_arguments() {
  while [ $# -gt 0 ]; do
    case "$1" in
      -h | --help) print_help "$root/scripts/quickstart.sh"; exit 0 ;;
      --stack=*) stack="${1#*=}" ;;
      --stack) [ $# -ge 2 ] || fail_usage "--stack needs a name"; stack="$2"; shift ;;
      *) fail_usage "unknown argument $1" ;;
    esac
    shift
  done
  check_stack "$stack" reference current auto
}

# zoo ARGUMENT...: the zoo of this checkout, installed or not.
zoo() { PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" "$python" -m common "$@"; }

# run_case MODEL/TASK CASE
run_case() {
  local folder
  folder="$output/${1//\//_}/$2"
  say "== $1 $2"
  mkdir -p "$(dirname "$folder")"
  zoo launch "$1" "$2" --output_path="$folder" </dev/null
  run_folders+=("$folder")
  write_pictures "${1%%/*}" "$folder"
  say "pictures: $folder/pictures"
}

# write_pictures MODEL RUN_FOLDER: the network's own pictures of the run, where it can draw any.
write_pictures() {
  local package
  for package in "$root"/{PyTorch,TensorFlow}/"$1"; do
    [ -f "$package/visualize.py" ] || continue
    PYTHONPATH="$root:$(dirname "$package")" MPLBACKEND=Agg \
      "$python" -m "$1.visualize" --run_folder="$2" </dev/null
  done
}

# show: what there is, at the end or where the run was interrupted.
show() {
  local code=$?
  trap - EXIT
  if [ ${#run_folders[@]} -gt 0 ]; then
    say "== results"
    zoo table --run "${run_folders[@]}"
    say ""
    say "runs, with logs, records and pictures:"
    printf '  %s\n' "${run_folders[@]}"
    say "pictures of the trained weights: $output/weights"
    say ""
    say "go on with:"
    printf '  %s\n' "source $root/.venv/$stack/bin/activate" \
      "zoo report ${run_folders[0]} -o report.html" \
      "zoo launch protoattend full_1p --dataset=image_folder --data_path=FOLDER_OF_CLASS_FOLDERS --device=cpu"
  fi
  exit "$code"
}

main() {
  local cases network case
  read_arguments "$@"
  stack="$(choose_stack "$stack")"
  bash "$root/scripts/setup.sh" --stack "$stack"
  python="$root/.venv/$stack/bin/python"
  cases="$("$python" "$root/scripts/lib/quickstart.py" cases)"
  [ -n "$cases" ] || fail "no model card under $root names a smoke case"
  trap show EXIT
  trap 'exit 130' INT TERM
  say "== what trained weights do"
  "$python" "$root/scripts/lib/quickstart.py" show "$output/weights" </dev/null || say "not all could be shown"
  say "== a brief training of each network"
  while read -r network case; do
    run_case "$network" "$case"
  done <<<"$cases"
}

main "$@"
