#!/usr/bin/env bash
# The first run on a real NPU: goes through what nobody could check without one, and writes one archive.
#
# usage: scripts/verify_on_npu.sh [--output_path FOLDER] [--networks NAMES] [--ranks NUMBERS] [--minutes N] [--dry_run] [--help]
#
#   --output_path FOLDER  where logs, runs and the archive go (default output/verify_on_npu)
#   --networks NAMES      comma-separated, of residual_attention_net, slot_attention (both tasks, or one:
#                         slot_attention/object_discovery, slot_attention/set_prediction), protoattend,
#                         slot_attention_torch (tasks alike), protoattend_torch (default: those whose
#                         framework this Python has)
#   --ranks NUMBERS       numbers of devices to try beside one, comma-separated (default 2,8, as far as
#                         this server has so many)
#   --minutes N           how long one part may take (default 30)
#   --dry_run             print the commands only
#   --help                this text
#
# Data is made on the spot. A part that fails is noted, and the next one runs; what a run's record says is
# a part of its own (NAME-record). A second call skips what passed. At the end each part is listed: passed,
# FAILED or left out. The archive holds logs, records, tables and the variables of CANN, HCCL and the
# frameworks: no weights, no data, nothing else of the environment. Ctrl-C ends the part that runs and still
# writes the archive. Exit code: 0 where everything passed, 1 where a part failed, 64 for wrong arguments,
# 129, 130 or 143 where it was interrupted.
set -uo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
# shellcheck source-path=SCRIPTDIR
. "$root/scripts/lib/messages.sh"
. "$root/scripts/lib/parts.sh"

names="residual_attention_net, slot_attention, slot_attention/object_discovery, slot_attention/set_prediction, protoattend"
names="$names, slot_attention_torch, slot_attention_torch/object_discovery, slot_attention_torch/set_prediction, protoattend_torch"
output="$root/output/verify_on_npu"
networks=()
ranks="2,8"
minutes=30
dry_run=0
without_apex=()
python="${ZOO_PYTHON:-python3}"

read_arguments() {
  while [ $# -gt 0 ]; do
    case "$1" in
      -h | --help) print_help "$root/scripts/verify_on_npu.sh"; exit 0 ;;
      --output_path=* | --networks=* | --ranks=* | --minutes=*)
        set -- "${1%%=*}" "${1#*=}" "${@:2}"; continue ;;
      --output_path) need "$1" $#; output="$2"; shift ;;
      --networks) need "$1" $#; add_networks "$2"; shift ;;
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

# add_networks NAMES: comma-separated; a name without a task stands for all of its tasks.
add_networks() {
  local name given
  IFS=', ' read -r -a given <<<"$1"
  for name in ${given[@]+"${given[@]}"}; do
    case ", $names, " in *", $name, "*) ;; *) fail_usage "--networks $name: there are $names" ;; esac
    case "$name" in
      slot_attention | slot_attention_torch) networks+=("$name/object_discovery" "$name/set_prediction") ;;
      *) networks+=("$name") ;;
    esac
  done
}

