"""The learning rate as the recipes state it."""

from __future__ import annotations

import dataclasses

import pytest

from residual_attention_net.recipes import (
    RECIPES,
    learning_rate_factor,
    make_schedule,
    mixup_epochs,
)


def test_every_milestone_of_the_reference_fires_for_every_number_of_epochs() -> None:
    for epochs in range(1, 301):
        schedule = make_schedule(RECIPES["reference"], 64, 10, 10 * epochs, scale=True)
        rates = {schedule.at(step) for step in range(10 * epochs)}
        assert sorted(rates, reverse=True) == pytest.approx([0.1, 0.01, 0.001, 0.0001])


def test_milestones_of_300_epochs_are_after_epochs_90_180_and_270() -> None:
    schedule = make_schedule(RECIPES["reference"], 64, 782, 782 * 300, scale=True)
    for epoch, before, after in ((90, 0.1, 0.01), (180, 0.01, 0.001), (270, 0.001, 0.0001)):
        assert schedule.at(epoch * 782 - 1) == pytest.approx(before)
        assert schedule.at(epoch * 782) == pytest.approx(after)


@pytest.mark.parametrize("batch, scale", [(64, True), (4096, False)])
def test_the_published_batch_keeps_the_published_learning_rate(batch: int, scale: bool) -> None:
    """And any batch does, where scaling is turned off."""
    schedule = make_schedule(RECIPES["reference"], batch, 100, 1000, scale)
    assert (schedule.peak, schedule.warmup_steps) == (0.1, 0)


@pytest.mark.parametrize(
    "batch, factor", [(16, 1.0), (64, 1.0), (128, 2.0), (512, 8.0), (2048, 16.0)]
)
def test_a_larger_batch_scales_linearly_then_with_the_root(batch: int, factor: float) -> None:
    assert learning_rate_factor(batch, 64) == pytest.approx(factor)


def test_a_scaled_learning_rate_is_reached_by_a_linear_warm_up() -> None:
    schedule = make_schedule(RECIPES["reference"], 256, 100, 30000, scale=True)
    assert schedule.warmup_steps == 500
    assert schedule.at(0) == pytest.approx(0.4 / 500)
    assert schedule.at(249) == pytest.approx(0.2)
    assert schedule.at(499) == schedule.at(500) == pytest.approx(0.4)
    # Never more than a fifth of a short run.
    assert make_schedule(RECIPES["modern"], 256, 100, 50, scale=True).warmup_steps == 10


@pytest.mark.parametrize("shape, at_a_quarter", [("cosine", 0.1 * 0.8535534), ("linear", 0.075)])
def test_a_falling_schedule_goes_from_the_peak_to_zero(shape: str, at_a_quarter: float) -> None:
    recipe = dataclasses.replace(RECIPES["modern"], schedule=shape)
    schedule = make_schedule(recipe, 128, 10, 1050, scale=True)
    rates = [schedule.at(step) for step in range(schedule.warmup_steps, 1050)]
    assert schedule.warmup_steps == 50 and rates[0] == pytest.approx(0.1)
    assert (rates[250], rates[500]) == (pytest.approx(at_a_quarter), pytest.approx(0.05))
    assert all(later < earlier for earlier, later in zip(rates, rates[1:]))
    assert rates[-1] == pytest.approx(0.0, abs=1.5e-4)


def test_mixup_of_the_reference_is_off_in_the_last_20_of_320_epochs() -> None:
    assert mixup_epochs(RECIPES["reference_mixup"], 320) == 300
    changed = {"name": "reference", "mixup_alpha": 0.0, "mixup_free_share": 0.0}
    assert dataclasses.replace(RECIPES["reference_mixup"], **changed) == RECIPES["reference"]
