"""A comparison as JSON can hold it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Dict, Optional

from common.evidence.comparison.compared import Comparison
from common.evidence.comparison.curves import TARGET_SAMPLES
from common.evidence.comparison.runs import Group
from common.evidence.comparison.statistics import METHOD, Estimate, MeanOfSeries
from common.evidence.comparison.table import what_one_sample_proves

SCHEMA_VERSION = 1


def content_of(comparison: Comparison) -> Dict[str, Any]:
    """The comparison as dictionaries and numbers; null where there is nothing or no number."""
    at_step = comparison.at_step
    return {
        "schema_version": SCHEMA_VERSION,
        "reference": _group(comparison.reference),
        "candidate": _group(comparison.candidate),
        "curve": comparison.settings.curve,
        "common_steps": comparison.common_steps,
        "at_step": _plain(at_step),
        "what_one_sample_proves": what_one_sample_proves(comparison, at_step) if at_step else None,
        "windows": _plain(comparison.windows),
        "end": _plain(comparison.end),
        "between_seeds": _plain(comparison.seeds),
        "final": _plain(comparison.final),
        "best_on_validation": _plain(comparison.best),
        "throughput": _plain(comparison.speed),
        "target": _target(comparison),
        "PrecisionStatus": _plain(comparison.precision),
        "PerfStatus": _plain(comparison.perf),
        "margin": comparison.settings.judged.margin,
        "metric": comparison.settings.judged.name,
        "interval": METHOD,
        "notes": list(comparison.notes),
    }


def _group(group: Group) -> Dict[str, Any]:
    return {
        "label": group.label,
        "runs": [
            {
                "source": run.source,
                "device": run.device,
                "model": run.model,
                "task": run.task,
                "series": sorted(run.series),
            }
            for run in group.runs
        ],
    }


def _target(comparison: Comparison) -> Optional[Dict[str, Any]]:
    if comparison.settings.target is None:
        return None
    return {
        "value": comparison.settings.target,
        "samples": TARGET_SAMPLES,
        "reached": {label: _plain(moments) for label, moments in comparison.reached.items()},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        known = value.is_known
        return {
            "value": _plain(value.value),
            "low": value.low if known else None,
            "high": value.high if known else None,
        }
    if isinstance(value, MeanOfSeries):
        return {
            "mean": _plain(value.mean),
            "noise": _plain(value.noise),
            "count": value.count,
            "autocorrelation_time": _plain(value.autocorrelation_time),
        }
    if dataclasses.is_dataclass(value):
        return {
            field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
