"""The operations that the floor is made of."""

from __future__ import annotations

import pytest

pytest.importorskip("tensorflow")

from benchmarks.slot_attention.machine import needs_of_task  # noqa: E402

pytestmark = pytest.mark.tensorflow

GMAC = 1e9


def test_object_discovery_takes_21_gmac_forward():
    # The first convolution passes no gradient on, so it has two of the three passes.
    assert needs_of_task("object_discovery").operations / 6 / GMAC == pytest.approx(21, rel=0.01)


def test_weights_are_those_of_the_convolutions():
    # Three, four and one of 5x5x64x64, the first and the last layer beside them.
    assert needs_of_task("object_discovery").weights == 8 * 102400 + 25 * 3 * 64 + 9 * 64 * 4


def test_half_the_bytes_a_number_halve_the_activations_alone():
    needs = needs_of_task("set_prediction")
    both = [needs.bytes_per_image(kind, 16) for kind in ("fp32", "bf16")]
    assert both[0] - both[1] == 2 * needs.activations
