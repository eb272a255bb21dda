"""The operations that the floor is made of."""

from __future__ import annotations

import pytest

pytest.importorskip("tensorflow")

from benchmarks.protoattend.machine import layers_of, needs_of_encoder  # noqa: E402

pytestmark = pytest.mark.tensorflow


def test_a_step_takes_the_stated_operations():
    assert needs_of_encoder().operations * (128 + 1024) == pytest.approx(366e9, rel=0.01)


def test_the_encoder_has_31_convolutions_and_two_shortcuts():
    kernels = [layer.kernel for layer in layers_of()]
    assert (kernels.count(3), kernels.count(1)) == (31, 2)


def test_half_the_bytes_a_number_halve_the_activations_alone():
    needs = needs_of_encoder()
    both = [needs.bytes_per_image(kind, 1152) for kind in ("fp32", "bf16")]
    assert both[0] - both[1] == 2 * needs.activations
