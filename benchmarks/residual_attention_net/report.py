"""What the benchmark prints: a table, the checks, the floors, and the verdict."""

from __future__ import annotations

import enum
from dataclasses import asdict
from typing import Any, Dict, List, Optional

from benchmarks.residual_attention_net.figures import (
    STATED_RATE,
    STATED_TOLERANCE,
    Check,
    Spread,
    check_stated,
    floors,
    images_per_second,
    pair_ratios,
    spread,
    target_of,
)
from benchmarks.residual_attention_net.variants import BASELINE


class Verdict(enum.IntEnum):
    """The program's exit codes."""

    REACHED = 0
    MISSED = 1
    INCONCLUSIVE = 2


def torch_major(found: Any) -> int:
    """The first number of torch's version."""
    return int(found.machine["torch"].split(".")[0])


def speed_of(found: Any, name: str) -> Spread:
    """Images a second of a variant."""
    return images_per_second(found.batch_size * found.steps, found.seconds(name))


def ratio_of(found: Any, name: str) -> Spread:
    """A variant's speed over the baseline's, pair by pair."""
    return pair_ratios(found.seconds(BASELINE), found.seconds(name))


def wait_of(found: Any, name: str) -> Spread:
    """The share of each round spent waiting for batches."""
    return spread([answer["wait_seconds"] / answer["seconds"] for answer in found.answers[name]])


def check_of(found: Any, name: str) -> Optional[Check]:
    """The stated figure of a variant, scaled to this machine, beside the measured one."""
    return check_stated(torch_major(found), name, found.batch_size, found.device_kind,
                        found.machine["rates"]["fp32"], speed_of(found, name).median)


def verdict(found: Any) -> Verdict:
    """Whether the set ratios are reached; INCONCLUSIVE where that can't be told.

    That is where the baseline has no stated figure or is off it, and where no ratio is set.
    """
    check = check_of(found, BASELINE)
    targets = {name: target_of(torch_major(found), name, found.device_kind)
               for name in found.answers}
    wanted = {name: target for name, target in targets.items() if target is not None}
    if check is None or not check.holds or not wanted:
        return Verdict.INCONCLUSIVE
    missed = [name for name, target in wanted.items() if ratio_of(found, name).median < target]
    return Verdict.MISSED if missed else Verdict.REACHED


def floors_of(found: Any) -> Dict[str, Any]:
    """Images a second that arithmetic alone, and memory traffic alone, would allow."""
    machine = found.machine
    return floors(machine["rates"], machine["bandwidth"], machine["operations_per_image"],
                  machine["bytes_per_image"])


def as_json(found: Any) -> Dict[str, Any]:
    """All figures, for programs."""
    variants = {}
    for name in found.answers:
        check = check_of(found, name)
        variants[name] = {
            "images_per_second": asdict(speed_of(found, name)),
            "ratio": asdict(ratio_of(found, name)),
            "target": target_of(torch_major(found), name, found.device_kind),
            "data_wait_share": asdict(wait_of(found, name)),
            "peak_memory_bytes": found.answers[name][-1]["peak_memory"],
            "warm_up_seconds": found.warm_up_seconds[name],
            "seconds": found.seconds(name),
            "stated": None if check is None else dict(
                asdict(check), deviation=check.deviation, holds=check.holds),
        }
    return {"batch_size": found.batch_size, "steps": found.steps, "device": found.device_kind,
            "machine": found.machine, "variants": variants, "verdict": verdict(found).name,
            "floors": {name: {"operations": both[0], "bytes": both[1]}
                       for name, both in floors_of(found).items()}}


def as_text(found: Any) -> str:
    """The whole report, for people."""
    return "\n".join(_heading(found) + [""] + _table(found) + [""] + _checks(found)
                     + _floor_lines(found) + ["verdict: " + verdict(found).name])


def _heading(found: Any) -> List[str]:
    machine = found.machine
    rounds = len(found.answers[BASELINE])
    rates = ", ".join("{} {:.0f} GFLOP/s".format(name, rate / 1e9)
                      for name, rate in machine["rates"].items())
    return [
        "torch {}, {} ({} threads), batch {}, {} rounds of {} steps each, median (lowest..highest)"
        .format(machine["torch"], machine["device"], machine["threads"], found.batch_size, rounds,
                found.steps),
        "convolutions: {}; copying: {:.1f} GB/s".format(rates, machine["bandwidth"] / 1e9),
    ]


def _table(found: Any) -> List[str]:
    layout = "{:<28} {:>24} {:>20} {:>7} {:>12} {:>9} {:>9}"
    lines = [layout.format("variant", "images/s", "ratio, by pairs", "target", "data wait",
                           "memory", "warm-up")]
    for name in found.answers:
        target = target_of(torch_major(found), name, found.device_kind)
        lines.append(layout.format(
            name, speed_of(found, name).text(1), ratio_of(found, name).text(2),
            "" if target is None else "{:.2f}".format(target),
            "{:.2f} %".format(100 * wait_of(found, name).median),
            "{:.0f} MB".format(found.answers[name][-1]["peak_memory"] / 1e6),
            "{:.1f} s".format(found.warm_up_seconds[name])))
    return lines


def _checks(found: Any) -> List[str]:
    factor = found.machine["rates"]["fp32"] / STATED_RATE
    lines = []
    for name in found.answers:
        check = check_of(found, name)
        if check is not None:
            lines.append("{}: stated {:.0f} images/s at {:.0f} GFLOP/s, scaled by {:.2f} to "
                         "{:.1f}; measured {:+.0%} ({} {:.0%})".format(
                             name, check.stated, STATED_RATE / 1e9, factor, check.scaled,
                             check.deviation, "within" if check.holds else "NOT within",
                             STATED_TOLERANCE))
    if not lines:
        lines.append("no stated figure for this device and batch size: the baseline is unchecked")
    return lines


def _floor_lines(found: Any) -> List[str]:
    return ["floor in {}: {:.1f} images/s by operations ({:.2f} GFLOP an image), {:.1f} by bytes "
            "({:.1f} MB an image, each layer reading and writing memory once a pass)".format(
                name, operations, found.machine["operations_per_image"] / 1e9, moved,
                found.machine["bytes_per_image"][name] / 1e6)
            for name, (operations, moved) in floors_of(found).items()]
