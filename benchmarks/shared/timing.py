"""Timed steps of a variant."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping


@dataclass(frozen=True)
class Timing:
    """What some steps took: seconds in all, and seconds of those spent waiting for batches."""

    seconds: float
    wait_seconds: float
    loss: float


# Does so many steps.
Trainer = Callable[[int], Timing]


def graph_trainer(running: Any, fetches: Mapping[str, Any]) -> Trainer:
    """Steps as common.training.tensorflow.loop takes them: one run of the session each.

    Args:
        running: a tf.Session with every variable and iterator in place.
        fetches: a StepGraph's: "waited" and "loss" among them.
    """

    def run(count: int) -> Timing:
        waited, loss = 0.0, float("nan")
        began = time.perf_counter()
        for _ in range(count):
            values = running.run(fetches)
            waited += float(values["waited"])
            loss = float(values["loss"])
        return Timing(time.perf_counter() - began, waited, loss)

    return run
