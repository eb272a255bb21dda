# shellcheck shell=bash
# Finds Pythons that really run: a pyenv shim on PATH may exist and yet fail.

# python_runs PYTHON VERSION: whether PYTHON starts and is that version (such as 3.7).
python_runs() {
  [ -x "$1" ] && "$1" -I -S -c \
    "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$2')" >/dev/null 2>&1 </dev/null
}

# conda_folders: every conda environment that conda keeps a note of, one per line.
conda_folders() {
  [ -z "${CONDA_PREFIX:-}" ] || printf '%s\n' "$CONDA_PREFIX"
  [ ! -r "$HOME/.conda/environments.txt" ] || cat "$HOME/.conda/environments.txt"
  local base
  for base in "$HOME"/{miniconda3,anaconda3,miniforge3,mambaforge} /opt/{conda,miniconda3}; do
    printf '%s\n' "$base" "$base"/envs/*
  done
}

# python_candidates VERSION: the places where that Python may be, one path per line, best first.
python_candidates() {
  local pyenv="${PYENV_ROOT:-$HOME/.pyenv}"
  type -aP "python$1" python3 python || true
  printf '%s\n' "$pyenv"/versions/"$1".*/bin/python"$1" | sort -rV
  conda_folders | sed "s|\$|/bin/python$1|"
  printf '%s\n' "${UV_PYTHON_INSTALL_DIR:-$HOME/.local/share/uv/python}"/cpython-"$1".*/bin/python"$1"
}

# find_python VERSION: prints the first Python of that version that runs; fails where there is none.
find_python() {
  local candidate
  while IFS= read -r candidate; do
    if python_runs "$candidate" "$1"; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done < <(python_candidates "$1")
  return 1
}

# stack_versions STACK: the Python versions that the stack's lock holds for, best first.
stack_versions() {
  case "$1" in
    reference) printf '3.7\n' ;;
    current) printf '3.11\n3.12\n3.13\n' ;;
  esac
}

# other_versions STACK: those that the lock does not hold for; packages are then the newest that fit.
other_versions() { [ "$1" != current ] || printf '3.14\n3.10\n3.9\n'; }

# find_first_python VERSION...: prints the first Python of these versions that runs; fails where
# there is none.
find_first_python() {
  local version
  for version in "$@"; do
    find_python "$version" && return 0
  done
  return 1
}

# find_stack_python STACK: prints the Python to build the stack with; fails where there is none.
# shellcheck disable=SC2046 # a word a version
find_stack_python() { find_first_python $(stack_versions "$1"); }

# find_other_python STACK: the same among the versions that the lock does not hold for.
# shellcheck disable=SC2046
find_other_python() { find_first_python $(other_versions "$1"); }

# python_is_one_of PYTHON VERSION...: whether PYTHON starts and is one of these versions.
python_is_one_of() {
  local python="$1" version
  shift
  for version in "$@"; do
    python_runs "$python" "$version" && return 0
  done
  return 1
}

# why_no_reference: one clause that says why the reference stack can't be had.
why_no_reference() {
  if type -P python3.7 >/dev/null; then
    printf 'python3.7 on PATH does not run, and neither pyenv, conda nor uv has a Python 3.7'
  else
    printf 'no Python 3.7 on PATH, in pyenv, in conda or in uv'
  fi
}

# choose_stack WISH: turns auto into a stack, and says on standard error which and why.
choose_stack() {
  if [ "$1" != auto ]; then
    printf '%s\n' "$1"
  elif python_runs "$(type -P python3 || type -P python)" 3.7; then
    say "stack: reference, because the active Python is 3.7" >&2
    printf 'reference\n'
  else
    printf 'current\n'
  fi
}
