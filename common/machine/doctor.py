"""What `zoo doctor` looks at, gathered once from this machine, and its checks: pure functions."""

from __future__ import annotations

import os
import re
import resource
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from common.core.errors import FAIL, OK, WARN, Finding
from common.machine.devices import Machine, cann_version, detect, read_text, summary

GIGABYTE = 1e9
ENOUGH_OPEN_FILES, ENOUGH_OPEN_FILES_ON_NPU = 1024, 65535
ENOUGH_SHARED_MEMORY, ENOUGH_MEMORY = 1 * GIGABYTE, 4 * GIGABYTE
ENOUGH_DISK, LEAST_DISK = 5 * GIGABYTE, 0.2 * GIGABYTE
FRAMEWORKS = ("torch", "tensorflow", "tensorflow-cpu")
_METADATA = re.compile(
    r"(?P<name>[^-]+)-(?P<version>[^-]+)(?:-py[\d.]+)?\.(?:dist|egg)-info", re.IGNORECASE
)


@dataclass(frozen=True)
class Surroundings:
    """The facts the checks judge.

    Attributes:
        python: version numbers of the running Python.
        packages: installed distributions, lower-case name to version, none of them imported.
        machine: devices, cores, memory.
        environment: the variables of this process.
        cann_scripts: CANN's set_env.sh files that were found.
        cann: CANN's version, "" where unknown.
        rank_table: the text of RANK_TABLE_FILE, None where the file can't be read.
        open_files: the soft limit of open files.
        shared_memory: bytes of /dev/shm, None where there is none.
        data_folder, datasets: where datasets were looked for, and which were found.
        disk_folder, disk_free: where runs would be written, and the bytes free there.
        npu_smi: what `npu-smi info` prints, "" without it.
        npu_kernels: whether CANN's kernels of operators are installed.
        tf_plugin: the folder of npu_bridge, "" without it.
        hccn: the text of /etc/hccn.conf, None where it can't be read.
        busy_hccl_ports: those of HCCL's ports that something listens at.
    """

    python: Tuple[int, ...]
    packages: Mapping[str, str]
    machine: Machine
    environment: Mapping[str, str]
    cann: str
    rank_table: Optional[str]
    open_files: int
    shared_memory: Optional[int]
    data_folder: str
    datasets: Tuple[str, ...]
    disk_folder: str
    disk_free: int
    cann_scripts: Tuple[str, ...] = ()
    npu_smi: str = ""
    npu_kernels: bool = False
    tf_plugin: str = ""
    hccn: Optional[str] = None
    busy_hccl_ports: Tuple[int, ...] = ()


def look(
    data_folder: Path,
    disk_folder: Path,
    root: Path = Path("/"),
    environment: Optional[Mapping[str, str]] = None,
    datasets: Sequence[str] = (),
) -> Surroundings:
    """Gathers the facts but for what only Ascend servers have; imports no framework.

    Args:
        data_folder: where datasets should be.
        disk_folder: where runs would be written; must exist.
        root: the folder that stands for / (tests give another).
        environment: the variables, by default this process's.
        datasets: those found in data_folder.
    """
    environment = dict(os.environ if environment is None else environment)
    table, shared = environment.get("RANK_TABLE_FILE"), root / "dev/shm"
    return Surroundings(
        python=tuple(sys.version_info[:3]),
        packages=installed_packages(sys.path),
        machine=detect(root, environment),
        environment=environment,
        cann=cann_version(root, environment),
        rank_table=(read_text(Path(table)) or None) if table else None,
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        shared_memory=shutil.disk_usage(str(shared)).total if shared.is_dir() else None,
        data_folder=str(data_folder),
        datasets=tuple(datasets),
        disk_folder=str(disk_folder),
        disk_free=shutil.disk_usage(str(disk_folder)).free,
    )


