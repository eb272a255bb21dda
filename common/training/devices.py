"""What the adapters of both frameworks say and do alike about devices and ranks."""

from __future__ import annotations

import os
import random
import resource

import numpy

from common.core.errors import InfrastructureError, UsageError, ZooError

RENDEZVOUS_SECONDS = 1800.0


def require_device(kind: str, index: int, count: int, framework: str, built: bool = True) -> None:
    """Raises where a framework does not see accelerator number `index` of `count`.

    Args:
        framework: with its version; built: whether it is made for that kind at all.
    """
    if not built or count == 0:
        tool, variable = {
            "gpu": ("nvidia-smi", "CUDA_VISIBLE_DEVICES"),
            "npu": ("npu-smi info", "ASCEND_RT_VISIBLE_DEVICES"),
        }[kind]
        why = f"finds no {kind.upper()} it can use; see {tool} and {variable}"
        if not built:
            why = "is built without CUDA; install a CUDA build of it"
        raise ZooError(f"--device {kind}: {framework} {why}, or give --device cpu")
    if not 0 <= index < count:
        raise UsageError(
            f"--device_id {index}: {framework} sees {count} {kind} device(s) here; give one from "
            f"0 to {count - 1}"
        )


def without_plugin(plugin: str, error: Exception, advice: str) -> ZooError:
    """What is wrong where Ascend's plugin of a framework can't be imported."""
    if isinstance(error, ModuleNotFoundError):
        return ZooError(f"--device npu needs {plugin}, which is not installed: {advice}")
    return ZooError(
        f"--device npu: {plugin} does not load ({error}); source CANN's set_env.sh; {advice}"
    )


def ranks_did_not_meet(rank: int, world_size: int, address: str, why: str) -> InfrastructureError:
    """What is wrong where ranks could not join, with the flags that say where they meet."""
    return InfrastructureError(
        f"rank {rank} of {world_size} did not meet the others at {address}: {why}; see the other "
        "ranks' logs, --master_addr and --master_port"
    )


def meeting_address() -> str:
    """Where the environment says that ranks meet."""
    names = ("MASTER_ADDR", "MASTER_PORT")
    return ":".join(os.environ.get(name) or f"(no {name})" for name in names)


def seed_python_and_numpy(seed: int) -> None:
    """Seeds the generators that no framework seeds."""
    random.seed(seed)
    numpy.random.seed(seed % (1 << 32))


def process_memory_peak() -> int:
    """The most memory this process had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
