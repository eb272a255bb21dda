# shellcheck shell=bash
# Makes and mends the environments in .venv/<stack>. Needs messages.sh, pythons.sh,
# packages.sh, $root (the checkout) and $install_log.
#
# Small files in an environment tell its state:
#   .zoo-made        these scripts created it, so they may make it anew
#   .zoo-installing  an install is going on, or was interrupted
#   .zoo-build       whether torch was installed for cpu or cuda
#   .zoo-stamp       the fingerprint of what was installed

environment_of() { printf '%s/.venv/%s\n' "$root" "$1"; }
python_of() { printf '%s/bin/python\n' "$(environment_of "$1")"; }
lock_of() { printf '%s/ci/locks/%s.txt\n' "$root" "$1"; }

# fingerprint STACK BUILD: changes whenever the environment has to be brought up to date.
fingerprint() {
  {
    cat "$(lock_of "$1")" "$root/pyproject.toml"
    printf '%s\n' "$2" "$root" "$root"/{PyTorch,TensorFlow}/*/__init__.py
  } | { sha256sum 2>/dev/null || shasum -a 256; } | cut -d' ' -f1
}

# is_ready STACK BUILD: whether nothing is left to do.
is_ready() {
  local folder
  folder="$(environment_of "$1")"
  [ ! -e "$folder/.zoo-installing" ] && [ -r "$folder/.zoo-stamp" ] \
    && [ "$(cat "$folder/.zoo-stamp")" = "$(fingerprint "$1" "$2")" ] && environment_runs "$1"
}

# environment_runs STACK: whether the environment's Python starts and is one the lock holds for.
# shellcheck disable=SC2046 # a word a version
environment_runs() {
  python_is_one_of "$(python_of "$1")" $(stack_versions "$1") $(other_versions "$1")
}

# ensure_environment STACK: the environment exists and runs; its packages are not looked at.
ensure_environment() {
  local folder
  folder="$(environment_of "$1")"
  if [ -e "$folder/.zoo-made" ] && { [ -e "$folder/.zoo-installing" ] || ! environment_runs "$1"; }
  then
    say "$folder was left unfinished or no longer runs: making it anew"
    empty_environment "$1"
    create_environment "$1"
  elif [ ! -e "$folder" ]; then
    create_environment "$1"
  elif ! environment_runs "$1"; then
    fail "$folder is there, does not run a Python $(stack_versions "$1" | paste -sd/ -)," \
      "and was not made by this script; move it away and try again"
  fi
}

# empty_environment STACK: takes away what these scripts made; the mark stays, so that the next
# run mends an interruption.
empty_environment() {
  find "$(environment_of "$1")" -mindepth 1 -maxdepth 1 ! -name .zoo-made -exec rm -rf {} +
}

# create_environment STACK: with venv, or with uv where this Python's venv module is missing.
create_environment() {
  local folder python
  folder="$(environment_of "$1")"
  python="$(find_stack_python "$1" || download_python "$1" || find_other_python "$1")" \
    || fail "$(python_remedy "$1")"
  say "making $folder with $python"
  mkdir -p "$folder"
  : >"$folder/.zoo-made"
  : >"$folder/.zoo-installing"
  "$python" -m venv "$folder" >>"$install_log" 2>&1 \
    || { find_uv && "$uv" venv --allow-existing --seed --python "$python" "$folder"; } \
      >>"$install_log" 2>&1 \
    || fail "$python can't make an environment; install its venv module (Debian: python3-venv), or uv"
}

# download_python STACK: lets uv fetch the first Python of the stack; prints its path.
download_python() {
  local version
  version="$(stack_versions "$1" | head -n 1)"
  [ -z "$wheels" ] || return 1
  find_uv || return 1
  "$uv" python install "$version" >>"$install_log" 2>&1 && find_python "$version"
}

python_remedy() {
  printf 'the %s stack needs Python %s and none that runs was found on PATH, in pyenv, conda or uv;' \
    "$1" "$(stack_versions "$1" | paste -sd/ -)"
  printf ' install one (pyenv install %s)' "$(stack_versions "$1" | head -n 1)"
  [ "$1" != reference ] || printf ' or use --stack current'
}

# bring_up_to_date STACK BUILD: makes the environment where needed and installs lock and checkout.
bring_up_to_date() {
  local folder
  folder="$(environment_of "$1")"
  ensure_environment "$1"
  find_uv || say "uv can't be had: using pip"
  : >"$folder/.zoo-installing"
  if install_lock "$1" "$2" && install_checkout "$1"; then
    printf '%s\n' "$2" >"$folder/.zoo-build"
    fingerprint "$1" "$2" >"$folder/.zoo-stamp"
    rm -f "$folder/.zoo-installing"
  else
    rm -f "$folder/.zoo-installing"
    fail "$install_problem; details: $install_log"
  fi
}

# one_at_a_time FILE: waits until no other run of these scripts is at work in this checkout.
one_at_a_time() {
  exec 9>"$1"
  if type -P flock >/dev/null; then
    flock 9
  fi
}
