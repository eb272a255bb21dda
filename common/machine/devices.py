"""What this machine has to compute with, found from files and environment, without a framework."""

from __future__ import annotations

import glob
import itertools
import math
import os
import platform
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from common.core.errors import UsageError
from common.core.text import version_numbers

KINDS = ("npu", "gpu", "cpu")
REQUESTS = ("auto",) + KINDS
COMMAND_SECONDS = 10.0
_NO_MEMORY_LIMIT = 1 << 60


@dataclass(frozen=True)
class Machine:
    """What was found.

    Attributes:
        npu_count, gpu_count: accelerators this process may use.
        gpu_names: as the driver names them, () where only their number is known.
        npu_driver: its version, "" where unknown.
        core_ids: the cores this process may run on (its cpuset), ascending.
        cpu_quota: cores' worth of time a control group allows, None without a limit.
        memory_bytes: physical memory or the control group's limit, whichever is smaller.
    """

    npu_count: int
    gpu_count: int
    gpu_names: Tuple[str, ...]
    npu_driver: str
    core_ids: Tuple[int, ...]
    cpu_quota: Optional[float]
    memory_bytes: int

    @property
    def usable_cores(self) -> int:
        """Cores that can really be kept busy: the cpuset, cut to the quota; at least 1."""
        quota = math.inf if self.cpu_quota is None else math.ceil(self.cpu_quota)
        return int(max(1, min(len(self.core_ids), quota)))

    def count(self, kind: str) -> int:
        """How many devices of a kind there are; a CPU counts as one."""
        return {"npu": self.npu_count, "gpu": self.gpu_count, "cpu": 1}[kind]


def detect(root: Path = Path("/"), environment: Optional[Mapping[str, str]] = None) -> Machine:
    """Looks at the machine (a few milliseconds; commands only where files don't answer).

    Args:
        root: the folder that stands for / (tests give another).
        environment: the environment variables, by default this process's.
    """
    environment = os.environ if environment is None else environment
    return Machine(
        npu_count=_npu_count(root, environment),
        gpu_count=_gpu_count(root, environment),
        gpu_names=_gpu_names(root),
        npu_driver=npu_driver(root),
        core_ids=allowed_cores(),
        cpu_quota=_cpu_quota(root),
        memory_bytes=_memory_bytes(root),
    )


def idle_cores(cores: Sequence[int], seconds: float = 0.1) -> int:
    """How many of these cores other work leaves, at least 1; looks on for so many seconds."""
    import psutil  # only where ranks start on a CPU

    before = psutil.cpu_times(percpu=True)
    time.sleep(seconds)
    busy = 0.0
    for number, (start, end) in enumerate(zip(before, psutil.cpu_times(percpu=True))):
        if number in cores:
            spent = sum(end) - sum(start)
            waited = end.idle - start.idle + getattr(end, "iowait", 0) - getattr(start, "iowait", 0)
            busy += 1 - waited / spent if spent > 0 else 0
    return max(1, len(cores) - int(round(busy)))


def choose_device(requested: str, machine: Machine) -> str:
    """The kind of device to use: the requested one, or for "auto" the best there is.

    Raises:
        UsageError: the requested kind is unknown or this machine has none of it.
    """
    if requested == "auto":
        return next(kind for kind in KINDS if machine.count(kind) > 0)
    if requested not in KINDS:
        raise UsageError("--device expects {}, not {!r}".format(", ".join(REQUESTS), requested))
    if machine.count(requested) == 0:
        raise UsageError(
            f"--device {requested}: this machine has none ({_WHERE_LOOKED[requested]}); "
            f"it has {summary(machine)}"
        )
    return requested


def check_rank_count(kind: str, ranks: int, machine: Machine) -> None:
    """Raises UsageError for more ranks than accelerators; a CPU takes any number."""
    there = machine.count(kind)
    if kind != "cpu" and ranks > there:
        raise UsageError(
            f"{ranks} ranks need {ranks} {kind} devices and this machine has {there}; give "
            f"--ranks {max(1, there)} or --device cpu"
        )


def summary(machine: Machine) -> str:
    """The machine in a few words: "2 GPUs (NVIDIA H100), 16 cores"."""
    name = f" ({machine.gpu_names[0]})" if machine.gpu_names else ""
    parts = (
        (machine.npu_count, "NPU", ""),
        (machine.gpu_count, "GPU", name),
        (machine.usable_cores, "core", ""),
    )
    return ", ".join(f"{n} {what}{'s' * (n > 1)}{more}" for n, what, more in parts if n)


