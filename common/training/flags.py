"""Flags that the programs of several networks have; imports no numpy and no framework."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Callable, Optional, Tuple

from common.core.command_line import boolean
from common.core.flags import TRAININGS, Flags, count, flag, not_negative, path, unrecorded, whole
from common.machine.devices import REQUESTS

DECAYS = EXPONENTIAL, COSINE = "exponential", "cosine"  # of a learning rate
SAVED_MODEL, FROZEN, ONNX = FORMATS = ("saved_model", "frozen", "onnx")
TORCHSCRIPT = "torchscript"
FORMATS_OF_TORCH = (ONNX, TORCHSCRIPT)


_SPELLINGS = {"none": False, "cann": True, "ge": True}  # of the ModelZoo's scripts


def profiling(text: str) -> bool:
    """The type of the flag --profiling: true, false, or as the ModelZoo's scripts say it."""
    known = _SPELLINGS.get(text.lower())
    try:
        return boolean(text) if known is None else known
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error} (or None, CANN, GE)") from error


def _off(text: str) -> bool:
    """The type of a flag that torch's networks do not have: false, in any spelling."""
    if boolean(text):
        raise argparse.ArgumentTypeError(
            "only TensorFlow networks have it; leave it out: --dump_tensors K writes the tensors "
            "of a step, --profiling a profile"
        )
    return False


@dataclasses.dataclass(frozen=True)
class OffFlags(Flags):
    """What the ModelZoo's scripts give and only TensorFlow networks have, for those of torch."""

    data_dump_flag: bool = unrecorded(
        "only false", False, kind=_off, group="of TensorFlow, only false here"
    )
    over_dump: bool = unrecorded("only false", False, kind=_off)
    autotune: bool = unrecorded("only false", False, kind=_off)
    local_rank: Optional[int] = unrecorded(
        "changes nothing: torch.distributed.launch says it in the environment too"
    )
    data_dump_step: Optional[str] = unrecorded("changes nothing where nothing is dumped")


@dataclasses.dataclass(frozen=True)
class DumpFlags(Flags):
    """Which step is stored for zoo diverge, and where it begins; of trainings alone."""

    dump_tensors: Optional[int] = unrecorded(
        "store activations, gradients and updated weights of step K, for zoo diverge",
        kind=count,
        metavar="K",
        group="comparing runs",
        only=TRAININGS,
    )
    dump_from: Optional[str] = unrecorded(
        "begin at the step that RUN stored, with its weights, batch and noise, and store the same "
        "(one rank)",
        kind=path,
        metavar="RUN",
        only=TRAININGS,
    )


@dataclasses.dataclass(frozen=True)
class CheckpointFlags(Flags):
    """When checkpoints are written, and whether training goes on from one."""

    resume: bool = unrecorded(
        "go on from the newest checkpoint", False, group="checkpoints", only=TRAININGS
    )
    checkpoint_minutes: float = unrecorded(
        "longest time between checkpoints; 0: every step", 10.0, kind=not_negative, only=TRAININGS
    )
    keep_checkpoints: int = unrecorded("how many are kept", 3, kind=count, only=TRAININGS)


@dataclasses.dataclass(frozen=True)
class DeviceFlags(Flags):
    """What a run computes on: what devices.choose_run_device reads."""

    device: str = unrecorded(
        "what to compute on",
        "auto",
        kind=str.lower,
        choices=REQUESTS,
        names=("--chip", "--device_type"),
        group="device",
    )
    device_id: Optional[int] = unrecorded("which one", kind=whole)
    ranks: Optional[int] = unrecorded(
        "ranks of the job; checked against the launcher's, which starts them",
        kind=count,
        names=("--device_num",),
    )
    precision_mode: Optional[str] = flag("see docs/precision.md (default: by device)")
    loss_scale: Optional[str] = flag("a number, dynamic or none")


def _some_of(known: Tuple[str, ...]) -> Callable[[str], Tuple[str, ...]]:
    def formats(text: str) -> Tuple[str, ...]:
        names = tuple(text.split(","))
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return names

    return formats


@dataclasses.dataclass(frozen=True)
class ExportFlags(Flags):
    """What is written, for other programs, of which weights of a network."""

    checkpoint: str = flag(
        "a run folder, a checkpoint in it, or packed weights (.npz)",
        kind=path,
        names=("--checkpoint_dir",),
        required=True,
    )
    output_path: str = flag("folder for the files", kind=path, required=True)
    formats: Tuple[str, ...] = flag(
        f"of {', '.join(FORMATS)} (default: all)", FORMATS, kind=_some_of(FORMATS), metavar="NAME,…"
    )
    batch_size: int = flag("images at a time, fixed in the files", 1, kind=count)


@dataclasses.dataclass(frozen=True)
class TorchExportFlags(ExportFlags):
    """The same of a torch network."""

    formats: Tuple[str, ...] = flag(
        f"of {', '.join(FORMATS_OF_TORCH)} (default: all)",
        FORMATS_OF_TORCH,
        kind=_some_of(FORMATS_OF_TORCH),
        metavar="NAME,…",
    )