# has MODULE: whether this Python finds it, without importing it.
has() { "$python" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$1') is None)"; }

choose_networks() {
  [ ${#networks[@]} -eq 0 ] || return 0
  ! has torch || add_networks residual_attention_net,slot_attention_torch,protoattend_torch
  ! has tensorflow || add_networks slot_attention,protoattend
  [ ${#networks[@]} -gt 0 ] || fail "$python has neither torch nor TensorFlow; activate the Python that has one"
}

has_old_torch() {
  "$python" -c "
import importlib.util, pathlib, re, sys
found = importlib.util.find_spec('torch')  # importing it takes seconds
text = (pathlib.Path(found.origin).parent / 'version.py').read_text() if found else ''
major = re.search(r'__version__[^0-9]*([0-9]+)', text)
sys.exit(not (major and int(major.group(1)) < 2))"
}

# choose_precision: the card's O2 needs Ascend's apex on torch 1.8.1.
choose_precision() {
  case " ${networks[*]} " in *" residual_attention_net "*) ;; *) return 0 ;; esac
  if has_old_torch && ! has apex; then
    without_apex=(--precision_mode=allow_mix_precision)
    say "note: this torch is older than 2 and there is no apex, so its parts without a precision take ${without_apex[0]}"
  fi
}

# devices: how many the launcher may use.
devices() {
  local count
  count="$("$python" -c "from common.machine import devices; print(devices.detect().npu_count)" 2>/dev/null)"
  printf '%s' "${count:-0}"
}

# enough_devices NAME COUNT: whether this server has so many; a dry run pretends.
enough_devices() {
  local here
  [ "$dry_run" -eq 0 ] || return 0
  here="$(devices)"
  [ "$2" -gt "$here" ] || return 0
  tell "left out $1: this server has $here devices"
  return 1
}

# launch_in RUN NAME NETWORK CASE FLAGS...: a part that trains or evaluates, in that run folder.
launch_in() {
  local run="$1" name="$2" network="$3" case="$4"
  shift 4
  case " $* " in
    *" --precision_mode="*) ;;
    *) set -- "$@" ${precision[@]+"${precision[@]}"} ;;
  esac
  part "$name" "$python" -m common launch "$network" "$case" --device=npu \
    --output_path="$output/runs/$run" "$@"
}

# launch NAME NETWORK CASE FLAGS...: the same in a run folder of the part's name.
launch() { launch_in "$1" "$@"; }

# check NAME RUN FLAGS...: what the record has to say of a part that passed; if it doesn't, the run is repeated.
check() {
  local name="$1" run="$2"
  shift 2
  after="$name" part "$name-record" "$python" "$root/scripts/lib/check_npu_run.py" "$output/runs/$run" "$@" \
    || forget "$name" "$run"
}

# know NETWORK: sets what differs between networks; `short` is the case that the gate runs too.
know() {
  label="${1//\//_}" short=smoke dataset=digits weights=checkpoint checkpoints="step_*"
  evaluation=() figures=() on_processor=() precision=()
  case "$1" in
    residual_attention_net)
      short=short_1p weights=pth_path checkpoints="step_*"
      on_processor=(--channels_last=false) # torch 2's batch norm on a processor is less exact in it
      precision=(${without_apex[@]+"${without_apex[@]}"}) ;;
    slot_attention*/object_discovery) short=short_1p dataset=synthetic_sprites ;;
    slot_attention*/set_prediction)
      dataset=synthetic_scenes
      figures=(--absolute=0.02) ;; # its slots are drawn anew, and its figures still next to 0
  esac
  case "$1" in
    slot_attention*/*)
      weights=checkpoint_dir
      evaluation=(--evaluation_count=64) ;; # as many as at the end of the short training
  esac
}

# newest_weights RUN: those of the last step, which the end of training evaluates.
newest_weights() {
  local found
  found="$(find "$1/ckpt" -maxdepth 1 -name "$checkpoints" 2>/dev/null | sort | tail -n 1)"
  printf '%s' "${found:-$1/ckpt/$checkpoints}"
}

# verify_plans NETWORK: the full cases as they would start, on one device and on eight.
verify_plans() {
  local count
  for count in 1 8; do
    ! enough_devices "$label-plan_${count}p" "$count" \
      || launch "$label-plan_${count}p" "$1" "full_${count}p" --dry_run --data_path="$output" --dataset="$dataset"
  done
}

verify_one_device() {
  local exact="--precision_mode=must_keep_origin_dtype" name
  name="$label-float32"
  launch "$name" "$1" "$short" "$exact"
  check "$name" "$name" --learns
  name="$label-default"
  launch "$name" "$1" "$short"
  check "$name" "$name" --learns
  launch "$label-resumed" "$1" "$short" --train_steps=20 --checkpoint_minutes=0
  after="$label-resumed" launch_in "$label-resumed" "$label-resumed_again" "$1" "$short" --resume --train_steps=40 \
    || forget "$label-resumed" # its folder is not as it was
  check "$label-resumed_again" "$label-resumed" --resumed_at=20 --steps=40
  name="$label-evaluation"
  after="$label-float32" launch "$name" "$1" eval_1p "$exact" --dataset="$dataset" \
    "--$weights=$(newest_weights "$output/runs/$label-float32")" ${evaluation[@]+"${evaluation[@]}"}
  check "$name" "$name" --evaluates --same_as="$output/runs/$label-float32" ${figures[@]+"${figures[@]}"}
  name="$label-profile"
  launch "$name" "$1" "$short" --train_steps=20 --profiling
  check "$name" "$name" --profile
}

# verify_against_processor NETWORK: the tensors of one step, here and on the processor.
verify_against_processor() {
  local exact="--precision_mode=must_keep_origin_dtype" here="$label-tensors_npu" there="$label-tensors_cpu"
  part "$there" "$python" -m common launch "$1" "$short" --device=cpu --output_path="$output/runs/$there" \
    "$exact" --train_steps=3 --dump_tensors=3 ${on_processor[@]+"${on_processor[@]}"}
  after="$there" launch "$here" "$1" "$short" "$exact" --train_steps=3 --dump_from="$output/runs/$there"
  after="$here" part "$label-diverge" "$python" -m common diverge --a "$output/runs/$there" \
    --b "$output/runs/$here" --plot "$output/logs/$label-diverge.png"
}

# verify_many_devices NETWORK: several ranks don't make data on demand, so what is drawn is made before.
verify_many_devices() {
  local count name data=() after=""
  case "$dataset" in
    synthetic_*)
      part "data-$dataset" "$python" -m common data prepare "$dataset" --data_path="$output/data" --train=4000
      after="data-$dataset"
      data=(--data_path="$output/data") ;;
  esac
  for count in ${ranks//,/ }; do
    name="$label-${count}_ranks"
    enough_devices "$name" "$count" || continue
    launch "$name" "$1" "$short" --ranks="$count" --train_steps=40 ${data[@]+"${data[@]}"}
    check "$name" "$name" --ranks="$count" --steps=40
  done
}

verify_network() {
  know "$1"
  verify_plans "$1"
  verify_one_device "$1"
  if [ "$1" = slot_attention/object_discovery ]; then
    # In float32, for a step that overflow skips would make the loop end late.
    launch "$label-device_loop" "$1" "$short" --iterations_per_loop=10 --train_steps=200 \
      --precision_mode=must_keep_origin_dtype
    check "$label-device_loop" "$label-device_loop" --steps=200
  fi
  verify_against_processor "$1"
  verify_many_devices "$1"
}

main() {
  local network
  read_arguments "$@"
  export PYTHONPATH="$root:$root/PyTorch:$root/TensorFlow${PYTHONPATH:+:$PYTHONPATH}"
  choose_networks
  if [ "$dry_run" -eq 0 ]; then
    [ "$(devices)" != 0 ] || fail "this machine has no NPU (no /dev/davinci0): nothing to verify"
    prepare_output
    trap 'interrupted 129' HUP
    trap 'interrupted 130' INT
    trap 'interrupted 143' TERM
    describe_machine >"$output/logs/machine.log" 2>&1
  fi
  choose_precision
  part doctor "$python" -m common doctor --output_path "$root"
  for network in "${networks[@]}"; do
    verify_network "$network"
  done
  [ "$dry_run" -eq 1 ] || finish
  exit "$failed"
}

main "$@"
