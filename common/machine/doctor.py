"""The checks of `zoo doctor`: pure functions from what was found to findings with a remedy."""

from __future__ import annotations

import re
from typing import Any, List, Optional

from common.ascend.checks import examine_ascend
from common.ascend.rank_tables.checking import TableFinding, check_text, first_failure
from common.ascend.rank_tables.rules import CHIP_UNKNOWN
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
CLUSTER_VARIABLES = (
    "CM_CHIEF_IP",
    "CM_CHIEF_PORT",
    "CM_CHIEF_DEVICE",
    "CM_WORKER_SIZE",
    "CM_WORKER_IP",
)
RANK_VARIABLES = ("RANK_TABLE_FILE", "RANK_SIZE", "RANK_ID")


def examine(facts: Surroundings) -> List[Finding]:
    """All checks, in the order they are printed; "fail" only for what blocks training here."""
    found: List[Optional[Finding]] = [
        check_python(facts),
        check_frameworks(facts),
        check_torchvision(facts),
        check_accelerators(facts),
        check_cuda_build(facts),
        check_cann(facts),
        check_torch_npu(facts),
        check_apex(facts),
        *examine_ascend(facts),
        check_rank_variables(facts),
        check_rank_table(facts),
        check_tensorflow_log(facts),
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


def check_cann(facts: Surroundings) -> Optional[Finding]:
    """CANN, where there are NPUs (or CANN without them)."""
    prepared = facts.environment.get("ASCEND_HOME_PATH") or facts.environment.get("ASCEND_OPP_PATH")
    version = facts.cann or "of unknown version"
    if prepared:
        return Finding(OK, "CANN", f"{version}, prepared in {prepared}")
    if facts.cann_scripts:
        return Finding(OK, "CANN", f"{version}; launchers read {facts.cann_scripts[0]}")
    if facts.machine.npu_count:
        return Finding(
            FAIL,
            "CANN",
            "not found, and there are NPUs",
            "install the CANN toolkit, or source its set_env.sh",
        )
    return None


def check_torch_npu(facts: Surroundings) -> Optional[Finding]:
    """torch_npu is made for exactly one torch."""
    torch, torch_npu = facts.packages.get("torch"), facts.packages.get("torch-npu")
    blocking = FAIL if facts.machine.npu_count else WARN
    if torch is None or (torch_npu is None and not facts.machine.npu_count):
        return None
    release = torch.split("+")[0]
    remedy = f"pip install 'torch_npu=={release}.*'"
    if torch_npu is None:
        return Finding(blocking, "torch_npu", "not installed, and there are NPUs", remedy)
    if version_numbers(torch_npu)[:3] != version_numbers(torch)[:3]:
        return Finding(blocking, "torch_npu", f"{torch_npu} is not made for torch {torch}", remedy)
    return Finding(OK, "torch_npu", torch_npu)


def check_apex(facts: Surroundings) -> Optional[Finding]:
    """Three projects are called apex; on an NPU only Ascend's is of use."""
    version = facts.packages.get("apex")
    old_torch = (1,) <= version_numbers(facts.packages.get("torch", "")) < (2,)
    if version is None:
        if facts.machine.npu_count and old_torch:
            return Finding(
                WARN,
                "apex",
                "not installed: no O1 or O2 on this NPU",
                "build Ascend's apex for this torch, or use allow_mix_precision",
            )
        return None
    if "ascend" in version.lower():
        return Finding(OK, "apex", f"{version} (Ascend's)")
    if version_numbers(version) == (0, 1):
        status = WARN if facts.machine.npu_count else OK
        return Finding(
            status,
            "apex",
            f"{version} (NVIDIA's; not used here)",
            "replace it by Ascend's apex" if status == WARN else "",
        )
    return Finding(
        WARN,
        "apex",
        f"{version} is another project of the registry's",
        "pip uninstall apex; no network here needs it",
    )


# --- HCCL ---


def check_rank_variables(facts: Surroundings) -> Optional[Finding]:
    """RANK_* and CM_* exclude each other; even an empty variable counts as set."""
    cluster = [name for name in CLUSTER_VARIABLES if name in facts.environment]
    ranks = [name for name in RANK_VARIABLES if name in facts.environment]
    if not cluster or not ranks:
        return None
    return Finding(
        _blocking_on_npu(facts),
        "cluster variables",
        f"{ranks[0]} and {cluster[0]} are both set and exclude each other",
        "unset {}".format(" ".join(ranks)),
    )


def check_rank_table(facts: Surroundings) -> Optional[Finding]:
    """A forgotten RANK_TABLE_FILE turns a one-device run into a collective one."""
    if "RANK_TABLE_FILE" not in facts.environment:
        return None
    file = facts.environment["RANK_TABLE_FILE"]
    findings = check_text(facts.rank_table, file, CHIP_UNKNOWN)
    failure = first_failure(findings)
    if failure is not None:
        return _of_table(failure, _blocking_on_npu(facts))
    if int_or_zero(facts.environment.get("RANK_SIZE", "")) <= 1:
        return Finding(
            WARN,
            "rank table",
            "RANK_TABLE_FILE is set without RANK_SIZE above 1",
            "unset RANK_TABLE_FILE (the launcher leaves it out of 1p runs)",
        )
    warning = next((finding for finding in findings if finding.status == WARN), None)
    return _of_table(warning, WARN) if warning else Finding(OK, "rank table", file)


def _of_table(finding: TableFinding, status: str) -> Finding:
    """A table's finding as a line of the doctor."""
    place = f", {finding.place}" if finding.place else ""
    return Finding(
        status,
        "rank table",
        f"RANK_TABLE_FILE {finding.file}{place}: {finding.found}",
        f"{finding.remedy}, or unset RANK_TABLE_FILE",
    )


def check_tensorflow_log(facts: Surroundings) -> Optional[Finding]:
    """The proof that a graph was compiled for the NPU is an INFO line of TensorFlow's log."""
    level = facts.environment.get("TF_CPP_MIN_LOG_LEVEL", "0")
    has_tensorflow = any(name in facts.packages for name in FRAMEWORKS[1:])
    if not has_tensorflow or int_or_zero(level) == 0:
        return None
    return Finding(
        WARN,
        "TF_CPP_MIN_LOG_LEVEL",
        f"{level} hides the line that proves compilation for the NPU",
        "unset TF_CPP_MIN_LOG_LEVEL",
    )


def _blocking_on_npu(facts: Surroundings) -> str:
    return FAIL if facts.machine.npu_count else WARN


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


def int_or_zero(text: str) -> int:
    """The number a text holds, 0 where it holds none."""
    return int(text) if re.fullmatch(r"\d+", text.strip()) else 0
