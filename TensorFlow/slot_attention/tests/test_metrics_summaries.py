"""Values over images and over seeds, summed up."""

from __future__ import annotations

import math

import numpy as np
import pytest

from slot_attention.metrics.summaries import Summary, summary


def test_nan_is_left_out_of_the_mean_and_counted():
    assert summary(np.array([1.0, np.nan, 0.5, np.nan])) == Summary(2, 2, 0.75, 0.25)


def test_summary_of_nothing_counted_is_nan():
    nothing = summary(np.array([np.nan]))
    assert (nothing.n, nothing.n_left_out) == (0, 1)
    assert math.isnan(nothing.mean) and math.isnan(nothing.std)


def test_summary_of_float32_values_is_in_float64():
    values = np.full(100000, 0.1, np.float32)
    assert summary(values).mean == pytest.approx(float(np.float32(0.1)), rel=1e-12)
