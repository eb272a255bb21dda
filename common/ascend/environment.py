"""CANN's environment: finds its set_env.sh files and reads what they would set."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from pathlib import Path
from typing import Dict, List, Mapping, Sequence, Tuple

from common.core.errors import ZooError
from common.machine.devices import read_text

INSTALL_INFO = "etc/Ascend/ascend_cann_install.info"
DEFAULT_INSTALL = "usr/local/Ascend"
# Where the plugin's packages are: of the older installer, and as a wheel at the manual's place.
PLUGIN_PACKAGES = ("tfplugin/latest/python/site-packages", "tfplugin")
TIMEOUT_SECONDS = 30.0
DRIVER_LIBRARIES = ("driver/lib64", "driver/lib64/common", "driver/lib64/driver")

# A fixed program: the files are its arguments, so no path is ever part of the program's text.
_PROGRAM = 'set +u +e; for file in "$@"; do source "$file" 1>&2; done; exec env -0'
_OF_THE_SHELL = ("_", "SHLVL", "PWD", "OLDPWD", "BASH_ENV")

# TensorFlow's convolutions on an A2 and later read float32 as HF32 unless this says 0; the plugin
# looks at the variable alone.
HF32 = "ENABLE_HF32_EXECUTION"


@dataclasses.dataclass(frozen=True)
class CannEnvironment:
    """What preparing for CANN amounts to.

    Attributes:
        scripts: the set_env.sh files that were read, in order.
        changes: the variables they set or change, and the driver's libraries.
        remark: why nothing was read, or where it was found.
    """

    scripts: Tuple[str, ...]
    changes: Dict[str, str]
    remark: str


def cann_environment(
    environment: Mapping[str, str], framework: str, system: Path = Path("/")
) -> CannEnvironment:
    """Finds CANN and reads its environment, unless it is prepared already.

    Args:
        framework: "pytorch" or "tensorflow"; the latter needs the TF plugin as well.
        system: the root of the file system, for tests.

    Raises:
        ZooError: a set_env.sh fails or doesn't end.
    """
    needed = ("ASCEND_HOME_PATH", "ASCEND_OPP_PATH")  # torch_npu needs both
    by_etp = environment.get("etp_running_flag") == "true"
    if by_etp or all(environment.get(name) for name in needed):
        name = "etp_running_flag" if by_etp else needed[0]
        return CannEnvironment((), {}, f"prepared already: {name} is set")
    scripts = find_scripts(environment, framework, system)
    if not scripts:
        places = ", ".join(str(folder) for folder in _installs(environment, system))
        return CannEnvironment((), {}, f"no set_env.sh under {places}")
    changes = read_changes(scripts, environment)
    install = scripts[0].parent.parent
    changes.update(_driver_libraries(install, environment, changes))
    packages = plugin_packages(environment, system)
    if framework == "tensorflow" and len(scripts) == 1 and packages:
        now = changes.get("PYTHONPATH", environment.get("PYTHONPATH", ""))
        changes["PYTHONPATH"] = os.pathsep.join([packages] + ([now] if now else []))
    return CannEnvironment(tuple(str(path) for path in scripts), changes, f"found under {install}")


def with_hf32(precision: Dict[str, str], device_kind: str) -> Dict[str, str]:
    """The precision of a TensorFlow run's record, with HF32 named where it is allowed."""
    if device_kind != "npu" or os.environ.get(HF32, "0") == "0":
        return precision
    return dict(precision, arithmetic=precision["arithmetic"] + ", convolutions HF32")


def find_scripts(environment: Mapping[str, str], framework: str, system: Path) -> List[Path]:
    """The set_env.sh files to read: the toolkit's, and the TF plugin's for TensorFlow."""
    for install in _installs(environment, system):
        has_toolkit = (install / "ascend-toolkit" / "latest").is_dir()
        for name in ("ascend-toolkit" if has_toolkit else "nnae", "cann"):
            if (install / name / "set_env.sh").is_file():
                plugin = install / "tfplugin" / "set_env.sh"
                wanted = framework == "tensorflow" and plugin.is_file()
                return [install / name / "set_env.sh"] + [plugin] * wanted
    return []


def _installs(environment: Mapping[str, str], system: Path) -> List[Path]:
    """Where CANN may be, in order: as its installer says or the usual place, then the user's."""
    said = re.search(r"Install_Path=(.*)", read_text(system / INSTALL_INFO))
    folders = [system / ((said.group(1).strip() if said else "") or DEFAULT_INSTALL).lstrip("/")]
    home = environment.get("HOME")
    return folders + ([Path(home) / "Ascend"] if home else [])


def read_changes(
    scripts: Sequence[Path], environment: Mapping[str, str], timeout: float = TIMEOUT_SECONDS
) -> Dict[str, str]:
    """The variables that differ after the scripts were sourced by bash, unset ones left alone.

    Raises:
        ZooError: bash is missing, a script fails or takes longer than `timeout` seconds.
    """
    command = ["bash", "-c", _PROGRAM, "set_env"] + [str(path) for path in scripts]
    try:
        done = subprocess.run(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as error:
        raise ZooError(
            f"{scripts[0]} did not end within {timeout:g} s; source it yourself before the launch"
        ) from error
    except OSError as error:
        raise ZooError(f"can't run bash to read {scripts[0]}: {error}") from error
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = lines[-1] if lines else f"exit code {done.returncode}"
        raise ZooError(f"{scripts[0]} failed: {why}; source it yourself before the launch")
    pairs = [part.split("=", 1) for part in os.fsdecode(done.stdout).split("\0") if "=" in part]
    return {
        name: value
        for name, value in pairs
        if environment.get(name) != value and name not in _OF_THE_SHELL
    }


def _driver_libraries(
    install: Path, environment: Mapping[str, str], changes: Mapping[str, str]
) -> Dict[str, str]:
    """LD_LIBRARY_PATH with the driver's folders, where they are and not named yet."""
    now = changes.get("LD_LIBRARY_PATH", environment.get("LD_LIBRARY_PATH", ""))
    named = [part for part in now.split(os.pathsep) if part]
    missing = [
        str(install / folder)
        for folder in DRIVER_LIBRARIES
        if (install / folder).is_dir() and str(install / folder) not in named
    ]
    return {"LD_LIBRARY_PATH": os.pathsep.join(named + missing)} if missing else {}


def plugin_packages(environment: Mapping[str, str], system: Path) -> str:
    """The folder that npu_bridge is in, of a plugin without a set_env.sh; "" without one."""
    folders = (
        install / packages
        for install in _installs(environment, system)
        for packages in PLUGIN_PACKAGES
    )
    return next((str(folder) for folder in folders if (folder / "npu_bridge").is_dir()), "")
