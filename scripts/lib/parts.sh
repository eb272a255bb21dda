# shellcheck shell=bash
# Runs a script's parts one by one: a log and a mark for each in $output, a summary and an archive at the end.
# The script sets $output, $minutes, $dry_run and $python.

failed=0
results=()
under_way=""

# tell LINE: says how a part ended, and keeps it for the summary.
tell() {
  results+=("$1")
  say "$1"
}

passed() { [ -e "$output/logs/$1.passed" ]; }

# forget NAMES...: the next call runs them again.
forget() {
  local name
  for name in "$@"; do
    rm -f "$output/logs/$name.passed"
  done
}

# part NAME COMMAND...: runs a part that has not passed yet; where $after names another, only if that passed.
part() {
  local name="$1" code
  shift
  if [ "$dry_run" -eq 1 ]; then
    printf '%-44s %s\n' "$name" "$*"
    return 0
  elif [ -n "${after:-}" ] && ! passed "$after"; then
    tell "left out $name: $after did not pass"
    return 1
  elif passed "$name"; then
    tell "passed   $name (before)"
    return 0
  fi
  under_way="$name"
  # In the background, for a trap waits for what runs in the foreground. A rank has 60 s for its checkpoint.
  timeout --signal=TERM --kill-after=90 "$((minutes * 60))" "$@" >"$output/logs/$name.log" 2>&1 </dev/null &
  wait $!
  code=$?
  if [ "$code" -eq 0 ]; then
    touch "$output/logs/$name.passed"
    tell "passed   $name"
  else
    failed=1
    tell "FAILED   $name (exit code $code): $(tail -n 1 "$output/logs/$name.log" | cut -c1-160)"
  fi
  return "$code"
}

# describe_machine: what the server is; of the environment only what belongs to CANN and the frameworks.
describe_machine() {
  timeout 60 npu-smi info
  uname -srm
  "$python" --version
  "$python" -m pip list 2>/dev/null
  env | grep -E '^(ASCEND|HCCL|RANK_|CM_|CANN|TF_|TORCH|PYTORCH_NPU|TASK_QUEUE|INF_NAN|JOB_ID|DEVICE_ID|LD_LIBRARY_PATH|PYTHONPATH)' | sort
  find /usr/local/Ascend "${HOME:-/root}/Ascend" -maxdepth 4 -name 'version.*' -exec grep -HiE '^version' {} + 2>/dev/null
  true
}

# prepare_output: the folder of everything, or one line and the end.
prepare_output() {
  local asked="$output"
  { mkdir -p "$asked/logs" "$asked/runs" && output="$(cd "$asked" && pwd -P)" \
    && : >"$output/logs/summary.log"; } 2>/dev/null || fail "--output_path $asked can't be written; give another"
}

# write_archive: logs, records and tables; checkpoints, tensors and data stay here.
write_archive() {
  local archive
  archive="$output/verify_on_npu-$(date -u +%Y%m%dT%H%M%SZ).tar.gz"
  if (cd "$output" && find logs runs \( -name '*.log' -o -name '*.json' -o -name '*.jsonl' -o -name '*.txt' \
    -o -name '*.png' -o -name '*.passed' \) ! -path '*/ckpt/*' ! -path '*/data/*' -print0 \
    | tar --null -czf "$archive" -T -); then
    say "send back: $archive"
  else
    failed=1
    rm -f "$archive"
    say "FAILED   the archive could not be written: is there space in $output?"
  fi
}

# finish: how each part ended, and the archive.
finish() {
  say "== summary"
  printf '%s\n' ${results[@]+"${results[@]}"} | tee "$output/logs/summary.log"
  write_archive
}

# interrupted CODE: ends the part that runs, with its children, and keeps what there is.
# shellcheck disable=SC2329 # called by traps
interrupted() {
  local child
  trap '' HUP INT TERM
  for child in $(jobs -p); do
    say "ending $under_way (up to 90 s: a rank may be writing its checkpoint)"
    kill -TERM "$child" 2>/dev/null # timeout hands it to the whole part, and kills what doesn't end
    wait "$child"
    results+=("FAILED   $under_way (interrupted)")
  done
  finish
  exit "$1"
}

