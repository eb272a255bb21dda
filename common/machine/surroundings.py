"""What `zoo doctor` looks at: gathered once from this machine, then only read."""

from __future__ import annotations

import os
import re
import resource
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, Mapping, Optional, Sequence, Tuple

from common.machine.devices import Machine, cann_version, detect, read_text

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
