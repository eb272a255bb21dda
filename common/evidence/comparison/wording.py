"""Numbers of a comparison as people read them."""

from __future__ import annotations

import math
from typing import Optional

from common.evidence.comparison.statistics import Estimate, MeanOfSeries

DASH = "–"


def number(value: float) -> str:
    """A logged value: as many digits as say something."""
    return f"{value:.4g}" if math.isfinite(value) else str(value)


def signed(value: float) -> str:
    """A difference, always with its sign."""
    return f"{value:+.3g}" if math.isfinite(value) else DASH


def percent(share: float) -> str:
    """A relative difference: -8.5 %."""
    if not math.isfinite(share):
        return DASH
    return "{:+.{}f} %".format(100 * share, 1 if abs(share) < 1 else 0)


def relative(estimate: Estimate) -> str:
    """A relative difference with its interval."""
    if not math.isfinite(estimate.value):
        return DASH
    if not estimate.is_known:
        return percent(estimate.value) + " [no interval]"
    return f"{percent(estimate.value)} [{percent(estimate.low)}, {percent(estimate.high)}]"


def absolute(estimate: Estimate) -> str:
    """A difference with its interval."""
    if not estimate.is_known:
        return signed(estimate.value)
    return f"{signed(estimate.value)} [{signed(estimate.low)}, {signed(estimate.high)}]"


def level(mean: MeanOfSeries) -> str:
    """A mean with the noise of one sample: 0.00102 ± 0.00019."""
    if not math.isfinite(mean.noise) or mean.noise <= 0:
        return number(mean.mean.value)
    decimals = max(1 - int(math.floor(math.log10(mean.noise))), 0)
    return "{:.{d}f} ± {:.{d}f}".format(mean.mean.value, mean.noise, d=decimals)


def rate(estimate: Estimate, unit: str) -> str:
    """A throughput."""
    return f"{estimate.value:.4g} {unit}/s"


def times(estimate: Estimate) -> str:
    """A ratio with its interval: 3.25x [3.22, 3.27]."""
    if not math.isfinite(estimate.value):
        return DASH
    if not estimate.is_known:
        return f"{estimate.value:.2f}x [no interval]"
    return f"{estimate.value:.2f}x [{estimate.low:.2f}, {estimate.high:.2f}]"


def duration(seconds: Optional[float]) -> str:
    """A time as H:MM:SS; hours may be more than a day's."""
    if seconds is None:
        return "time not told"
    minutes, rest = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
