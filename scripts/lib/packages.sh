# shellcheck shell=bash
# Installs the lock of a stack with uv, or with pip where uv can't be had or fails.
# Needs messages.sh, pythons.sh, $root, $wheels (a folder for offline installs, or empty),
# $install_log. Sets $uv, and $install_problem where something fails.

readonly TORCH_CPU_INDEX="${ZOO_TORCH_INDEX:-https://download.pytorch.org/whl/cpu}"

uv=""
install_problem=""

# find_uv: sets $uv to a uv that runs: the one on PATH, or one fetched into .venv/tools.
find_uv() {
  local own="$root/.venv/tools/bin/uv"
  for uv in "$(type -P uv || true)" "$own"; do
    [ -x "$uv" ] && "$uv" --version >/dev/null 2>&1 && return 0
  done
  uv="$own"
  fetch_uv && return 0
  uv=""
  return 1
}

# fetch_uv: the version of uv that the lock names, through pip; needs no environment.
fetch_uv() {
  local python
  python="$(find_stack_python current || type -P python3)" || return 1
  say "fetching uv, which installs faster than pip" >&2
  "$python" -m pip install --quiet --no-deps --upgrade --target "$root/.venv/tools" \
    ${wheels:+--no-index --find-links "$wheels"} "$(grep '^uv==' "$(lock_of current)")" \
    >>"$install_log" 2>&1 && [ -x "$uv" ]
}

# run_installer STACK ARGUMENT...: one attempt, by uv where $uv is set, else by pip.
run_installer() {
  local python
  python="$(python_of "$1")"
  shift
  set -- install ${wheels:+--no-index --find-links "$wheels"} "$@"
  if [ -n "$uv" ]; then
    "$python" "$root/scripts/lib/uv_as_pip.py" "$uv" pip "$@" --python "$python"
  else
    "$python" -m pip "$@"
  fi >>"$install_log" 2>&1 </dev/null
}

# with_pip_to_fall_back_on COMMAND...: runs it; where that fails with uv, runs it with pip.
with_pip_to_fall_back_on() {
  "$@" && return 0
  [ -n "$uv" ] || return 1
  say "uv could not install it: trying pip"
  uv=""
  "$@"
}

# is_locked STACK: whether the lock holds for the Python of the stack's environment.
# shellcheck disable=SC2046 # a word a version
is_locked() { python_is_one_of "$(python_of "$1")" $(stack_versions "$1"); }

# install_unlocked STACK BUILD: the newest packages that fit this Python, by pyproject.toml.
install_unlocked() {
  say "the lock does not hold for this Python: installing the newest packages that fit it"
  install_problem="the packages of pyproject.toml could not be installed"
  [ "$2" = cuda ] || run_installer "$1" --index-url "$TORCH_CPU_INDEX" torch \
    || say "no torch without CUDA at $TORCH_CPU_INDEX: taking the registry's, 3 GB"
  with_pip_to_fall_back_on run_installer "$1" setuptools wheel \
    "$root[torch,tensorflow,data,export,tensorboard,test]" || return 1
  # Triton, which only CUDA needs, ends in a segmentation fault in one process with TensorFlow.
  [ "$2" = cuda ] || "$(python_of "$1")" -m pip uninstall --yes triton >>"$install_log" 2>&1 </dev/null
}

# install_lock STACK BUILD: everything the lock pins, no dependency looked up elsewhere.
install_lock() {
  local lock rest
  is_locked "$1" || { install_unlocked "$1" "$2"; return; }
  lock="$(lock_of "$1")"
  rest="$(environment_of "$1")/.zoo-requirements"
  say "installing ci/locks/$1.txt"
  install_problem="the packages of ci/locks/$1.txt could not be installed"
  # Apart from the others: a torch without CUDA has an index of its own, and Horovod is compiled
  # against the TensorFlow that is installed by then.
  if has_build_without_cuda "$lock"; then
    grep -v '^torch==\|^horovod==' "$lock" >"$rest" || return 1
  else
    grep -v '^horovod==' "$lock" >"$rest" || return 1
  fi
  with_pip_to_fall_back_on run_installer "$1" --no-deps -r "$rest" || return 1
  if has_build_without_cuda "$lock"; then
    with_pip_to_fall_back_on "install_torch_for_$2" "$1" || return 1
  fi
}

# install_horovod STACK: Horovod with Gloo for TensorFlow, where the lock names it and it compiles;
# without it everything but several TensorFlow ranks on CPU or GPU works.
install_horovod() {
  local wanted
  wanted="$(grep '^horovod==' "$(lock_of "$1")")" || return 0
  wanted="${wanted%% *}"
  if horovod_is_there "$1" "${wanted#horovod==}"; then
    return 0
  elif [ -z "$wheels" ] && ! { type -P cmake && type -P g++; } >/dev/null; then
    say "without Horovod (several TensorFlow ranks on CPU or GPU): compiling it needs cmake and g++"
  elif ! compile_horovod "$1" "$wanted"; then
    say "without Horovod (several TensorFlow ranks on CPU or GPU): it did not compile; details:" \
      "$install_log"
  fi
}

horovod_is_there() {
  "$(python_of "$1")" -c "import sys, horovod
sys.exit(horovod.__version__ != '$2')" >/dev/null 2>&1 </dev/null
}

compile_horovod() {
  say "compiling $2 (about three minutes)"
  HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MPI=1 HOROVOD_WITHOUT_PYTORCH=1 \
    HOROVOD_WITHOUT_MXNET=1 MAKEFLAGS="-j$(getconf _NPROCESSORS_ONLN)" \
    with_pip_to_fall_back_on run_installer "$1" --no-deps --no-build-isolation "$2"
}

# has_build_without_cuda LOCK: whether the lock names a torch that the registry does not have.
has_build_without_cuda() { grep -q '^torch==[0-9.]*+cpu' "$1"; }

# install_torch_for_cpu STACK: the build without CUDA, from pip's own sources or PyTorch's index.
install_torch_for_cpu() {
  local wanted
  wanted="$(environment_of "$1")/.zoo-torch-requirements"
  grep '^torch==' "$(lock_of "$1")" >"$wanted" || return 1
  install_problem="$(head -n 1 "$wanted" | cut -d' ' -f1), the build without CUDA, is neither in pip's \
find-links nor at $TORCH_CPU_INDEX; get its wheel and set PIP_FIND_LINKS to the wheel's folder"
  run_installer "$1" --no-deps -r "$wanted" && return 0
  [ -z "$wheels" ] && run_installer "$1" --no-deps --index-url "$TORCH_CPU_INDEX" -r "$wanted"
}

# install_torch_for_cuda STACK: the registry's build and the CUDA libraries that it names itself.
install_torch_for_cuda() {
  local version
  version="$(sed -n 's/^torch==\([0-9.]*\)+cpu.*/\1/p' "$(lock_of "$1")")"
  install_problem="torch $version with its CUDA libraries could not be installed"
  # "===" compares the text: 2.13.0+cpu, where it is installed or offered, does not count.
  run_installer "$1" -c "$(environment_of "$1")/.zoo-requirements" "torch===$version"
}

# install_checkout STACK: the checkout itself, editable, with the tools the lock has installed.
install_checkout() {
  install_problem="the checkout could not be installed into $(environment_of "$1")"
  with_pip_to_fall_back_on run_installer "$1" --no-deps --no-build-isolation -e "$root"
}
