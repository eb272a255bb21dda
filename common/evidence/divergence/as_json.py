"""A comparison of dumps as JSON can hold it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Dict, Optional

from common.evidence.divergence.comparing import Difference
from common.evidence.divergence.outcome import Outcome
from common.evidence.divergence.tolerance import MAX_FACTOR, SIZE_FACTOR

SCHEMA_VERSION = 1


def content_of(outcome: Outcome) -> Dict[str, Any]:
    """The comparison as dictionaries and numbers; null where there is none."""
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": outcome.verdict,
        "a": dict(dataclasses.asdict(outcome.a), folder=outcome.labels[0]),
        "b": dict(dataclasses.asdict(outcome.b), folder=outcome.labels[1]),
        "tolerance": dict(
            dataclasses.asdict(outcome.tolerance),
            largest_factor=MAX_FACTOR,
            size_factor=SIZE_FACTOR,
        ),
        "inputs": outcome.inputs,
        "obstacles": list(outcome.obstacles),
        "notes": list(outcome.notes),
        "first": _item(outcome.first),
        "tensors": [_item(item) for item in outcome.differences],
    }


def _item(item: Optional[Difference]) -> Optional[Dict[str, Any]]:
    if item is None:
        return None
    content = dict(dataclasses.asdict(item), within=item.is_within, shape=list(item.shape))
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in content.items()
    }
