"""A comparison as a table with sentences beneath, in Markdown or for a terminal."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

from common.core.text import aligned, shortened
from common.evidence.comparison import wording
from common.evidence.comparison.compared import Comparison, StepComparison
from common.evidence.comparison.curves import TARGET_SAMPLES, Reached
from common.evidence.comparison.difference import FigureComparison, WindowComparison
from common.evidence.comparison.statistics import LEAST_EFFECTIVE, LEAST_SAMPLES, METHOD
from common.evidence.comparison.verdicts import LOSS_MARGIN, Verdict
from common.runs.tables import markdown

Row = List[str]
LONGEST_LABEL = 24


def columns(comparison: Comparison) -> Tuple[str, ...]:
    """The titles of the table; long labels, which sources() tells in full, are cut."""
    reference, candidate = _short_labels(comparison)
    return ("", reference, candidate, f"{candidate} - {reference}", "relative [95 % interval]")


def _short_labels(comparison: Comparison) -> Tuple[str, str]:
    labels = comparison.reference.label, comparison.candidate.label
    reference, candidate = (shortened(label, LONGEST_LABEL) for label in labels)
    return (reference, candidate) if reference != candidate else ("reference", "candidate")


def rows(comparison: Comparison) -> List[Row]:
    """Everything that could be compared, a line each."""
    found: List[Optional[Row]] = []
    curve, judged = comparison.settings.curve, comparison.settings.judged.name
    if comparison.at_step is not None:
        found.append(_step_row(comparison.at_step, curve))
        if comparison.at_step.window != comparison.end:
            found.append(_window_row(comparison.at_step.window, curve, "up to there"))
    found += [_window_row(part, curve, "window") for part in comparison.windows[:-1]]
    found.append(_window_row(comparison.end, curve, "end"))
    found.append(_seeds_row(comparison, curve))
    found.append(_figure_row(comparison.final, "final " + judged))
    found.append(_figure_row(comparison.best, f"best {judged} on validation"))
    found.append(_speed_row(comparison))
    found.append(_target_row(comparison))
    return [row for row in found if row is not None]


def _step_row(at: StepComparison, curve: str) -> Row:
    steps = {at.reference.step, at.candidate.step}
    told = " and ".join(f"{step:,}" for step in sorted(steps))
    return [
        f"{curve} at step {told}, one sample",
        wording.number(at.reference.value),
        wording.number(at.candidate.value),
        wording.signed(at.difference.absolute.value),
        wording.relative(at.difference.relative),
    ]


def _window_row(part: Optional[WindowComparison], curve: str, name: str) -> Optional[Row]:
    if part is None:
        return None
    return [
        f"{curve}, {name}: {part.difference.samples} samples, steps {part.first_step:,} "
        f"to {part.last_step:,}",
        wording.level(part.reference),
        wording.level(part.candidate),
        wording.signed(part.difference.absolute.value),
        wording.relative(part.difference.relative),
    ]


def _seeds_row(comparison: Comparison, curve: str) -> Optional[Row]:
    if comparison.seeds is None:
        return None
    counts = [str(len(group.runs)) for group in (comparison.reference, comparison.candidate)]
    return [
        f"{curve}, last window, between seeds",
        counts[0] + " runs",
        counts[1] + " runs",
        "",
        wording.relative(comparison.seeds),
    ]


def _figure_row(figure: Optional[FigureComparison], name: str) -> Optional[Row]:
    if figure is None:
        return None
    return [
        name,
        wording.number(figure.reference),
        wording.number(figure.candidate),
        wording.absolute(figure.difference),
        wording.percent(figure.candidate / figure.reference - 1)
        if figure.reference
        else wording.DASH,
    ]


def _speed_row(comparison: Comparison) -> Optional[Row]:
    speed = comparison.speed
    if speed is None:
        return None
    return [
        "throughput, total / total",
        wording.rate(speed.reference, speed.unit or "units"),
        wording.rate(speed.candidate, speed.unit or "units"),
        "",
        wording.times(speed.ratio),
    ]


def _target_row(comparison: Comparison) -> Optional[Row]:
    settings = comparison.settings
    if settings.target is None:
        return None
    first, second = (
        comparison.reached[group.label] for group in (comparison.reference, comparison.candidate)
    )
    return [
        f"{settings.curve} {wording.number(settings.target)} (mean of {TARGET_SAMPLES} samples)",
        _moments(first),
        _moments(second),
        "",
        _earlier(first, second),
    ]


def _moments(reached: Sequence[Optional[Reached]]) -> str:
    return "; ".join(
        "not reached" if one is None else f"step {one.step:,}, {wording.duration(one.seconds)}"
        for one in reached
    )


def _earlier(first: Sequence[Optional[Reached]], second: Sequence[Optional[Reached]]) -> str:
    one, other = first[0], second[0]
    if (
        len(first) > 1
        or len(second) > 1
        or one is None
        or other is None
        or not one.seconds
        or not other.seconds
    ):
        return ""
    return f"in {other.seconds / one.seconds:.2f} times the time"


def sentences(comparison: Comparison) -> List[str]:
    """The verdicts with their rules, what one sample proves, the method, what was odd."""
    return [
        _verdict("PrecisionStatus", comparison.precision),
        _verdict("PerfStatus", comparison.perf),
    ] + remarks(comparison)


def remarks(comparison: Comparison) -> List[str]:
    """What one sample proves, what the intervals hold and how they are made, what was odd."""
    found: List[str] = []
    if comparison.at_step is not None:
        found.append(what_one_sample_proves(comparison, comparison.at_step))
    if is_too_good(comparison):
        found.append(
            f"{comparison.settings.curve} of {comparison.candidate.label} is better by "
            "more than the margin: before being pleased, check that "
            "both ran the same recipe on the same data."
        )
    if len(comparison.reference.runs) == 1 or len(comparison.candidate.runs) == 1:
        found.append(
            "With one run on a side the intervals hold the noise within these runs, not "
            "what another seed changes, which can be more: give a flag several times to "
            "compare between seeds."
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
    return found + ["Note: {}.".format(note.rstrip(".")) for note in comparison.notes]


def is_too_good(comparison: Comparison) -> bool:
    """Whether the curve's last window is better than the reference's beyond margin and chance."""
    if comparison.end is None:
        return False
    found = comparison.end.difference.relative
    better = found if comparison.settings.curve_higher_is_better else found.scaled(-1)
    return better.is_known and better.low > LOSS_MARGIN


def _verdict(name: str, verdict: Verdict) -> str:
    return f"{name}: {verdict.status} ({verdict.because}). Rule: {verdict.rule}."


def what_one_sample_proves(comparison: Comparison, at: StepComparison) -> str:
    """How large the noise around a step is, and what that leaves of the difference there."""
    noises = [
        f"{100 * around.noise / abs(around.mean.value):.1f} % ({group.label}, "
        f"{around.count} samples)"
        for group, around in (
            (comparison.reference, at.reference_around),
            (comparison.candidate, at.candidate_around),
        )
        if around.mean.value
    ]
    found = at.difference.relative
    if not found.is_known:
        return (
            f"What one sample proves at step {at.reference.asked:,} is not known: too few "
            "neighbours."
        )
    proves = "it shows nothing" if found.low <= 0 <= found.high else "it is beyond the noise"
    return (
        "One sample at step {:,}: from one logged step to the next the noise is {}, so the "
        "difference of {} may be anything from {} to {}: {}.".format(
            at.reference.asked,
            " and ".join(noises),
            wording.percent(found.value),
            wording.percent(found.low),
            wording.percent(found.high),
            proves,
        )
    )


def title(comparison: Comparison) -> str:
    """What is compared."""
    return f"{comparison.candidate.label} against {comparison.reference.label}"


def sources(comparison: Comparison) -> List[str]:
    """Where the runs came from."""
    return [
        "{}: {}".format(group.label, ", ".join(run.source for run in group.runs))
        for group in (comparison.reference, comparison.candidate)
    ]


def as_markdown(comparison: Comparison) -> str:
    """The whole comparison in Markdown."""
    parts = [
        "## " + title(comparison),
        "  \n".join(sources(comparison)),
        markdown(columns(comparison), rows(comparison)).rstrip(),
        "\n".join("- " + sentence for sentence in sentences(comparison)),
    ]
    return "\n\n".join(parts) + "\n"


def as_text(comparison: Comparison) -> str:
    """The whole comparison for a terminal."""
    cells = [list(columns(comparison)), *rows(comparison)]
    head = [title(comparison), *sources(comparison)]
    return "\n".join([*head, "", aligned(cells), "", *sentences(comparison)]) + "\n"
