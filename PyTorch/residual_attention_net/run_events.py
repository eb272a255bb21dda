"""What a run says of itself in the run log: where it began, with what, and how it ended."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any, Dict, Optional

from common.runs.events import RunLog
from common.runs.provenance import code_state, config_sha256, shown_command
from common.runs.scalar_board import open_scalar_sink
from common.training.torch import runtime as torch_runtime
from residual_attention_net.data.loader import first_batches_sha256
from residual_attention_net.session import Session, augmentation_of
from residual_attention_net.training import Targets

MODEL, TASK = "residual_attention_net", "classification"


def open_run_log(session: Session) -> RunLog:
    """The run log of this rank; the first rank writes TensorBoard too."""
    folder = Path(session.options.output_path)
    board = open_scalar_sink(folder / "tensorboard") if session.is_first else None
    return RunLog(folder / f"rank_{session.place.rank}", board)


def start_event(session: Session, targets: Targets, resumed_step: int) -> Dict[str, Any]:
    """What the run log says first: everything a record needs that is known before training."""
    options = session.options
    config = effective_config(session)
    return {
        "model": MODEL,
        "task": TASK,
        "command": shown_command(sys.argv, MODEL),
        "config": config,
        "config_sha256": config_sha256(config),
        "code": code_state(),
        "network": {
            "name": options.network,
            "parameters": session.complexity.parameters,
            "multiply_accumulates": session.complexity.multiply_accumulates,
        },
        "dataset": {
            "name": session.splits.name,
            "predicate": session.splits.predicate,
            "counts": session.splits.counts,
            "manifest_sha256": session.splits.manifest_sha256,
        },
        "device": session.device.as_record(session.place.world_size),
        "precision": session.precision.as_record(),
        "batch": {"per_device": options.train_batch_size, "global": session.global_batch},
        "seed": options.seed,
        "targets": {"steps": targets.steps, "epochs": targets.epochs},
        "resumed_step": resumed_step,
        "rank": session.place.rank,
        "world_size": session.place.world_size,
        "first_batches_sha256": _first_batches(session),
        "proof": torch_runtime.proof(session.device, session.network),
    }


def effective_config(session: Session) -> Dict[str, Any]:
    """The flags that decide the result, with what recipe and dataset made of them."""
    config = session.options.config()
    config["recipe_values"] = dataclasses.asdict(session.recipe)
    config["augmentation"] = dataclasses.asdict(augmentation_of(session.options, session.recipe))
    config["channels_last"] = session.channels_last
    return config


def _first_batches(session: Session) -> Optional[str]:
    if session.train_loader is None or session.options.loader != "device":
        return None
    return first_batches_sha256(session.train_loader)
