"""The checks of `zoo doctor`: pure functions from what was found to findings with a remedy."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence

from common.core.findings import FAIL, OK, WARN, Finding
from common.core.versions import version_numbers
from common.machine.devices import summary
from common.machine.surroundings import Surroundings

GIGABYTE = 1e9
ENOUGH_OPEN_FILES = 1024
ENOUGH_OPEN_FILES_ON_NPU = 65535
ENOUGH_SHARED_MEMORY = 1 * GIGABYTE
ENOUGH_MEMORY = 4 * GIGABYTE
ENOUGH_DISK = 5 * GIGABYTE
LEAST_DISK = 0.2 * GIGABYTE
FRAMEWORKS = ("torch", "tensorflow", "tensorflow-cpu")


def examine(facts: Surroundings, of_ascend: Sequence[Finding] = ()) -> List[Finding]:
    """All checks, in the order they are printed; "fail" only for what blocks training here.

    Args:
        of_ascend: what common.ascend.checks found, printed among the devices.
    """
    found: List[Optional[Finding]] = [
        check_python(facts),
        check_frameworks(facts),
        check_torchvision(facts),
        check_accelerators(facts),
        check_cuda_build(facts),
        *of_ascend,
        check_open_files(facts),
        check_shared_memory(facts),
        check_memory(facts),
        check_disk(facts),
        check_datasets(facts),
        check_compiler(facts),
    ]
    return [finding for finding in found if finding is not None]


# --- Python and packages ---


def check_python(facts: Surroundings) -> Finding:
    """3.7 is the reference stack's Python; 3.9 and later are the current stack's."""
    text = ".".join(str(number) for number in facts.python)
    if facts.python[:2] == (3, 7):
        return Finding(OK, "Python", text + " (stack: reference)")
    if facts.python[:2] >= (3, 9):
        return Finding(OK, "Python", text + " (stack: current)")
    status = FAIL if facts.python[:2] < (3, 7) else WARN
    return Finding(
        status,
        "Python",
        text + " belongs to no tested stack",
        "use Python 3.7 or 3.11: scripts/setup.sh --stack auto",
    )


def check_frameworks(facts: Surroundings) -> Finding:
    """At least one framework has to be there."""
    present = [f"{name} {facts.packages[name]}" for name in FRAMEWORKS if name in facts.packages]
    if not present:
        return Finding(
            FAIL,
            "frameworks",
            "neither torch nor tensorflow is installed",
            "scripts/setup.sh --stack auto installs what the networks need",
        )
    return Finding(OK, "frameworks", ", ".join(present))


def check_torchvision(facts: Surroundings) -> Optional[Finding]:
    """torchvision is optional, but has to match torch where it is there."""
    if "torch" not in facts.packages:
        return None
    if "torchvision" not in facts.packages:
        return Finding(OK, "torchvision", "not installed; only --loader torchvision needs it")
    torch, torchvision = facts.packages["torch"], facts.packages["torchvision"]
    if version_numbers(torchvision)[:2] == _torchvision_for(version_numbers(torch)):
        return Finding(OK, "torchvision", torchvision)
    return Finding(
        WARN,
        "torchvision",
        f"{torchvision} is not made for torch {torch}",
        "install torchvision {}.{}, or remove it".format(*_torchvision_for(version_numbers(torch))),
    )


def _torchvision_for(torch: Any) -> Any:
    """torch 1.x goes with torchvision 0.(x+1), torch 2.x with 0.(x+15)."""
    major, minor = (tuple(torch) + (0, 0))[:2]
    return (0, minor + 1) if major == 1 else (0, minor + 15)


# --- accelerators ---


def check_accelerators(facts: Surroundings) -> Finding:
    """Having none is no fault: everything trains on a CPU, only slower."""
    return Finding(OK, "devices", summary(facts.machine))


def check_cuda_build(facts: Surroundings) -> Optional[Finding]:
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


# --- limits and room ---


def check_open_files(facts: Surroundings) -> Finding:
    """Loader workers and HCCL hold many files open."""
    enough = ENOUGH_OPEN_FILES_ON_NPU if facts.machine.npu_count else ENOUGH_OPEN_FILES
    limit = facts.open_files
    text = "unlimited" if limit < 0 else str(limit)
    if limit < 0 or limit >= enough:
        return Finding(OK, "open files", text)
    return Finding(WARN, "open files", f"only {text}", f"ulimit -n {enough}")


def check_shared_memory(facts: Surroundings) -> Finding:
    """Loader workers hand batches over through /dev/shm; containers have 64 MB by default."""
    if facts.shared_memory is None:
        return Finding(
            WARN,
            "shared memory",
            "there is no /dev/shm",
            "mount one, or use the default loader, which has no workers",
        )
    return _room(
        facts.shared_memory,
        ENOUGH_SHARED_MEMORY,
        "shared memory",
        "start the container with --shm-size=8g",
    )


def check_memory(facts: Surroundings) -> Finding:
    """The whole dataset lies in memory as bytes."""
    return _room(
        facts.machine.memory_bytes,
        ENOUGH_MEMORY,
        "memory",
        "use a smaller --batch_size and fewer ranks",
    )


def check_disk(facts: Surroundings) -> Finding:
    """Checkpoints and logs need room where runs are written."""
    if facts.disk_free < LEAST_DISK:
        return Finding(
            FAIL,
            "disk",
            f"{_gigabytes(facts.disk_free)} free in {facts.disk_folder}",
            "free some, or give another --output_path",
        )
    return _room(facts.disk_free, ENOUGH_DISK, "disk", "free some, or give another --output_path")


def check_datasets(facts: Surroundings) -> Finding:
    """Embedded data needs none of these."""
    if facts.datasets:
        return Finding(
            OK, "datasets", "{} in {}".format(", ".join(facts.datasets), facts.data_folder)
        )
    return Finding(
        WARN,
        "datasets",
        f"none in {facts.data_folder}; embedded data works all the same",
        "set ZOO_DATA to the folder of the datasets, or give --data_path; "
        "zoo data prepare fetches them",
    )


def check_compiler(facts: Surroundings) -> Finding:
    """torch.compile needs a C compiler on a CPU, and so do packages without a wheel."""
    if facts.compiler:
        return Finding(OK, "C compiler", facts.compiler)
    return Finding(
        WARN,
        "C compiler",
        "none found",
        "install gcc; without it torch.compile and source packages don't work",
    )


def _room(size: int, enough: float, what: str, remedy: str) -> Finding:
    if size >= enough:
        return Finding(OK, what, _gigabytes(size))
    return Finding(WARN, what, f"only {_gigabytes(size)}", remedy)


def _gigabytes(size: float) -> str:
    return f"{size / GIGABYTE:.1f} GB"
