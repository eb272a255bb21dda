"""The checks of `zoo doctor`: pure functions from what was found to findings with a remedy."""

from __future__ import annotations

from typing import List, Optional, Sequence

from common.core.errors import FAIL, OK, WARN, Finding
from common.machine.devices import summary
from common.machine.surroundings import Surroundings

GIGABYTE = 1e9
ENOUGH_OPEN_FILES, ENOUGH_OPEN_FILES_ON_NPU = 1024, 65535
ENOUGH_SHARED_MEMORY, ENOUGH_MEMORY = 1 * GIGABYTE, 4 * GIGABYTE
ENOUGH_DISK, LEAST_DISK = 5 * GIGABYTE, 0.2 * GIGABYTE
FRAMEWORKS = ("torch", "tensorflow", "tensorflow-cpu")


def examine(facts: Surroundings, of_ascend: Sequence[Finding] = ()) -> List[Finding]:
    """All checks, in the order they are printed; "fail" only for what blocks training here.

    Args:
        of_ascend: what common.ascend.checks found, printed among the devices.
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
