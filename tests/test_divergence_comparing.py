"""Which tensor is named first: planted errors, what is not finite, what is not comparable."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest

from common.evidence.divergence.comparing import measure
from common.evidence.divergence.outcome import (
    DIVERGES,
    INCONCLUSIVE,
    WITHIN,
    Outcome,
    compare_dumps,
)
from common.evidence.divergence.table import as_text
from common.evidence.divergence.tolerance import tolerance_for
from common.runs.dump.dump_format import Tensor
from common.runs.dump.reading import find_dump
from tests.divergence_dumps import LAYERS, inputs, step, write


def compared(tmp_path: Path, one, other, relative=None, **b) -> Outcome:
    write(tmp_path / "a", one)
    write(tmp_path / "b", other, **b)
    return compare_dumps(find_dump(tmp_path / "a"), find_dump(tmp_path / "b"), relative)


def test_equal_tensors_are_within_tolerance(tmp_path: Path) -> None:
    outcome = compared(tmp_path, step(), step())
    assert outcome.verdict == WITHIN
    assert {item.relative for item in outcome.differences} == {0.0}


def test_rounding_to_float32_is_within_tolerance(tmp_path: Path) -> None:
    outcome = compared(tmp_path, step(), step("float32"))
    assert outcome.verdict == WITHIN
    assert max(item.relative for item in outcome.differences) > 0


@pytest.mark.parametrize("layer", LAYERS)
def test_the_layer_with_the_planted_error_is_named_first(layer: str, tmp_path: Path) -> None:
    outcome = compared(tmp_path, step(), step("float32", planted=layer, size=1e-3))
    assert outcome.verdict == DIVERGES
    assert (outcome.first.kind, outcome.first.name) == ("activation", layer)
    assert outcome.first.relative == pytest.approx(1e-3, rel=1e-2)


def test_an_error_in_one_element_is_found_by_the_largest_difference(tmp_path: Path) -> None:
    wrong = step()
    values = np.zeros((1000, 1000), np.float32) + 1
    other = values.copy()
    other[7, 7] += 2e-3
    outcome = compared(
        tmp_path,
        [Tensor("wide", "activation", values), *step()],
        [Tensor("wide", "activation", other), *wrong],
    )
    assert outcome.first.name == "wide"
    assert outcome.first.relative < outcome.first.tolerance
    assert outcome.first.largest_relative > outcome.first.largest_tolerance


def test_float16_in_place_of_float32_leaves_the_tolerance(tmp_path: Path) -> None:
    outcome = compared(tmp_path, step(), step("float16"))
    assert outcome.first.name == "first"


def test_what_is_declared_as_float16_may_differ_by_its_rounding(tmp_path: Path) -> None:
    assert compared(tmp_path, step(), step("float16"), arithmetic="float16").verdict == WITHIN


def times(kind: str, name: str, factor: float) -> List[Tensor]:
    """A step with one tensor that is `factor` times what it should be."""
    return [
        dataclasses.replace(item, values=item.values * factor)
        if (item.kind, item.name) == (kind, name)
        else item
        for item in step()
    ]


@pytest.mark.parametrize("kind, name", [("gradient", "second"), ("weight", "third")])
def test_an_error_in_backward_pass_or_update_alone_is_named_there(
    kind: str, name: str, tmp_path: Path
) -> None:
    outcome = compared(tmp_path, step(), times(kind, name, 1.01))
    assert (outcome.first.kind, outcome.first.name) == (kind, name)


@pytest.mark.parametrize("factor", [0.0, 65536.0, 1 / 64])
def test_gradients_of_quite_another_size_leave_a_tolerance_that_is_above_their_own(
    factor: float, tmp_path: Path
) -> None:
    outcome = compared(tmp_path, step(), times("gradient", "third", factor), relative=3.0)
    assert (outcome.first.kind, outcome.first.name) == ("gradient", "third")
    assert outcome.first.relative < 3.0 and outcome.first.size_ratio >= 64
    assert "times as large as the other" in as_text(outcome)


def test_gradients_come_in_backward_order(tmp_path: Path) -> None:
    found = compared(tmp_path, step(), step()).differences
    assert [item.name for item in found if item.kind == "gradient"] == list(reversed(LAYERS))


def test_gradients_may_differ_by_the_root_of_what_activations_did() -> None:
    tolerance = tolerance_for("float32", "float32")
    assert tolerance.backward(9, 0.0) == tolerance.forward(9)
    assert tolerance.backward(10**4, 1e-6) == pytest.approx(5e-3)
    assert tolerance.backward(9, 0.9) == pytest.approx(5 * tolerance.forward(9) ** 0.5)


def test_the_tolerance_grows_with_the_root_of_the_depth(tmp_path: Path) -> None:
    found = compared(tmp_path, step(), step()).differences
    assert found[3].tolerance == pytest.approx(2 * found[0].tolerance)


def test_a_tolerance_that_was_given_holds_for_every_tensor(tmp_path: Path) -> None:
    other = step("float32", planted="third", size=1e-3)
    assert compared(tmp_path / "wide", step(), other, relative=0.1).verdict == WITHIN
    assert compared(tmp_path / "none", step(), step("float32"), relative=0.0).verdict == DIVERGES


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_first_tensor_that_is_not_finite_is_named(value: float, tmp_path: Path) -> None:
    outcome = compared(tmp_path, step(), step(poison=("second", value)))
    assert outcome.first.name == "second"
    assert (outcome.first.nonfinite_a, outcome.first.nonfinite_b) == (0, 1)


def test_a_gradient_that_is_rounding_error_alone_is_no_divergence(tmp_path: Path) -> None:
    def with_bias(noise: float):
        return [*step(), Tensor("bias", "gradient", np.full(4, noise))]

    assert compared(tmp_path, with_bias(1e-9), with_bias(-1e-9)).verdict == WITHIN


@pytest.mark.parametrize(
    "other, told",
    [
        (
            {"given": inputs(second=np.zeros((6, 6)))},
            "1 of 4 weights differ before the step (second)",
        ),
        (
            {"given": inputs(seed=2)},
            "1 of 1 tensors of the batch differ before the step (images)",
        ),
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
    other: Dict[str, Any], told: str, tmp_path: Path
) -> None:
    outcome = compared(tmp_path, step(), other.pop("other", step()), **other)
    assert outcome.verdict == INCONCLUSIVE
    assert outcome.obstacles == (told,)


def test_norms_are_taken_in_float64() -> None:
    ones = np.full(10**6, 1e-4, np.float16)
    assert measure(ones, ones).norm_a == pytest.approx(0.1, rel=1e-3)
