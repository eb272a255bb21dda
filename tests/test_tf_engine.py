"""What TensorFlow's engine alone does: data in the graph, weights by name, loops on the device."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.core.errors import ZooError
from common.runs.events import read_events
from common.training.tensorflow import engine
from common.training.tensorflow.runtime import tf
from tests.toy_tensorflow import run_toy
from tests.toys import Toy, events

pytestmark = pytest.mark.tensorflow


def test_data_that_end_too_early_are_told(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="data ended before the last step"):
        run_toy(tmp_path, 20, batches=9)


@pytest.mark.long
def test_slow_data_are_seen_as_waiting(tmp_path: Path) -> None:
    # With one thread the pipeline's own sleep may keep the step from looking at the clock.
    assert Toy("tensorflow").start(tmp_path, 20, "pause=0.05", OMP_NUM_THREADS="2").wait() == 0
    waits = [event["data_seconds"] for event in events(tmp_path, "step")[4:]]
    assert sum(waits) / len(waits) > 0.025


def test_diagnostics_come_every_so_many_steps(tmp_path: Path) -> None:
    run_toy(tmp_path, 10, diagnostics_every=4)
    found = list(read_events(tmp_path / "rank_0/metrics.jsonl"))
    told = [
        (event["step"], sorted(event["values"]))
        for event in found
        if event["event"] == "diagnostics"
    ]
    assert told == [(4, ["gradient_norm", "largest"]), (8, ["gradient_norm", "largest"])]


@pytest.mark.parametrize(
    "text, told",
    [
        ("HcomAllReduce_3: rank 1 is gone\n  a long tail", True),
        ("Horovod has been shut down", True),
        ("an operation failed\n  near HcomAllReduce_3", False),
    ],
)
def test_a_rank_that_is_gone_is_told_and_nothing_else_is_taken_for_it(
    text: str, told: bool
) -> None:
    found = engine.told_error(tf.errors.InternalError(None, None, text))
    assert (found is not None) is told
    assert found is None or "long tail" not in str(found)


@pytest.mark.parametrize(
    "first, last, iterations, end",
    [(0, 200, 10, 200), (99, 200, 10, 209), (0, 7, 2, 8), (3, 6, 2, 7), (7, 7, 2, 7), (5, 9, 1, 9)],
)
def test_loops_go_on_from_any_step_and_end_whole(
    first: int, last: int, iterations: int, end: int
) -> None:
    assert engine.end_of_loops(first, last, iterations) == end


def test_profile_writes_a_timeline(tmp_path: Path) -> None:
    run_toy(tmp_path, 12, profile=True)
    trace = json.loads((tmp_path / "profile/timeline_step_00000010.json").read_text())
    assert any("MatMul" in event.get("name", "") for event in trace["traceEvents"])
