"""What the benchmark prints: a table, the checks, the floors, and the verdict."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from benchmarks.residual_attention_net.figures import check_stated, target_of
from benchmarks.residual_attention_net.variants import BASELINE
from benchmarks.shared import report
from benchmarks.shared.figures import floors, images_per_second
from benchmarks.shared.report import Row, Verdict


def torch_major(found: Any) -> int:
    """The first number of torch's version."""
    return int(found.machine["torch"].split(".")[0])


def rows_of(found: Any) -> List[Row]:
    """Every variant with its baseline, target and check, in the order they ran."""
    return [_row(found, name) for name in found.answers]


def _row(found: Any, name: str) -> Row:
    images = found.batch_size * found.steps
    major, device_kind = torch_major(found), found.device_kind
    check = check_stated(
        major,
        name,
        found.batch_size,
        device_kind,
        found.machine["rates"]["fp32"],
        images_per_second(images, found.seconds(name)).median,
    )
    return Row(
        name,
        images,
        found.answers[name],
        found.seconds(BASELINE),
        found.warm_up_seconds[name],
        target_of(major, name, device_kind),
        check,
    )


def verdict(found: Any) -> Verdict:
    """See report.verdict of all benchmarks."""
    return report.verdict(rows_of(found))


def floors_of(found: Any) -> Dict[str, Tuple[float, float]]:
    """Images a second that arithmetic alone, and memory traffic alone, would allow."""
    machine = found.machine
    return floors(
        machine["rates"],
        machine["bandwidth"],
        machine["operations_per_image"],
        machine["bytes_per_image"],
    )


def as_json(found: Any) -> Dict[str, Any]:
    """All figures, for programs."""
    return {
        "batch_size": found.batch_size,
        "steps": found.steps,
        "device": found.device_kind,
        "machine": found.machine,
        "verdict": verdict(found).name,
        "variants": {row.name: report.row_json(row) for row in rows_of(found)},
        "floors": {
            name: {"operations": both[0], "bytes": both[1]}
            for name, both in floors_of(found).items()
        },
    }


def as_text(found: Any) -> str:
    """The whole report, for people."""
    rows, machine = rows_of(found), found.machine
    return "\n".join(
        _heading(found)
        + [""]
        + report.table(rows)
        + [""]
        + report.check_lines(rows, machine["rates"]["fp32"])
        + report.floor_lines(
            floors_of(found), machine["operations_per_image"], machine["bytes_per_image"]
        )
        + ["verdict: " + report.verdict(rows).name]
    )


def _heading(found: Any) -> List[str]:
    machine = found.machine
    rounds = len(found.answers[BASELINE])
    rates = ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in machine["rates"].items())
    return [
        "torch {}, {} ({} threads), batch {}, {} rounds of {} steps each, median "
        "(lowest..highest)".format(
            machine["torch"],
            machine["device"],
            machine["threads"],
            found.batch_size,
            rounds,
            found.steps,
        ),
        "convolutions: {}; copying: {:.1f} GB/s".format(rates, machine["bandwidth"] / 1e9),
    ]
