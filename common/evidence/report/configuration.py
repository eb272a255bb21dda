"""How runs were made, in the words of their records: what each says, and where they differ."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Sequence, Tuple

from common.evidence.comparison import wording
from common.runs.record import RunRecord

Pairs = List[Tuple[str, str]]


def title(records: Sequence[RunRecord]) -> str:
    """What was trained on what, as far as all runs agree; "" without a record."""
    if not records:
        return ""
    networks = {f"{record.model} {record.task}" for record in records}
    data = {record.dataset.name for record in records}
    return "{} on {}".format(
        ", ".join(sorted(networks)), data.pop() if len(data) == 1 else f"{len(data)} data sets"
    )


def settings(record: RunRecord) -> Dict[str, str]:
    """Everything that two runs may differ in: surroundings first, then the configuration."""
    device, batch = record.device, record.batch
    found = {
        "case": record.case,
        "dataset": f"{record.dataset.name}: {record.dataset.predicate}",
        "dataset manifest sha256": record.dataset.manifest_sha256,
        "device": f"{device.count} x {device.kind.upper()} {device.name}",
        "software": ", ".join(
            part
            for part in (device.framework, f"Python {device.python}", device.driver, device.runtime)
            if part
        ),
        "commit": record.code.commit + ", with uncommitted changes" * record.code.dirty,
        "precision": f"{record.precision.arithmetic} ({record.precision.mode})",
        "batch": f"{batch.per_device} a device, {batch.total} in all",
        "steps asked for": f"{record.progress.target_steps:,}",
        "seed": str(record.seed),
    }
    for kind, values in (("network", record.network), ("", record.config)):
        for name, value in values.items():
            parts = value if isinstance(value, dict) and value else {"": value}
            found.update((f"{kind} {name} {part}".strip(), _told(parts[part])) for part in parts)
    return found


def differences(records: Dict[str, RunRecord]) -> List[List[str]]:
    """Rows of a setting and its value in each run, of the settings that are not all equal."""
    columns = [settings(record) for record in records.values()]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = [[name] + [column.get(name, wording.DASH) for column in columns] for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


def provenance(record: RunRecord) -> Pairs:
    """What a reader needs to check or repeat a run, beside its settings."""
    speed, counts = record.speed, sorted(record.dataset.counts.items())
    rate, wait, memory = speed.samples_per_second, speed.data_wait, speed.peak_memory
    return [
        ("run", record.run_id),
        ("status", record.status + (": " + record.reason if record.reason else "")),
        ("date", record.date),
        ("command", record.command),
        ("config sha256", record.config_sha256),
        ("samples", ", ".join(f"{name} {count:,}" for name, count in counts)),
        ("steps", f"{record.progress.steps:,} of {record.progress.target_steps:,}"),
        (
            "speed",
            f"{wording.DASH if rate is None else wording.number(rate)} samples/s over "
            f"{speed.measured_steps:,} steps",
        ),
        (
            "waiting for data",
            wording.DASH if wait is None else f"{100 * wait:.2f} % of the time",
        ),
        ("peak memory", wording.DASH if memory is None else f"{memory / 2.0**30:.2f} GiB"),
        ("wall time", wording.duration(speed.wall_seconds)),
        ("nan or inf steps", str(record.health.nonfinite_steps)),
        ("proof of device", record.health.proof),
        ("log sha256", record.log_sha256 or wording.DASH),
        ("checkpoint sha256", record.checkpoint_sha256 or wording.DASH),
    ]


def _told(value: Any) -> str:
    if value is None:
        return wording.DASH
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
