"""A reference: what some runs of one recipe came to, and what must agree to be held against it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from typing import Any, Dict, List, Mapping, Optional, Tuple

from common.core.errors import ZooError
from common.runs.provenance import config_sha256, recipe_of
from common.runs.record import RunRecord

SCHEMA_VERSION = 1
FEWEST_RUNS = 2  # one run has no spread
# Figures that are no metric of an evaluation, under which name a tier may judge by them.
FINAL_LOSS, TRAIN_LOSS = "final_loss", "train_loss"


@dataclasses.dataclass(frozen=True)
class Key:
    """What runs must share to be comparable.

    Attributes:
        dataset: the predicate that says how the splits were made; manifest_sha256 its files.
        precision: the mode that was asked for.
        device: the family: cpu, gpu or npu.
        framework: its name and major version.
        recipe_sha256: of the configuration without the seed.
    """

    model: str
    task: str
    dataset: str
    manifest_sha256: str
    precision: str
    global_batch: int
    device: str
    framework: str
    recipe_sha256: str

    @property
    def sha256(self) -> str:
        """The key's own hash."""
        return config_sha256(dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True)
class StoredRun:
    """The raw values of one run that made a reference.

    Attributes:
        metrics: final ones of the test set, with the last loss and the last epoch's mean loss.
        samples_per_second, data_wait: as in the record's speed.
        device: name, number and threads, see device_label.
    """

    run_id: str
    seed: int
    metrics: Dict[str, float]
    samples_per_second: Optional[float]
    data_wait: Optional[float]
    first_batches_sha256: Optional[str]
    device: str
    date: str
    commit: str
    dirty: bool


@dataclasses.dataclass(frozen=True)
class Baseline:
    """A reference: its key, the recipe behind the key's hash, and the runs."""

    key: Key
    case: str
    recipe: Dict[str, Any]
    runs: Tuple[StoredRun, ...]

    @property
    def file_name(self) -> str:
        """`<task>-<case>-<the key's hash, short>.json`."""
        return f"{self.key.task}-{self.case}-{self.key.sha256[:8]}.json"

    @property
    def seeds(self) -> Tuple[int, ...]:
        """The seeds of the runs."""
        return tuple(run.seed for run in self.runs)

    def values(self, metric: str) -> List[float]:
        """A metric of each run that has it."""
        return [run.metrics[metric] for run in self.runs if metric in run.metrics]


def key_of(record: RunRecord) -> Key:
    """The key of a run."""
    return Key(
        record.model,
        record.task,
        record.dataset.predicate,
        record.dataset.manifest_sha256,
        record.precision.mode,
        record.batch.total,
        record.device.kind,
        framework_of(record.device.framework),
        config_sha256(recipe_of(record.config)),
    )


def framework_of(text: str) -> str:
    """ "torch 2.13.0+cpu" as "torch 2"."""
    name, _, version = text.partition(" ")
    return "{} {}".format(name, version.split(".")[0]).strip()


def device_label(record: RunRecord) -> str:
    """What must agree before speeds are compared: name, number, and a processor's threads."""
    device = record.device
    threads = ", " + device.runtime if device.kind == "cpu" and device.runtime else ""
    return f"{device.name} x {device.count}{threads}"


def stored_run(record: RunRecord) -> StoredRun:
    """The raw values of a run."""
    return StoredRun(
        record.run_id,
        record.seed,
        metrics_of(record),
        record.speed.samples_per_second,
        record.speed.data_wait,
        record.first_batches_sha256,
        device_label(record),
        record.date,
        record.code.commit,
        record.code.dirty,
    )


def metrics_of(record: RunRecord) -> Dict[str, float]:
    """The finite final metrics of a run, with its final_loss and train_loss."""
    losses = [point["train_loss"] for point in record.metrics.curve if "train_loss" in point]
    found: Dict[str, Any] = {
        TRAIN_LOSS: losses[-1] if losses else None,
        FINAL_LOSS: record.metrics.final_loss,
    }
    found.update(record.metrics.final)
    return {name: float(value) for name, value in found.items() if _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def make_baseline(records: List[RunRecord]) -> Baseline:
    """A reference from complete runs of one key.

    Raises:
        ZooError: too few runs, a seed twice, runs that differ in more than their seed.
    """
    first = records[0]
    keys = {key_of(record) for record in records}
    if len(keys) > 1:
        raise ZooError(
            "runs of different recipes, data, precision or devices make no reference: {}".format(
                ", ".join(record.run_id for record in records)
            )
        )
    baseline = Baseline(
        key_of(first),
        first.case,
        recipe_of(first.config),
        tuple(stored_run(record) for record in records),
    )
    _check_runs(baseline, f"the reference of {first.model} {first.case}")
    return baseline


def _check_runs(baseline: Baseline, where: str) -> None:
    if len(baseline.runs) < FEWEST_RUNS:
        raise ZooError(
            f"{where}: {len(baseline.runs)} run(s), but a reference needs at least {FEWEST_RUNS}"
        )
    if len(set(baseline.seeds)) < len(baseline.runs):
        raise ZooError(
            "{}: a seed was run twice ({}); runs must differ in their seed".format(
                where, ", ".join(str(seed) for seed in baseline.seeds)
            )
        )


def to_json(baseline: Baseline) -> str:
    """The reference as indented JSON, with a checksum by which a change by hand is noticed."""
    content: Dict[str, Any] = {"schema_version": SCHEMA_VERSION}
    content.update(dataclasses.asdict(baseline))
    content["sha256"] = _checksum(content)
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _checksum(content: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in content.items() if name != "sha256"}
    text = json.dumps(kept, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def from_json(text: str, where: str) -> Baseline:
    """Reads a reference.

    Args:
        where: the file's name, for errors.

    Raises:
        ZooError: not JSON, another schema version, changed by hand, a key too few or too many.
    """
    content = _parsed(text, where)
    if content.pop("sha256", None) != _checksum(content):
        raise ZooError(
            f"{where} is not as `zoo regress --accept` wrote it; make it anew with --accept"
        )
    content.pop("schema_version")
    baseline = _built(content, where)
    if baseline.key.recipe_sha256 != config_sha256(baseline.recipe):
        raise ZooError(f"{where}: the recipe's hash is not that of the recipe")
    _check_runs(baseline, where)
    return baseline


def _parsed(text: str, where: str) -> Dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ZooError(
            f"{where} is not JSON ({error}); make it anew with `zoo regress --accept`"
        ) from error
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        raise ZooError(f"{where} is not a reference of schema version {SCHEMA_VERSION}")
    return content


def _built(content: Dict[str, Any], where: str) -> Baseline:
    try:
        return Baseline(
            Key(**content.pop("key")),
            case=str(content.pop("case")),
            recipe=dict(content.pop("recipe")),
            runs=tuple(StoredRun(**run) for run in content.pop("runs")),
            **content,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ZooError(f"{where}: a key is missing or unknown ({error})") from error