def installed_packages(folders: Iterable[str]) -> Dict[str, str]:
    """Distributions in the folders of a sys.path, by their metadata folders' names.

    Reading names is enough and fast, and works on Python 3.7, which has no importlib.metadata.
    The first folder wins, as it does for imports.
    """
    found: Dict[str, str] = {}
    for folder in folders:
        names = sorted(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else []
        for match in filter(None, map(_METADATA.fullmatch, names)):
            package = re.sub(r"[-_.]+", "-", match.group("name")).lower()
            found.setdefault(package, match.group("version"))
    return found


# --- the checks ---


def examine(facts: Surroundings, of_ascend: Sequence[Finding] = ()) -> List[Finding]:
    """All checks, in the order they are printed; "fail" only for what blocks training here.

    Args:
        of_ascend: what common.ascend.doctor found, printed among the devices.
    """
    found: List[Optional[Finding]] = [
        _python(facts),
        _frameworks(facts),
        Finding(OK, "devices", summary(facts.machine)),  # none is no fault: a CPU trains, slower
        _cuda_build(facts),
        *of_ascend,
        _open_files(facts),
        _shared_memory(facts),
        _memory(facts),
        _disk(facts),
        _datasets(facts),
    ]
    return [finding for finding in found if finding is not None]


def _python(facts: Surroundings) -> Finding:
    """3.7 is the reference stack's Python; 3.9 and later are the current stack's."""
    text = ".".join(str(number) for number in facts.python)
    version = facts.python[:2]
    if version == (3, 7) or version >= (3, 9):
        stack = "reference" if version == (3, 7) else "current"
        return Finding(OK, "Python", f"{text} (stack: {stack})")
    told, remedy = "belongs to no tested stack", "scripts/setup.sh --stack auto"
    status = FAIL if version < (3, 7) else WARN
    return Finding(status, "Python", f"{text} {told}", f"use Python 3.7 or 3.11: {remedy}")


def _frameworks(facts: Surroundings) -> Finding:
    present = [f"{name} {facts.packages[name]}" for name in FRAMEWORKS if name in facts.packages]
    if present:
        return Finding(OK, "frameworks", ", ".join(present))
    remedy = "scripts/setup.sh --stack auto installs what the networks need"
    return Finding(FAIL, "frameworks", "neither torch nor tensorflow is installed", remedy)


def _cuda_build(facts: Surroundings) -> Optional[Finding]:
    """A CPU build of torch can't use the GPUs that are there."""
    torch = facts.packages.get("torch", "")
    if not facts.machine.gpu_count or not torch.endswith("+cpu"):
        return None
    told = f"{torch} is a CPU build, and there are GPUs"
    return Finding(FAIL, "torch", told, "install a CUDA build of torch, or give --device cpu")


def _open_files(facts: Surroundings) -> Finding:
    """Loader workers and HCCL hold many files open."""
    enough = ENOUGH_OPEN_FILES_ON_NPU if facts.machine.npu_count else ENOUGH_OPEN_FILES
    if facts.open_files < 0:
        return Finding(OK, "open files", "unlimited")
    if facts.open_files >= enough:
        return Finding(OK, "open files", str(facts.open_files))
    return Finding(WARN, "open files", f"only {facts.open_files}", f"ulimit -n {enough}")


def _shared_memory(facts: Surroundings) -> Finding:
    """Loader workers hand batches over through /dev/shm; containers have 64 MB by default."""
    if facts.shared_memory is None:
        remedy = "mount one, or use the default loader, which has no workers"
        return Finding(WARN, "shared memory", "there is no /dev/shm", remedy)
    remedy = "start the container with --shm-size=8g"
    return _room(facts.shared_memory, ENOUGH_SHARED_MEMORY, "shared memory", remedy)


def _memory(facts: Surroundings) -> Finding:
    """A dataset lies in it as bytes."""
    remedy = "use a smaller --batch_size and fewer ranks"
    return _room(facts.machine.memory_bytes, ENOUGH_MEMORY, "memory", remedy)


def _disk(facts: Surroundings) -> Finding:
    """Checkpoints and logs need room where runs are written."""
    remedy = "free some, or give another --output_path"
    if facts.disk_free < LEAST_DISK:
        told = f"{_gigabytes(facts.disk_free)} free in {facts.disk_folder}"
        return Finding(FAIL, "disk", told, remedy)
    return _room(facts.disk_free, ENOUGH_DISK, "disk", remedy)


def _datasets(facts: Surroundings) -> Finding:
    if facts.datasets:
        return Finding(OK, "datasets", f"{', '.join(facts.datasets)} in {facts.data_folder}")
    told = f"none in {facts.data_folder}; embedded data works all the same"
    remedy = (
        "set ZOO_DATA to the datasets' folder, or give --data_path; zoo data prepare fetches them"
    )
    return Finding(WARN, "datasets", told, remedy)


def _room(size: int, enough: float, what: str, remedy: str) -> Finding:
    if size >= enough:
        return Finding(OK, what, _gigabytes(size))
    return Finding(WARN, what, f"only {_gigabytes(size)}", remedy)


def _gigabytes(size: float) -> str:
    return f"{size / GIGABYTE:.1f} GB"
