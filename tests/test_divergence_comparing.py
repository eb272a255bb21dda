"""Which tensor is named first: planted errors, what is not finite, what is not comparable."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
import pytest

from common.evidence.divergence.comparing import (
    DIVERGES,
    INCONCLUSIVE,
    WITHIN,
    Outcome,
    compare_dumps,
    measure,
    tolerance_for,
)
from common.evidence.divergence.table import as_text
from common.runs.dump.dump_format import Tensor
from common.runs.dump.reading import find_dump
from tests.divergence_dumps import LAYERS, inputs, step, write


def compared(
    tmp_path: Path, other: List[Tensor], one: Any = None, relative: Any = None, **b: Any
) -> Outcome:
    write(tmp_path / "a", step() if one is None else one)
    write(tmp_path / "b", other, **b)
    return compare_dumps(find_dump(tmp_path / "a"), find_dump(tmp_path / "b"), relative)


def times(kind: str, name: str, factor: float) -> List[Tensor]:
    """A step with one tensor that is `factor` times what it should be."""
    return [
        dataclasses.replace(item, values=item.values * factor)
        if (item.kind, item.name) == (kind, name)
        else item
        for item in step()
    ]


def with_bias(noise: float) -> List[Tensor]:
    return [*step(), Tensor("bias", "gradient", np.full(4, noise))]


@pytest.mark.parametrize(
    "other, changes",
    [
        (step(), {}),
        (step("float32"), {}),
        (step("float16"), {"arithmetic": "float16"}),
        (step("float32", planted="third", size=1e-3), {"relative": 0.1}),
        # a gradient that is rounding error alone
        (with_bias(-1e-9), {"one": with_bias(1e-9)}),
    ],
)
def test_what_rounding_explains_is_within_tolerance(
    other: List[Tensor], changes: Dict[str, Any], tmp_path: Path
) -> None:
    assert compared(tmp_path, other, **changes).verdict == WITHIN


@pytest.mark.parametrize(
    "other, relative, kind, name",
    [
        *(
            (step("float32", planted=layer, size=1e-3), None, "activation", layer)
            for layer in LAYERS
        ),
        (step("float16"), None, "activation", "first"),
        (step("float32"), 0.0, "activation", "first"),
        (times("gradient", "second", 1.01), None, "gradient", "second"),
        (times("weight", "third", 1.01), None, "weight", "third"),
        (step(poison=("second", np.nan)), None, "activation", "second"),
        (step(poison=("second", np.inf)), None, "activation", "second"),
        # of quite another size, which a tolerance above their own would hide
        (times("gradient", "third", 0.0), 3.0, "gradient", "third"),
        (times("gradient", "third", 65536.0), 3.0, "gradient", "third"),
        (times("gradient", "third", 1 / 64), 3.0, "gradient", "third"),
    ],
)
def test_the_first_tensor_that_is_wrong_is_named(
    other: List[Tensor], relative: Optional[float], kind: str, name: str, tmp_path: Path
) -> None:
    outcome = compared(tmp_path, other, relative=relative)
    assert outcome.verdict == DIVERGES and outcome.first is not None
    assert (outcome.first.kind, outcome.first.name) == (kind, name)
    if relative == 3.0:
        assert outcome.first.size_ratio >= 64
        assert "times as large as the other" in as_text(outcome)


def test_an_error_in_one_element_is_found_by_the_largest_difference(tmp_path: Path) -> None:
    values = np.ones((1000, 1000), np.float32)
    other = values.copy()
    other[7, 7] += 2e-3
    one, two = ([Tensor("wide", "activation", array), *step()] for array in (values, other))
    first = compared(tmp_path, two, one).first
    assert first is not None and first.name == "wide"
    assert first.relative < first.tolerance
    assert first.largest_relative > first.largest_tolerance


def test_tensors_come_in_execution_order_and_the_tolerance_grows_with_depth(
    tmp_path: Path,
) -> None:
    found = compared(tmp_path, step()).differences
    assert [item.name for item in found if item.kind == "gradient"] == list(reversed(LAYERS))
    assert found[3].tolerance == pytest.approx(2 * found[0].tolerance)
    tolerance = tolerance_for("float32", "float32")
    assert tolerance.backward(9, 0.0) == tolerance.forward(9)
    assert tolerance.backward(10**4, 1e-6) == pytest.approx(5e-3)
    assert tolerance.backward(9, 0.9) == pytest.approx(5 * tolerance.forward(9) ** 0.5)


@pytest.mark.parametrize(
    "changes, told",
    [
        (
            {"given": inputs(second=np.zeros((6, 6)))},
            "1 of 4 weights differ before the step (second)",
        ),
        ({"given": inputs(seed=2)}, "1 of 1 tensors of the batch differ before the step (images)"),
        (
            {"given": inputs()[:-1] + [Tensor("learning_rate", "setting", np.asarray(0.2))]},
            "1 of 1 settings differ before the step (learning_rate)",
        ),
        ({"other": step()[1:]}, "1 of 13 tensors are in A only (activation first)"),
        (
            {"network": {"name": "other"}},
            "the network differs: A has name toy, width 6, B has name other",
        ),
        ({"world_size": 2}, "the number of ranks differs: A has 1, B has 2"),
        (
            {"other": [Tensor("first", "activation", np.zeros((2, 6))), *step()[1:]]},
            "activation first is [8, 6] in A, [2, 6] in B",
        ),
    ],
)
def test_what_is_not_the_same_computation_is_inconclusive_and_told(
    changes: Dict[str, Any], told: str, tmp_path: Path
) -> None:
    outcome = compared(tmp_path, **{"other": step(), **changes})
    assert outcome.verdict == INCONCLUSIVE
    assert outcome.obstacles == (told,)


def test_norms_are_taken_in_float64() -> None:
    ones = np.full(10**6, 1e-4, np.float16)
    assert measure(ones, ones).norm_a == pytest.approx(0.1, rel=1e-3)
