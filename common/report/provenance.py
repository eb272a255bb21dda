"""Where a run's figures come from, in the words of its record."""

from __future__ import annotations

from typing import List, Tuple

from common.comparison import wording
from common.results.run_record import RunRecord


def provenance(record: RunRecord) -> List[Tuple[str, str]]:
    """Names and values, plain text, of what a reader needs to check or repeat a run."""
    device, speed, batch = record.device, record.speed, record.batch
    return [
        ("run", record.run_id),
        ("status", record.status + (": " + record.reason if record.reason else "")),
        ("date", record.date),
        ("model, task, case", "{}, {}, {}".format(record.model, record.task, record.case)),
        ("commit", record.code.commit + ", with uncommitted changes" * record.code.dirty),
        ("command", record.command),
        ("config sha256", record.config_sha256),
        ("dataset", "{}: {}".format(record.dataset.name, record.dataset.predicate)),
        ("samples", ", ".join("{} {:,}".format(name, count)
                              for name, count in sorted(record.dataset.counts.items()))),
        ("dataset manifest sha256", record.dataset.manifest_sha256),
        ("device", "{} {} x {}".format(device.kind.upper(), device.name, device.count)),
        ("software", ", ".join(part for part in (device.framework, "Python " + device.python,
                                                 device.driver, device.runtime) if part)),
        ("precision", "{} ({})".format(record.precision.arithmetic, record.precision.mode)),
        ("batch", "{} a device, {} in all".format(batch.per_device, batch.total)),
        ("seed", str(record.seed)),
        ("steps", "{:,} of {:,}".format(record.progress.steps, record.progress.target_steps)),
        ("speed", "{} samples/s over {:,} steps".format(
            wording.DASH if speed.samples_per_second is None else wording.number(
                speed.samples_per_second), speed.measured_steps)),
        ("waiting for data", wording.DASH if speed.data_wait is None
         else "{:.2f} % of the time".format(100 * speed.data_wait)),
        ("peak memory", wording.DASH if speed.peak_memory is None
         else "{:.2f} GiB".format(speed.peak_memory / 2.0 ** 30)),
        ("wall time", wording.duration(speed.wall_seconds)),
        ("nan or inf steps", str(record.health.nonfinite_steps)),
        ("proof of device", record.health.proof),
        ("log sha256", record.log_sha256 or wording.DASH),
        ("checkpoint sha256", record.checkpoint_sha256 or wording.DASH)]
