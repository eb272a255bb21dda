"""What is told of a comparison: a table with sentences beneath, JSON, a picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Tuple

import attrs

from common.core.errors import UsageError
from common.core.text import aligned, duration, shortened
from common.evidence.comparison.compared import Comparison, FigureComparison
from common.evidence.comparison.curves import (
    TARGET_SAMPLES,
    Reached,
    summary_curve,
)
from common.evidence.comparison.runs import Group, Settings
from common.evidence.comparison.statistics import (
    LEAST_EFFECTIVE,
    LEAST_SAMPLES,
    METHOD,
    Estimate,
    MeanOfSeries,
)
from common.runs.tables import DASH, markdown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA_VERSION = 1  # of the JSON
LONGEST_LABEL = 24
Row = Tuple[str, ...]


# --- numbers as people read them ---


def number(value: float) -> str:
    """A logged value: as many digits as say something."""
    return f"{value:.4g}"


def _signed(value: float) -> str:
    return f"{value:+.3g}"


def _percent(share: float) -> str:
    return f"{100 * share:+.{1 if abs(share) < 1 else 0}f} %"


def _interval(estimate: Estimate, told: Callable[[float], str]) -> str:
    """A value with its interval: -8.5 % [-9.1 %, -7.9 %]."""
    if not math.isfinite(estimate.value):
        return DASH
    if not estimate.is_known:
        return told(estimate.value) + " [no interval]"
    return f"{told(estimate.value)} [{told(estimate.low)}, {told(estimate.high)}]"


def _level(mean: MeanOfSeries) -> str:
    """A mean with the noise of one sample: 0.001021 ± 0.00019."""
    noise = f" ± {mean.noise:.2g}" if math.isfinite(mean.noise) else ""
    return number(mean.mean.value) + noise


# --- the table ---


def title(comparison: Comparison) -> str:
    """What is compared."""
    return f"{comparison.candidate.label} against {comparison.reference.label}"


def columns(comparison: Comparison) -> Row:
    """The titles of the table; long labels are cut."""
    labels = comparison.reference.label, comparison.candidate.label
    first, second = (shortened(label, LONGEST_LABEL) for label in labels)
    return ("", first, second, f"{second} - {first}", "relative [95 % interval]")


def rows(comparison: Comparison) -> List[Row]:
    """Everything that could be compared, a line each."""
    curve, judged = comparison.settings.curve, comparison.settings.judged.name
    at, end, speed = comparison.at_step, comparison.end, comparison.speed
    found: List[Row] = []
    if at is not None:
        steps = " and ".join(f"{step:,}" for step in sorted({at.reference.step, at.candidate.step}))
        absolute = _signed(at.difference.absolute.value)
        values = number(at.reference.value), number(at.candidate.value), absolute
        relative = _interval(at.difference.relative, _percent)
        found.append((f"{curve} at step {steps}, one sample", *values, relative))
    if end is not None:
        steps = f"steps {end.first_step:,} to {end.last_step:,}"
        levels = _level(end.reference), _level(end.candidate)
        absolute = _signed(end.difference.absolute.value)
        relative = _interval(end.difference.relative, _percent)
        name = f"{curve}, end: {end.difference.samples} samples, {steps}"
        found.append((name, *levels, absolute, relative))
    if comparison.between_seeds is not None:
        groups = (comparison.reference, comparison.candidate)
        counts = [f"{len(group.runs)} runs" for group in groups]
        interval = _interval(comparison.between_seeds, _percent)
        found.append((f"{curve}, last window, between seeds", *counts, "", interval))
    if comparison.final is not None:
        found.append(_figure_row(comparison.final, f"final {judged}"))
    if comparison.best is not None:
        found.append(_figure_row(comparison.best, f"best {judged} on validation"))
    if speed is not None:
        unit = speed.unit or "units"
        rates = [f"{rate.value:.4g} {unit}/s" for rate in (speed.reference, speed.candidate)]
        ratio = _interval(speed.ratio, lambda value: f"{value:.2f}x")
        found.append(("throughput, total / total", *rates, "", ratio))
    if comparison.settings.target is not None:
        what = f"{curve} {number(comparison.settings.target)} (mean of {TARGET_SAMPLES} samples)"
        found.append((what, *map(_moments, comparison.reached.values()), "", ""))
    return found


def _figure_row(figure: FigureComparison, name: str) -> Row:
    base = figure.reference
    return (
        name,
        number(base),
        number(figure.candidate),
        _interval(figure.difference, _signed),
        _percent(figure.candidate / base - 1) if base else DASH,
    )


def _moments(reached: Sequence[Optional[Reached]]) -> str:
    return "; ".join(
        "not reached"
        if one is None
        else f"step {one.step:,}" + ("" if one.seconds is None else f", {duration(one.seconds)}")
        for one in reached
    )


# --- sentences ---


def remarks(comparison: Comparison) -> List[str]:
    """What the intervals hold and how they are made, what was odd."""
    found = []
    if 1 in (len(comparison.reference.runs), len(comparison.candidate.runs)):
        found.append(
            "With one run on a side the intervals hold the noise within these runs, not what "
            "another seed changes, which can be more: give a flag several times to compare between "
            "seeds."
        )
    found.append(
        f"Intervals hold the true value in 95 % of cases. {METHOD}; none with fewer than "
        f"{LEAST_SAMPLES} samples, or where there may be fewer than {LEAST_EFFECTIVE:.0f} "
        "effective ones. ± is the noise of one sample."
    )
    if comparison.final is not None:
        found.append(
            f"The interval of {comparison.final.name} comes from the {comparison.final.basis}."
        )
    if comparison.speed is not None and comparison.speed.remark:
        found.append(f"Throughput: {comparison.speed.remark}.")
    return found + [f"Note: {note.rstrip('.')}." for note in comparison.notes]


def as_text(comparison: Comparison, in_markdown: bool = False) -> str:
    """The whole comparison for a terminal, or in Markdown."""
    groups = (comparison.reference, comparison.candidate)
    sources = [f"{one.label}: {', '.join(run.source for run in one.runs)}" for one in groups]
    sentences = [
        f"{name}: {verdict.status} ({verdict.because}). Rule: {verdict.rule}."
        for name, verdict in comparison.verdicts.items()
    ] + remarks(comparison)
    head, table = columns(comparison), rows(comparison)
    if not in_markdown:
        return "\n".join(
            [title(comparison), *sources, "", aligned([head, *table]), "", *sentences, ""]
        )
    parts = ["## " + title(comparison), "  \n".join(sources), markdown(head, table).rstrip()]
    return "\n\n".join([*parts, "\n".join("- " + sentence for sentence in sentences)]) + "\n"


# --- for programs ---


def as_json(comparison: Comparison) -> Dict[str, Any]:
    """The comparison as dictionaries and numbers; null where there is nothing or no number."""
    parts = attrs.asdict(
        comparison,
        filter=lambda _, value: not isinstance(value, (Group, Settings)),
        value_serializer=_plain,
    )
    settings, reached = comparison.settings, parts.pop("reached")
    target = {"value": settings.target, "samples": TARGET_SAMPLES, "reached": reached}
    return {
        "schema_version": SCHEMA_VERSION,
        "reference": _group(comparison.reference),
        "candidate": _group(comparison.candidate),
        "curve": settings.curve,
        "best_on_validation": parts.pop("best"),
        "throughput": parts.pop("speed"),
        "target": None if settings.target is None else target,
        "PrecisionStatus": parts.pop("precision"),
        "PerfStatus": parts.pop("perf"),
        "margin": settings.judged.margin,
        "metric": settings.judged.name,
        "interval": METHOD,
        **parts,
    }


def _plain(instance: Any, field: Any, value: Any) -> Any:
    if isinstance(value, Estimate):
        low, high = (value.low, value.high) if value.is_known else (None, None)
        return {"value": value.value, "low": low, "high": high}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _group(group: Group) -> Dict[str, Any]:
    names = ("source", "device", "model", "task")
    told = [{name: getattr(run, name) for name in names} for run in group.runs]
    runs = [dict(one, series=sorted(run.series)) for one, run in zip(told, group.runs)]
    return {"label": group.label, "runs": runs}


def picture(groups: Sequence[Group], curve: str) -> Figure:
    """Draws a curve of every run: a mean line, and a band one noise wide on each side.

    Raises:
        UsageError: no run has the curve.
    """
    from common.evidence.figures.line_chart import Curve, line_chart

    curves = []
    for group in groups:
        for place, run in enumerate(group.runs, start=1):
            if curve in run.series:
                name = f"{group.label} {place}" if len(group.runs) > 1 else group.label
                found = summary_curve(run.series[curve])
                low, high = found.means - found.noises, found.means + found.noises
                curves.append(Curve(name, found.steps, found.means, low, high))
    if not curves:
        raise UsageError(f"no run has a series {curve!r} to plot; --metric names another")
    networks = sorted({run.network for group in groups for run in group.runs if run.model})
    name = curve.replace("_", " ")
    heading = ": ".join([*networks, f"{name}, band: ± noise of one sample"])
    return line_chart(curves, heading, up=name)
