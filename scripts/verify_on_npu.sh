#!/usr/bin/env bash
# The first run on a real NPU: goes through what nobody could check without one, and writes one archive.
#
# usage: scripts/verify_on_npu.sh [--output_path FOLDER] [--networks NAMES] [--ranks NUMBERS] [--minutes N] [--dry_run] [--help]
#
#   --output_path FOLDER  where logs, runs and the archive go (default output/verify_on_npu)
#   --networks NAMES      comma-separated, of residual_attention_net, slot_attention, protoattend
#                         (default: those whose framework this Python has)
#   --ranks NUMBERS       numbers of devices to try beside one, comma-separated (default 2,8, as far as
#                         this server has so many)
#   --minutes N           how long one part may take (default 30)
#   --dry_run             print the commands only
#   --help                this text
#
# Data is made on the spot. A part that fails is noted, and the next one runs; a second call skips what
# passed. The archive holds logs, records, tables and the variables of CANN, HCCL and the frameworks: no
# weights, no data, nothing else of the environment. Exit code: 0 where everything passed, 1 where a part
# failed, 64 for wrong arguments.
set -uo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
# shellcheck source-path=SCRIPTDIR
. "$root/scripts/lib/messages.sh"

output="$root/output/verify_on_npu"
networks=""
ranks="2,8"
minutes=30
dry_run=0
failed=0
python="${ZOO_PYTHON:-python3}"

read_arguments() {
  while [ $# -gt 0 ]; do
    case "$1" in
      -h | --help) print_help "$root/scripts/verify_on_npu.sh"; exit 0 ;;
      --output_path=* | --networks=* | --ranks=* | --minutes=*)
        set -- "${1%%=*}" "${1#*=}" "${@:2}"; continue ;;
      --output_path) need "$1" $#; output="$2"; shift ;;
      --networks) need "$1" $#; networks="${2//,/ }"; shift ;;
      --ranks) need "$1" $#; ranks="$2"; shift ;;
      --minutes) need "$1" $#; minutes="$2"; shift ;;
      --dry_run) dry_run=1 ;;
      *) fail_usage "unknown argument $1" ;;
    esac
    shift
  done
  case "$minutes" in '' | *[!0-9]*) fail_usage "--minutes expects a whole number" ;; esac
  case "$ranks" in *[!0-9,]*) fail_usage "--ranks expects numbers such as 2,8" ;; esac
}

# has MODULE: whether this Python finds it, without importing it.
has() { "$python" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$1') is None)"; }

choose_networks() {
  [ -z "$networks" ] || return 0
  ! has torch || networks="residual_attention_net"
  ! has tensorflow || networks="$networks slot_attention/object_discovery slot_attention/set_prediction protoattend"
  [ -n "$networks" ] || fail "$python has neither torch nor TensorFlow; activate the Python that has one"
}

devices() { find /dev -maxdepth 1 -name 'davinci[0-9]*' 2>/dev/null | wc -l; }

# part NAME COMMAND...: runs a part that has not passed yet, with a time limit; notes how it ended.
part() {
  local name="$1" code
  shift
  if [ "$dry_run" -eq 1 ]; then
    printf '%-44s %s\n' "$name" "$*"
    return 0
  fi
  if [ -e "$output/logs/$name.passed" ]; then
    say "skipped  $name (passed before)"
    return 0
  fi
  timeout --signal=TERM --kill-after=60 "$((minutes * 60))" "$@" >"$output/logs/$name.log" 2>&1
  code=$?
  if [ "$code" -eq 0 ]; then
    touch "$output/logs/$name.passed"
    say "passed   $name"
  else
    failed=1
    say "FAILED   $name (exit code $code): $(tail -n 1 "$output/logs/$name.log" | cut -c1-160)"
  fi
  return "$code"
}

# launch NAME NETWORK CASE FLAGS...: a part that trains or evaluates, with a run folder of its own.
launch() {
  local name="$1" network="$2" case="$3"
  shift 3
  part "$name" "$python" -m common launch "$network" "$case" --device=npu \
    --output_path="$output/runs/$name" "$@"
}

# describe_machine: what the server is; of the environment only what belongs to CANN and the frameworks.
describe_machine() {
  npu-smi info
  uname -srm
  "$python" --version
  "$python" -m pip list 2>/dev/null
  env | grep -E '^(ASCEND|HCCL|RANK_|CM_|CANN|TF_|TORCH|PYTORCH_NPU|TASK_QUEUE|INF_NAN|JOB_ID|DEVICE_ID|LD_LIBRARY_PATH|PYTHONPATH)' | sort
  find /usr/local/Ascend "$HOME/Ascend" -maxdepth 4 -name 'version.*' -exec grep -HiE '^version' {} + 2>/dev/null
  true
}

# case_of NETWORK: the short case that the gate runs too; it makes its own data.
case_of() {
  case "$1" in
    slot_attention/object_discovery | residual_attention_net) printf 'short_1p' ;;
    *) printf 'smoke' ;;
  esac
}

