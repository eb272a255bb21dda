"""The run log of a rank and its first event, for training and evaluation alike."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any, Dict

from common.ascend.environment import with_hf32
from common.machine.precision import Precision
from common.runs.events import RunLog
from common.runs.provenance import code_state, config_sha256, shown_command
from common.runs.scalar_board import open_scalar_sink
from common.training.tensorflow.description import Subject
from common.training.tensorflow.runtime import TensorFlowDevice


@dataclasses.dataclass(frozen=True)
class Targets:
    """What the run is to do: batch of one rank, steps and epochs in all (0 to evaluate only)."""

    batch_size: int
    seed: int
    steps: int = 0
    epochs: int = 0
    resumed_step: int = 0


def open_run_log(output_path: Path, device: TensorFlowDevice) -> RunLog:
    """The run log of this rank; the first rank writes TensorBoard too."""
    rank = device.place.rank
    board = open_scalar_sink(Path(output_path) / "tensorboard") if rank == 0 else None
    return RunLog(Path(output_path) / f"rank_{rank}", board)


def start_event(
    subject: Subject,
    device: TensorFlowDevice,
    precision: Precision,
    targets: Targets,
    parameters: int,
    proof: str,
) -> Dict[str, Any]:
    """What the run log says first: everything a record needs that is known before the work.

    Args:
        parameters: numbers that are trained, step_graph.parameter_count.
        proof: tf_runtime.proof.
    """
    config, size = dict(subject.config), device.place.world_size
    network = {"multiply_accumulates": None, **subject.network, "parameters": parameters}
    return {
        "model": subject.model,
        "task": subject.task,
        "command": shown_command(sys.argv, subject.package),
        "config": config,
        "config_sha256": config_sha256(config),
        "code": code_state(),
        "network": network,
        "dataset": dict(subject.dataset),
        "device": device.as_record(size),
        "precision": with_hf32(precision.as_record(), precision.device_kind),
        "batch": {"per_device": targets.batch_size, "global": targets.batch_size * size},
        "seed": targets.seed,
        "targets": {"steps": targets.steps, "epochs": targets.epochs},
        "resumed_step": targets.resumed_step,
        "rank": device.place.rank,
        "world_size": size,
        "first_batches_sha256": subject.first_batches_sha256,
        "proof": proof,
    }
