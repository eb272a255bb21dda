"""Learns the mean of random numbers: python -m mean_net.train --help."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

from common.core.command_line import run_program
from common.runs.events import RunLog
from common.runs.provenance import code_state, config_sha256
from mean_net.options import parser_of

MEAN = 0.5


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Trains; returns the exit code."""
    options = parser_of("mean_net.train").parse_args(argv)
    draws, learned = random.Random(options.seed), 0.0
    with RunLog(Path(options.output_path) / "rank_0") as log:
        log.event("start", **start_fields(options))
        for step in range(1, options.train_steps + 1):
            begin = time.perf_counter()
            batch = [draws.gauss(MEAN, 0.1) for _ in range(options.batch_size)]
            difference = sum(batch) / len(batch) - learned
            learned += 0.2 * difference
            log.event(
                "step",
                step=step,
                epoch=1,
                loss=difference**2,
                learning_rate=0.2,
                seconds=time.perf_counter() - begin,
                data_seconds=0.0,
                samples=options.batch_size,
            )
        log.event(
            "evaluation",
            split="test",
            role="final",
            epoch=1,
            step=options.train_steps,
            n=1,
            metrics={"closeness": 1 - abs(learned - MEAN)},
        )
        log.event("end", status="complete", reason="")
    return 0


def start_fields(options: Any) -> Dict[str, Any]:
    """What the first event says of the run."""
    config = {"train_steps": options.train_steps}
    return {
        "model": "mean_net",
        "task": "averaging",
        "network": {"name": "mean", "parameters": 1},
        "code": code_state(),
        "config": config,
        "config_sha256": config_sha256(config),
        "seed": options.seed,
        "resumed_step": 0,
        "rank": 0,
        "world_size": 1,
        "dataset": {
            "name": "gaussian",
            "predicate": "mean 0.5, deviation 0.1",
            "counts": {"train": 1, "test": 1},
            "manifest_sha256": "0" * 64,
        },
        "device": {
            "kind": "cpu",
            "name": "any",
            "count": 1,
            "driver": "",
            "runtime": "",
            "framework": "none",
            "python": "3",
        },
        "precision": {
            "mode": options.precision_mode,
            "arithmetic": "float64",
            "loss_scale": "none",
        },
        "batch": {"per_device": options.batch_size, "global": options.batch_size},
        "targets": {"steps": options.train_steps, "epochs": 1},
        "proof": "none is needed",
    }


if __name__ == "__main__":
    run_program(main)
