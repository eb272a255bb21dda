"""The checks of `zoo doctor`: pure functions from what was found to findings with a remedy."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

from common.core.errors import FAIL, OK, WARN, Finding
from common.core.text import version_numbers
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
        _torchvision(facts),
        Finding(OK, "devices", summary(facts.machine)),  # none is no fault: a CPU trains, slower
        _cuda_build(facts),
        *of_ascend,
        _open_files(facts),
        _shared_memory(facts),
        _room(
            facts.machine.memory_bytes,
            ENOUGH_MEMORY,
            "memory",
            "use a smaller --batch_size and fewer ranks",  # a dataset lies in it as bytes
        ),
        _disk(facts),
        _datasets(facts),
        _compiler(facts),
    ]
    return [finding for finding in found if finding is not None]


def _python(facts: Surroundings) -> Finding:
    """3.7 is the reference stack's Python; 3.9 and later are the current stack's."""
    text = ".".join(str(number) for number in facts.python)
    if facts.python[:2] == (3, 7):
        return Finding(OK, "Python", text + " (stack: reference)")
    if facts.python[:2] >= (3, 9):
        return Finding(OK, "Python", text + " (stack: current)")
    return Finding(
        FAIL if facts.python[:2] < (3, 7) else WARN,
        "Python",
        text + " belongs to no tested stack",
        "use Python 3.7 or 3.11: scripts/setup.sh --stack auto",
    )


def _frameworks(facts: Surroundings) -> Finding:
    present = [f"{name} {facts.packages[name]}" for name in FRAMEWORKS if name in facts.packages]
    if present:
        return Finding(OK, "frameworks", ", ".join(present))
    return Finding(
        FAIL,
        "frameworks",
        "neither torch nor tensorflow is installed",
        "scripts/setup.sh --stack auto installs what the networks need",
    )


def _torchvision(facts: Surroundings) -> Optional[Finding]:
    """torchvision is optional, but has to match torch where it is there."""
    if "torch" not in facts.packages:
        return None
    if "torchvision" not in facts.packages:
        return Finding(OK, "torchvision", "not installed; only --loader torchvision needs it")
    torch, torchvision = facts.packages["torch"], facts.packages["torchvision"]
    wanted = _torchvision_for(version_numbers(torch))
    if version_numbers(torchvision)[:2] == wanted:
        return Finding(OK, "torchvision", torchvision)
    return Finding(
        WARN,
        "torchvision",
        f"{torchvision} is not made for torch {torch}",
        "install torchvision {}.{}, or remove it".format(*wanted),
    )


def _torchvision_for(torch: Tuple[int, ...]) -> Tuple[int, int]:
    """torch 1.x goes with torchvision 0.(x+1), torch 2.x with 0.(x+15)."""
    major, minor = (*torch, 0, 0)[:2]
    return (0, minor + 1) if major == 1 else (0, minor + 15)


def _cuda_build(facts: Surroundings) -> Optional[Finding]:
    """A CPU build of torch can't use the GPUs that are there."""
    torch = facts.packages.get("torch", "")
    if not facts.machine.gpu_count or not torch.endswith("+cpu"):
        return None
    return Finding(
        FAIL,
        "torch",
        f"{torch} is a CPU build, and there are GPUs",
        "install a CUDA build of torch, or give --device cpu",
    )


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
    return _room(
        facts.shared_memory,
        ENOUGH_SHARED_MEMORY,
        "shared memory",
        "start the container with --shm-size=8g",
    )


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
    return Finding(
        WARN,
        "datasets",
        f"none in {facts.data_folder}; embedded data works all the same",
        "set ZOO_DATA to the folder of the datasets, or give --data_path; "
        "zoo data prepare fetches them",
    )


def _compiler(facts: Surroundings) -> Finding:
    if facts.compiler:
        return Finding(OK, "C compiler", facts.compiler)
    remedy = "install gcc; without it torch.compile and source packages don't work"
    return Finding(WARN, "C compiler", "none found", remedy)


def _room(size: int, enough: float, what: str, remedy: str) -> Finding:
    if size >= enough:
        return Finding(OK, what, _gigabytes(size))
    return Finding(WARN, what, f"only {_gigabytes(size)}", remedy)


def _gigabytes(size: float) -> str:
    return f"{size / GIGABYTE:.1f} GB"
