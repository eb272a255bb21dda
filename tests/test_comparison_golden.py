"""Comparisons of series with known noise: every number stays what it was."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple

import numpy as np
import pytest

from common.evidence.comparison.compared import compare
from common.evidence.comparison.presentation import as_json
from common.evidence.comparison.runs import Group, Judged, Run, Settings
from common.evidence.logs.series import Series
from tests.noisy_series import first_order_noise

GOLDEN = Path(__file__).resolve().parent / "golden" / "comparisons.json"
ACCURACY, LOSS = Judged("accuracy", True, 0.01), Judged("loss", False, 0.05, is_curve=True)


def run(
    coefficient: float,
    count: int,
    seed: int,
    ratio: float = 1.0,
    first: int = 100,
    accuracy: Optional[float] = None,
) -> Run:
    """A falling loss with AR(1) noise, a clock, and a final accuracy over 10,000 images."""
    steps = first + 100 * np.arange(count, dtype=np.int64)
    noise = first_order_noise(coefficient, count, 1, seed)[0]
    values = ratio * 0.002 * np.exp(-np.arange(count) / (5.0 * count)) * (1 + 0.15 * noise)
    clock = np.cumsum(0.8 + 0.05 * np.abs(first_order_noise(0, count, 1, seed + 77)[0]))
    series = {
        "loss": Series("loss", steps, values),
        "elapsed_seconds": Series("elapsed_seconds", steps, clock),
    }
    if accuracy is None:
        return Run("a.log", series, global_batch=64)
    points = np.array([accuracy - 0.02, accuracy + 0.003, accuracy])
    series["validation_accuracy"] = Series("validation_accuracy", steps[-3:], points)
    return Run("a.log", series, final={"accuracy": accuracy}, n_eval=10000, global_batch=64)


def of_seeds(first: int, count: int, **named: Any) -> Tuple[Run, ...]:
    return tuple(run(0.2, 300, first + number, **named) for number in range(count))


CASES: Dict[str, Tuple[Tuple[Run, ...], Tuple[Run, ...], Settings]] = {
    "equal": (
        (run(0.3, 300, 1, accuracy=0.91),),
        (run(0.3, 300, 1, accuracy=0.91),),
        Settings(ACCURACY, at_step=15000, target=0.0018),
    ),
    "shifted": (
        (run(0.3, 300, 1, accuracy=0.91),),
        (run(0.3, 300, 2, ratio=1.3, accuracy=0.85),),
        Settings(ACCURACY, at_step=29999),
    ),
    "strongly autocorrelated": (
        (run(0.9, 3000, 3, accuracy=0.91),),
        (run(0.9, 3000, 4, accuracy=0.93),),
        Settings(ACCURACY, window=1000),
    ),
    "short": ((run(0.2, 20, 5),), (run(0.2, 20, 6),), Settings(LOSS, at_step=1000)),
    "other steps": (
        (run(0.2, 400, 7, accuracy=0.5),),
        (run(0.2, 400, 8, first=150, accuracy=0.52),),
        Settings(ACCURACY, at_step=20000),
    ),
    "several seeds": (of_seeds(10, 3), of_seeds(20, 4, ratio=1.01), Settings(LOSS)),
    "a better loss": ((run(0.1, 500, 31),), (run(0.1, 500, 32, 0.8),), Settings(LOSS, window=200)),
    "percent": (
        (run(0.1, 500, 31, accuracy=95.0),),
        (run(0.1, 500, 32, accuracy=94.0),),
        Settings(Judged("accuracy", True, 0.5, unit="percent")),
    ),
}
KEYS = ("at_step", "end", "windows", "between_seeds", "final", "best_on_validation")
KEYS += ("throughput", "target", "common_steps")


def told(name: str) -> Dict[str, Any]:
    """The numbers and verdicts of a case."""
    reference, candidate, settings = CASES[name]
    compared = compare(Group("a", reference), Group("b", candidate), settings)
    content = json.loads(json.dumps(as_json(compared), allow_nan=False))
    found = {key: content[key] for key in KEYS}
    found["windows"] = len(content["windows"])
    for status in ("PrecisionStatus", "PerfStatus"):
        found[status] = content[status]["status"]
    return found


def numbers(content: Any, place: str = "") -> Iterator[Tuple[str, Any]]:
    """Every number, text and null of a content, by its place."""
    if isinstance(content, (dict, list)):
        pairs = content.items() if isinstance(content, dict) else enumerate(content)
        for key, part in pairs:
            yield from numbers(part, f"{place}.{key}")
    else:
        yield place, content


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_number_is_what_it_was(name: str) -> None:
    expected = dict(numbers(json.loads(GOLDEN.read_text(encoding="utf-8"))[name]))
    found = dict(numbers(told(name)))
    assert found.keys() == expected.keys()
    for place, value in expected.items():
        if isinstance(value, float):
            assert math.isclose(found[place], value, rel_tol=1e-9, abs_tol=1e-15), place
        else:
            assert found[place] == value, place
