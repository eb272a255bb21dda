"""What a benchmark prints: for each case a table, checks and limits; the verdict."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

from benchmarks.harness import (
    BASELINE,
    STATED_RATE,
    STATED_TOLERANCE,
    Measured,
    verdict_of,
)

_LAYOUT = "{:<28} {:>24} {:>20} {:>7} {:>10} {:>12} {:>9} {:>9}"
_HEADING = ("variant", "images/s", "ratio, by pairs", "target", "s a step", "data wait")
UNCHECKED = "no stated figure for this device and batch size: the baseline is unchecked"


def as_json(cases: Sequence[Measured]) -> Dict[str, Any]:
    """All figures, for programs, by case ("" where the network has one alone)."""
    return {
        "verdict": verdict_of(cases).name,
        "cases": {
            found.case.name: {
                "verdict": found.verdict().name,
                "missed_limits": found.missed_limits(),
                **found.case.sizes,
                "steps": found.case.steps,
                "device": found.device_kind,
                "machine": found.machine,
                "over_stated_of_first_generation": found.over_first_generation(),
                "peak_memory_bytes": found.memory,
                "variants": {name: _variant_json(found, name) for name in found.answers},
            }
            for found in cases
        },
    }


def _variant_json(found: Measured, name: str) -> Dict[str, Any]:
    check = found.check(name)
    return {
        "images_per_second": vars(found.speed(name)),
        "ratio": vars(found.ratio(name)),
        "target": found.target(name),
        "data_wait_share": vars(found.wait(name)),
        "peak_memory_bytes": found.answers[name][-1]["peak_memory"],
        "warm_up_seconds": found.warm_up_seconds[name],
        "seconds": found.seconds(name),
        "stated": check and dict(vars(check), deviation=check.deviation, holds=check.holds),
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
        *(f"convolutions: {rate / 1e9:.0f} GFLOP/s" for rate in machine["rates"].values()),
        _LAYOUT.format(*_HEADING, "memory", "warm-up"),
    ]
    lines += [_row(found, name) for name in found.answers]
    lines += [
        f"{name}: {ratio:.2f} of {benchmark.framework} 1's stated figure scaled to this "
        f"machine; target {benchmark.later_target:.2f}"
        for name, ratio in found.over_first_generation().items()
    ] or _check_lines(found)
    if found.memory and benchmark.memory is not None:
        told = ", ".join(f"{name} {used / 1e9:.2f} GB" for name, used in found.memory.items())
        lines.append(f"peak memory at batch {benchmark.memory.batch_size}: {told}")
    lines += found.missed_limits()
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


def _check_lines(found: Measured) -> List[str]:
    checks = {name: found.check(name) for name in found.answers}
    return [
        f"{name}: stated {check.stated:.3g} images/s at {STATED_RATE / 1e9:.0f} GFLOP/s, scaled by "
        f"{check.scaled / check.stated:.2f} to {check.scaled:.3g}; measured {check.deviation:+.0%} "
        f"beyond these ({'within' if check.holds else 'NOT within'} {STATED_TOLERANCE:.0%})"
        for name, check in checks.items()
        if check is not None
    ] or [UNCHECKED]
