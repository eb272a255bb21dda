#!/usr/bin/env bash
# Everything that needs a GPU, in parts: parity, speed against the baseline, `long` on CIFAR-10.
#
# usage: scripts/gpu_run.sh --data_path FOLDER [--output_path FOLDER] [--minutes N] [flags of the launcher]
#
#   --data_path FOLDER    cifar-10-batches-py or its parent
#   --output_path FOLDER  where the logs, the run and its record go (default output/gpu_run)
#   --minutes N           how long one call may take (default 9)
#   --help                this text
#
# Call it until it exits with 0; 75 says that the time of this call was up and there is more to do. Every
# part that is done is skipped the next time, and the training resumes where it stopped, so the output
# folder is all that has to be kept between two calls. Other flags (--seed=1, --recipe=long …) go to the
# launcher.
set -uo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
# shellcheck source-path=SCRIPTDIR
. "$root/scripts/lib/messages.sh"

more_to_do=75
sees_gpu='import sys, torch; sys.exit(0 if torch.cuda.is_available() else 1)'
data_path=""
output="$root/output/gpu_run"
minutes=9
launcher_flags=()
started=$SECONDS

read_arguments() {
  while [ $# -gt 0 ]; do
    case "$1" in
      -h | --help) print_help "$root/scripts/gpu_run.sh"; exit 0 ;;
      --data_path=*) data_path="${1#*=}" ;;
      --data_path) need "$1" $#; data_path="$2"; shift ;;
      --output_path=*) output="${1#*=}" ;;
      --output_path) need "$1" $#; output="$2"; shift ;;
      --minutes=*) minutes="${1#*=}" ;;
      --minutes) need "$1" $#; minutes="$2"; shift ;;
      *) launcher_flags+=("$1") ;;
    esac
    shift
  done
  case "$minutes" in '' | *[!0-9]*) fail_usage "--minutes expects a whole number" ;; esac
  [ -n "$data_path" ] || fail "--data_path is missing: give the folder of cifar-10-batches-py"
  [ -d "$data_path" ] || fail "--data_path $data_path is no folder"
}

seconds_left() { echo $((minutes * 60 - (SECONDS - started))); }

# once NAME COMMAND...: runs a part with what is left of the time, unless it is done; logs it.
once() {
  local name="$1" code left
  shift
  [ ! -e "$output/$name.done" ] || return 0
  left="$(seconds_left)"
  if [ "$left" -le 5 ]; then
    say "$name: the time of this call is up; call again"
    exit "$more_to_do"
  fi
  say "== $name"
  timeout --signal=TERM --kill-after=30 "$left" "$@" 2>&1 | tee -a "$output/$name.log"
  code=${PIPESTATUS[0]}
  case "$code" in
    0) touch "$output/$name.done" ;;
    124 | 137 | 143) say "$name: the time of this call is up; call again"; exit "$more_to_do" ;;
    *) fail "$name ended with exit code $code; its log is $output/$name.log" ;;
  esac
}

# choose_python: sets $python to the first Python whose torch sees a GPU.
choose_python() {
  for python in "${ZOO_PYTHON:-}" "${VIRTUAL_ENV:+$VIRTUAL_ENV/bin/python}" \
    "$root/.venv/current/bin/python" python3; do
    if [ -n "$python" ] && "$python" -c "$sees_gpu" 2>/dev/null; then
      return
    fi
  done
  fail "no Python here has a torch that sees a GPU; set ZOO_PYTHON to one that has"
}

# training_command: sets $command to the launcher's call, with --resume where there is a checkpoint.
training_command() {
  command=("$root/scripts/launch" residual_attention_net full_1p --device=gpu
    --data_path="$data_path" --output_path="$output/run" --recipe=long --batch_size=256
    --train_epochs=200 --precision_mode=allow_mix_precision_bf16 --checkpoint_minutes=1 --grace=20)
  if compgen -G "$output/run/ckpt/step_*" >/dev/null; then
    command+=(--resume)
  fi
  command+=(${launcher_flags[@]+"${launcher_flags[@]}"})
}

main() {
  read_arguments "$@"
  choose_python
  mkdir -p "$output"
  output="$(cd "$output" && pwd -P)"
  data_path="$(cd "$data_path" && pwd -P)"
  cd "$root" || exit 1
  export ZOO_PYTHON="$python"
  export PYTHONPATH="$root:$root/PyTorch${PYTHONPATH:+:$PYTHONPATH}"
  once doctor "$python" -m common doctor
  once parity "$python" -m pytest -m gpu -p no:cacheprovider PyTorch/residual_attention_net/tests
  once speed bash "$root/scripts/benchmark.sh" residual_attention_net --device gpu
  training_command
  once train "${command[@]}"
  "$python" -m common table --run "$output/run"
  say "the record is $output/run/record.json; zoo record $output/run keeps it in results/"
}

main "$@"
