"""What a benchmark prints: for each case a table and long waits; the verdict."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

from benchmarks.harness import BASELINE, Measured, verdict_of

_LAYOUT = "{:<28} {:>24} {:>20} {:>7} {:>10} {:>12} {:>9} {:>9}"
_HEADING = ("variant", "images/s", "ratio, by pairs", "target", "s a step", "data wait")


def as_json(cases: Sequence[Measured]) -> Dict[str, Any]:
    """All figures, for programs, by case ("" where the network has one alone)."""
    return {
        "verdict": verdict_of(cases).name,
        "cases": {
            found.case.name: {
                "verdict": found.verdict().name,
                "long_waits": found.long_waits(),
                **found.case.sizes,
                "steps": found.case.steps,
                "device": found.device_kind,
                "machine": found.machine,
                "variants": {name: _variant_json(found, name) for name in found.answers},
            }
            for found in cases
        },
    }


def _variant_json(found: Measured, name: str) -> Dict[str, Any]:
    return {
        "images_per_second": vars(found.speed(name)),
        "ratio": vars(found.ratio(name)),
        "target": found.target(name),
        "data_wait_share": vars(found.wait(name)),
        "peak_memory_bytes": found.answers[name][-1]["peak_memory"],
        "warm_up_seconds": found.warm_up_seconds[name],
        "seconds": found.seconds(name),
    }


def as_text(cases: Sequence[Measured]) -> str:
    """The whole report, for people."""
    lines = [line for found in cases for line in _case_lines(found)]
    return "\n".join([*lines, f"verdict: {verdict_of(cases).name}"])


def _case_lines(found: Measured) -> List[str]:
    machine, case, benchmark = found.machine, found.case, found.benchmark
    lines = [
        f"{case.name + ': ' if case.name else ''}{benchmark.framework} {machine['version']}, "
        f"{machine['device']} ({machine['threads']} threads), {case.text} a step, "
        f"{len(found.answers[BASELINE])} rounds of {case.steps} step{'s' * (case.steps != 1)} "
        "each, median (lowest..highest)",
        _LAYOUT.format(*_HEADING, "memory", "warm-up"),
    ]
    lines += [_row(found, name) for name in found.answers]
    lines += found.long_waits()
    return lines + ([f"{case.name}: {found.verdict().name}", ""] if case.name else [])


def _row(found: Measured, name: str) -> str:
    speed, target = found.speed(name), found.target(name)
    return _LAYOUT.format(
        name,
        speed.text(1 if speed.median >= 10 else 3),
        found.ratio(name).text(2),
        "" if target is None else f"{target:.2f}",
        f"{found.case.images / speed.median:.3f}",
        f"{found.wait(name).median:.2%}",
        f"{found.answers[name][-1]['peak_memory'] / 1e6:.0f} MB",
        f"{found.warm_up_seconds[name]:.1f} s",
    )
