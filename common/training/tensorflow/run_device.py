"""What a run computes on, by its flags: the device's kind, this process's rank, the precision."""

from __future__ import annotations

import os
from typing import Any, Mapping, NamedTuple, Optional

from common.core.errors import UsageError
from common.machine.devices import choose_device, detect
from common.machine.precision import Precision, default_mode, resolve, with_loss_scale
from common.machine.ranks import Place, find_tensorflow_place, under_slurm
from common.training.tensorflow import runtime as tf_runtime


class RunDevice(NamedTuple):
    """The kind of device ("npu", "gpu", "cpu"), which rank this is, and the arithmetic."""

    kind: str
    place: Place
    precision: Precision


def choose_run_device(options: Any, default_modes: Mapping[str, str]) -> RunDevice:
    """Reads device, device_id, ranks, precision_mode and loss_scale of some options.

    Args:
        default_modes: the card's precision mode by kind of device.

    Raises:
        ZooError: a device or a precision mode that can't be had.
        UsageError: another number of ranks than were started.
    """
    kind = options.device
    if kind == "auto":
        kind = choose_device(kind, detect())
    os.environ.update(under_slurm(os.environ))
    place = find_tensorflow_place(os.environ, kind, options.device_id)
    if options.ranks is not None and options.ranks != place.world_size:
        raise UsageError(
            f"--ranks {options.ranks} but this is one of {place.world_size} rank(s): "
            "start ranks with `zoo launch` "
            "or horovodrun"
        )
    return RunDevice(
        kind,
        place,
        _precision(
            options.precision_mode or default_mode(default_modes, kind),
            kind,
            place,
            options.loss_scale,
        ),
    )


def _precision(mode: str, kind: str, place: Place, loss_scale: Optional[str]) -> Precision:
    precision = resolve(mode, "tensorflow", kind, tf_runtime.capabilities(kind, place.local_rank))
    return precision if loss_scale is None else with_loss_scale(precision, loss_scale)