_WHERE_LOOKED = {
    "npu": "no /dev/davinci0, or ASCEND_RT_VISIBLE_DEVICES hides them",
    "gpu": "no /dev/nvidia0, or CUDA_VISIBLE_DEVICES hides them",
}


def run_command(words: Sequence[str]) -> Optional[str]:
    """The standard output of a command, None where it is missing, fails or takes too long."""
    try:
        done = subprocess.run(
            list(words),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            timeout=COMMAND_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace")


# --- NPU ---


def _npu_count(root: Path, environment: Mapping[str, str]) -> int:
    count = _numbered_nodes(root, "davinci")
    visible = environment.get("ASCEND_RT_VISIBLE_DEVICES")
    if visible is None:
        return count
    # CANN's list ends at a blank too, where CUDA's goes on.
    return _visible_count(",".join(itertools.takewhile(str.isdigit, visible.split(","))), count)


def npu_driver(root: Path = Path("/")) -> str:
    """The version of the Ascend driver, "" where there is none."""
    return _told(root / "usr/local/Ascend/driver/version.info", r"^version=(\S+)")


def npu_name() -> str:
    """The NPU's chip, such as "Ascend910B3"; "Ascend NPU" where nobody can tell."""
    try:
        import acl

        return str(acl.get_soc_name())
    except (ImportError, OSError, AttributeError):
        return npu_name_in(run_command(["npu-smi", "info"]) or "") or "Ascend NPU"


def npu_name_in(npu_smi: str) -> str:
    """The chip in npu-smi's table, "" without one; A3, which counts dies, calls itself 910."""
    match = re.search(r"\b(?:Ascend)?(9\d0\w*)", npu_smi)
    return "Ascend" + match.group(1) + "_93" * ("Phy-ID" in npu_smi) if match else ""


# 910B without a number is a 910A; 910_93 is an A3, 950 and 910_95 come after it.
_AFTER_910A = re.compile(r"910B[1-9]|910C|910_9[35]|950")


def npu_has_bfloat16(name: str) -> bool:
    """Whether a chip of that name computes in bfloat16: those after the 910A do."""
    return _AFTER_910A.search(name) is not None


def npu_is_910a(name: str) -> bool:
    """Whether a chip of that name is of the 910A family; no where the name says nothing."""
    return "910" in name and _AFTER_910A.search(name) is None


def npu_is_a3(name: str) -> bool:
    """Whether a chip of that name is an A3, of two dies a card."""
    return re.search("910C|910_93", name) is not None


def npu_needs_rank_table(name: str) -> bool:
    """Whether HCCL knows no CM_* variables on a chip of that name: those after the A2."""
    return re.search("910C|910_9[35]|950", name) is not None


# In a version file, the preferred first.
_CANN_VERSIONS = (r"version_dir=(\d[\w.]*)", r"version\w*=\[?(?:[\w-]+:)?(\d[\w.]*)")
_CANN_HOMES = ("cann", "ascend-toolkit/latest", "nnae/latest")


def cann_version(root: Path = Path("/"), environment: Optional[Mapping[str, str]] = None) -> str:
    """The version of the CANN toolkit in use (else of the default one), "" where there is none."""
    environment = os.environ if environment is None else environment
    home = environment.get("ASCEND_HOME_PATH") or environment.get("ASCEND_TOOLKIT_HOME")
    homes = [Path(home)] if home else [root / "usr/local/Ascend" / name for name in _CANN_HOMES]
    found: List[str] = []
    for folder in homes:
        # What torch_npu tells too; version.info's own "Version" counts the package, not CANN.
        infos = [
            *folder.glob("ascend_*_install.info"),
            *folder.glob("*-linux/ascend_*_install.info"),
        ]
        found += [_told(info, r"^version=(\S+)") for info in sorted(infos)]
        for name in ("compiler/version.info", "runtime/version.info", "version.cfg"):
            found += [_told(folder / name, pattern) for pattern in _CANN_VERSIONS]
    return next(filter(None, found), "")


def torch_npu_remedy(torch: str) -> str:
    """How to get the torch_npu that is made for this version of torch."""
    release = torch.split("+")[0]
    if version_numbers(release) < (2, 1):  # no package registry has these
        return f"take the wheel for torch {release} from the release page of Ascend's pytorch"
    return f"pip install 'torch_npu=={release}.*'"


# --- GPU ---


def _gpu_count(root: Path, environment: Mapping[str, str]) -> int:
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    # A container sees every GPU's entry in /proc, but only its own device nodes.
    count = _numbered_nodes(root, "nvidia")
    if not count and (root / "dev/dxg").exists():  # WSL has one node for all of them
        count = len(re.findall(r"(?m)^GPU \d+:", run_command(["nvidia-smi", "-L"]) or ""))
    return count if visible is None else _visible_count(visible, count)


def _gpu_names(root: Path) -> Tuple[str, ...]:
    paths = sorted(glob.glob(str(root / "proc/driver/nvidia/gpus/*/information")))
    return tuple(filter(None, (_told(Path(path), r"^Model:\s*(.+?)\s*$") for path in paths)))


def gpu_driver(root: Path = Path("/")) -> str:
    """The version of NVIDIA's kernel driver, "" where there is none."""
    return _told(root / "proc/driver/nvidia/version", r"Module[^\n]*?\s(\d+\.\d+(?:\.\d+)?)\s")


# --- CPU and memory ---


def allowed_cores() -> Tuple[int, ...]:
    """The cores this process may run on, ascending."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def cpu_name(root: Path = Path("/")) -> str:
    """The processor's model; the architecture where /proc/cpuinfo doesn't say (64-bit Arm)."""
    return _told(root / "proc/cpuinfo", r"^model name\s*:\s*(.+?)\s*$") or platform.machine()


def cpu_has_bfloat16(root: Path = Path("/")) -> bool:
    """Whether an x86 processor multiplies bfloat16 itself (AVX512_BF16 or AMX)."""
    flags = _told(root / "proc/cpuinfo", r"^flags\s*:(.*)$").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _cpu_quota(root: Path) -> Optional[float]:
    words = read_text(root / "sys/fs/cgroup/cpu.max").split()
    if not words:
        words = [
            read_text(root / "sys/fs/cgroup/cpu" / name).strip() or "-1"
            for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        ]
    quota, period = (_whole_number(word) or 0 for word in (words + [""])[:2])
    return quota / period if quota > 0 and period > 0 else None


def _memory_bytes(root: Path) -> int:
    total = _told(root / "proc/meminfo", r"^MemTotal:\s*(\d+) kB")
    sizes = [int(total) * 1024] if total else []
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        limit = _whole_number(read_text(root / "sys/fs/cgroup" / name).strip())
        if limit is not None and 0 < limit < _NO_MEMORY_LIMIT:
            sizes.append(limit)
    return min(sizes) if sizes else 0


# --- shared ---


def _numbered_nodes(root: Path, prefix: str) -> int:
    pattern = re.compile(re.escape(prefix) + r"\d+")
    try:
        return sum(1 for name in os.listdir(str(root / "dev")) if pattern.fullmatch(name))
    except OSError:
        return 0


def _visible_count(visible: str, count: int) -> int:
    """How many of `count` devices a list such as "0,2" leaves; it ends at its first bad entry."""
    kept = 0
    for word in visible.split(","):
        number = _whole_number(word.strip())
        by_name = number is None and word.strip().startswith(("GPU-", "MIG-"))
        if not by_name and (number is None or not 0 <= number < count):
            break
        kept += 1
    return min(kept, count)


def _whole_number(text: str) -> Optional[int]:
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def read_text(path: Path) -> str:
    """The text of a small file, "" where it can't be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _told(path: Path, pattern: str) -> str:
    """What the group of a pattern matches in a file, "" where nothing does."""
    match = re.search(pattern, read_text(path), re.MULTILINE | re.IGNORECASE)
    return match.group(1) if match else ""


# --- opened devices ---


@dataclass(frozen=True)
class OpenedDevice:
    """A framework's device, made this process's own; each framework's class adds what it needs.

    Attributes:
        kind: npu, gpu or cpu; index: its number on this machine; name: such as "Ascend910A".
        driver, runtime, framework: their versions, "" where there is none.
    """

    kind: str
    index: int
    name: str
    driver: str
    runtime: str
    framework: str

    def as_record(self, ranks: int) -> Dict[str, Any]:
        """The `device` part of a run's start event and record, for a job of `ranks` ranks."""
        return {
            "kind": self.kind,
            "name": self.name,
            "count": ranks,
            "driver": self.driver,
            "runtime": self.runtime,
            "framework": self.framework,
            "python": platform.python_version(),
        }