# checkpoint_flag NETWORK: how the network's evaluation is told its weights.
checkpoint_flag() {
  case "$1" in
    residual_attention_net) printf 'pth_path' ;;
    slot_attention/*) printf 'checkpoint_dir' ;;
    *) printf 'checkpoint' ;;
  esac
}

# data_flags NETWORK: the data of its short case, for the cases that would take the published set.
data_flags() {
  case "$1" in
    slot_attention/object_discovery) printf -- '--dataset=synthetic_sprites' ;;
    slot_attention/set_prediction) printf -- '--dataset=synthetic_scenes' ;;
    *) printf -- '--dataset=digits' ;;
  esac
}

# verify_one_device NETWORK LABEL
verify_one_device() {
  local network="$1" label="$2" case runs="$output/runs"
  case="$(case_of "$network")"
  part "$label-plan" "$python" -m common launch "$network" full_8p --device=npu --dry_run \
    --data_path="$output" "$(data_flags "$network")"
  launch "$label-float32" "$network" "$case" --precision_mode=must_keep_origin_dtype
  launch "$label-default" "$network" "$case"
  launch "$label-resumed" "$network" "$case" --train_steps=20 --checkpoint_minutes=0 \
    && part "$label-resumed_again" "$python" -m common launch "$network" "$case" --device=npu --resume \
      --output_path="$runs/$label-resumed" --train_steps=40
  launch "$label-evaluation" "$network" eval_1p "$(data_flags "$network")" \
    "--$(checkpoint_flag "$network")=$(weights_of "$network" "$runs/$label-float32")"
  launch "$label-profile" "$network" "$case" --train_steps=20 --profiling
}

# weights_of NETWORK RUN: what the network's evaluation takes as weights.
weights_of() {
  case "$1" in
    residual_attention_net) printf '%s/ckpt/best.pt' "$2" ;;
    *) printf '%s' "$2" ;;
  esac
}

# verify_against_processor NETWORK LABEL: the tensors of one step, here and on the processor.
verify_against_processor() {
  local network="$1" label="$2" case
  case="$(case_of "$network")"
  part "$label-tensors_cpu" "$python" -m common launch "$network" "$case" --device=cpu \
    --precision_mode=must_keep_origin_dtype --train_steps=3 --dump_tensors=3 \
    --output_path="$output/runs/$label-tensors_cpu" || return 0
  launch "$label-tensors_npu" "$network" "$case" --precision_mode=must_keep_origin_dtype \
    --train_steps=3 --dump_from="$output/runs/$label-tensors_cpu" || return 0
  part "$label-diverge" "$python" -m common diverge --a "$output/runs/$label-tensors_cpu" \
    --b "$output/runs/$label-tensors_npu" --plot "$output/logs/$label-diverge.png"
}

# verify_many_devices NETWORK LABEL
verify_many_devices() {
  local count here
  here="$(devices)"
  for count in ${ranks//,/ }; do
    if [ "$count" -gt "$here" ] && [ "$dry_run" -eq 0 ]; then
      say "left out $2-${count}_ranks: this server has $here devices"
    else
      launch "$2-${count}_ranks" "$1" "$(case_of "$1")" --ranks="$count" --train_steps=40 \
        "--data_path=$output/data"
    fi
  done
}

# make_data NETWORK: several ranks don't make data on demand.
make_data() {
  local scenes
  case "$1" in
    slot_attention/object_discovery) scenes=synthetic_sprites ;;
    slot_attention/set_prediction) scenes=synthetic_scenes ;;
    *) return 0 ;;
  esac
  part "data-$scenes" "$python" -m common data prepare "$scenes" --data_path="$output/data" --train=4000
}

verify_network() {
  local label="${1//\//_}"
  make_data "$1"
  verify_one_device "$1" "$label"
  [ "$1" != slot_attention/object_discovery ] || launch "$label-device_loop" "$1" "$(case_of "$1")" \
    --iterations_per_loop=10 --train_steps=200
  verify_against_processor "$1" "$label"
  verify_many_devices "$1" "$label"
}

# write_archive: logs, records and tables; checkpoints, tensors and data stay here.
write_archive() {
  local archive
  archive="$output/verify_on_npu-$(date -u +%Y%m%dT%H%M%SZ).tar.gz"
  (cd "$output" && find logs runs \( -name '*.log' -o -name '*.json' -o -name '*.jsonl' -o -name '*.txt' \
    -o -name '*.png' -o -name '*.passed' \) ! -path '*/ckpt/*' ! -path '*/data/*' -print0 \
    | tar --null -czf "$archive" -T -)
  say "send back: $archive"
}

main() {
  local network
  read_arguments "$@"
  choose_networks
  export PYTHONPATH="$root:$root/PyTorch:$root/TensorFlow${PYTHONPATH:+:$PYTHONPATH}"
  if [ "$dry_run" -eq 0 ]; then
    mkdir -p "$output/logs" "$output/runs" "$output/data"
    output="$(cd "$output" && pwd -P)"
    describe_machine >"$output/logs/machine.log" 2>&1
  fi
  part doctor "$python" -m common doctor --output_path "$root"
  for network in $networks; do
    verify_network "$network"
  done
  [ "$dry_run" -eq 1 ] || write_archive
  exit "$failed"
}

main "$@"
