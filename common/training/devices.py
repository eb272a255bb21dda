"""What the adapters of both frameworks say and do alike about devices and ranks."""

from __future__ import annotations

import os
import random
import resource
from typing import Any, Callable, Mapping, NamedTuple

import numpy

from common.core.errors import InfrastructureError, UsageError, ZooError
from common.machine import devices as machine
from common.machine import precision as arithmetic
from common.machine.precision import Capabilities, Precision
from common.machine.ranks import Place, under_slurm

RENDEZVOUS_SECONDS = 1800.0


class RunDevice(NamedTuple):
    """What a run computes on, before any of it is opened: "npu", "gpu" or "cpu", and how."""

    kind: str
    place: Place
    precision: Precision


def choose_run_device(
    options: Any,
    default_modes: Mapping[str, str],
    framework: str,
    launcher: str,
    find_place: Callable[[str], Place],
    capabilities: Callable[[str, int], Capabilities],
) -> RunDevice:
    """Reads device, device_id, ranks, precision_mode and loss_scale of some options.

    Args:
        default_modes: the card's precision mode by kind of device.
        framework: as precision.resolve has it. launcher: what starts its ranks beside zoo launch.
        find_place: which rank this is, by kind of device.
        capabilities: of the device, by its kind and number.

    Raises:
        ZooError: a device or a precision mode that can't be had.
        UsageError: another number of ranks than were started.
    """
    kind = options.device
    if kind == "auto":
        kind = machine.choose_device(kind, machine.detect())
    os.environ.update(under_slurm(os.environ))
    place = find_place(kind)
    if options.ranks not in (None, place.world_size):
        raise UsageError(
            f"--ranks {options.ranks} but this is one of {place.world_size} rank(s): start ranks "
            f"with `zoo launch` or {launcher}"
        )
    able = capabilities(kind, place.local_rank)
    mode = options.precision_mode or arithmetic.default_mode(default_modes, kind)
    precision = arithmetic.resolve(mode, framework, kind, able)
    if options.loss_scale is not None:
        precision = arithmetic.with_loss_scale(precision, options.loss_scale)
    return RunDevice(kind, place, precision)


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
