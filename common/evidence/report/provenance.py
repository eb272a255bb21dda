"""Where a run's figures come from, in the words of its record."""

from __future__ import annotations

from typing import List, Tuple

from common.evidence.comparison import wording
from common.runs.record import RunRecord


def provenance(record: RunRecord) -> List[Tuple[str, str]]:
    """Names and values, plain text, of what a reader needs to check or repeat a run."""
    device, speed, batch = record.device, record.speed, record.batch
    return [
        ("run", record.run_id),
        ("status", record.status + (": " + record.reason if record.reason else "")),
        ("date", record.date),
        ("model, task, case", f"{record.model}, {record.task}, {record.case}"),
        ("commit", record.code.commit + ", with uncommitted changes" * record.code.dirty),
        ("command", record.command),
        ("config sha256", record.config_sha256),
        ("dataset", f"{record.dataset.name}: {record.dataset.predicate}"),
        (
            "samples",
            ", ".join(f"{name} {count:,}" for name, count in sorted(record.dataset.counts.items())),
        ),
        ("dataset manifest sha256", record.dataset.manifest_sha256),
        ("device", f"{device.kind.upper()} {device.name} x {device.count}"),
        (
            "software",
            ", ".join(
                part
                for part in (
                    device.framework,
                    "Python " + device.python,
                    device.driver,
                    device.runtime,
                )
                if part
            ),
        ),
        ("precision", f"{record.precision.arithmetic} ({record.precision.mode})"),
        ("batch", f"{batch.per_device} a device, {batch.total} in all"),
        ("seed", str(record.seed)),
        ("steps", f"{record.progress.steps:,} of {record.progress.target_steps:,}"),
        (
            "speed",
            "{} samples/s over {:,} steps".format(
                wording.DASH
                if speed.samples_per_second is None
                else wording.number(speed.samples_per_second),
                speed.measured_steps,
            ),
        ),
        (
            "waiting for data",
            wording.DASH
            if speed.data_wait is None
            else f"{100 * speed.data_wait:.2f} % of the time",
        ),
        (
            "peak memory",
            wording.DASH if speed.peak_memory is None else f"{speed.peak_memory / 2.0**30:.2f} GiB",
        ),
        ("wall time", wording.duration(speed.wall_seconds)),
        ("nan or inf steps", str(record.health.nonfinite_steps)),
        ("proof of device", record.health.proof),
        ("log sha256", record.log_sha256 or wording.DASH),
        ("checkpoint sha256", record.checkpoint_sha256 or wording.DASH),
    ]
