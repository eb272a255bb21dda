"""A reference: what some runs of one recipe came to, and what must agree to be held against it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from common.core.errors import ZooError
from common.runs.provenance import config_sha256, recipe_of
from common.runs.record import RunRecord

SCHEMA_VERSION = 1
FEWEST_RUNS = 2  # one run has no spread
# Figures that are no metric of an evaluation, under which name a tier may judge by them.
FINAL_LOSS, TRAIN_LOSS = "final_loss", "train_loss"
ABSENT = "absent"
_SHOWN = 40  # characters of a value; dataset predicates are long


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
class Evaluation:
    """What the final metrics were measured on: n samples of a split, with the weights of a step."""

    split: str
    n: int
    step: int

    def __str__(self) -> str:
        return f"{self.n} samples of {self.split} at step {self.step}"


@dataclasses.dataclass(frozen=True)
class StoredRun:
    """The raw values of one run that made a reference.

    Attributes:
        metrics: final ones of the test set, with the last loss and the last epoch's mean loss.
        samples_per_second, data_wait: as in the record's speed.
        device: name, number and threads, see device_label.
        evaluation: of the final metrics; None in references of earlier days.
        speed_of: the earlier run whose speed was kept, by `--accept --without_speed`; else None.
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
    evaluation: Optional[Evaluation] = None
    speed_of: Optional[str] = None

    def __str__(self) -> str:
        metrics = ", ".join(f"{name} {value:.6g}" for name, value in sorted(self.metrics.items()))
        rate, wait = self.samples_per_second, self.data_wait
        speed = "no speed" if rate is None else f"{rate:.1f} samples/s"
        speed += "" if wait is None else f", data wait {100 * wait:.1f} %"
        speed += f" of {self.speed_of}" if self.speed_of else ""
        made = f"{self.device}, {self.date}, commit {self.commit[:7]}"
        return f"seed {self.seed}: {metrics}; {speed}; {made}{' with changes' * self.dirty}"


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
    def seeds(self) -> List[int]:
        """The seeds of the runs."""
        return [run.seed for run in self.runs]

    def values(self, metric: str) -> List[float]:
        """A metric of each run that has it."""
        return [run.metrics[metric] for run in self.runs if metric in run.metrics]

    def mistakes(self) -> Iterator[Tuple[str, str]]:
        """What keeps it from being a reference, as key and text."""
        if len(self.runs) < FEWEST_RUNS:
            yield "runs", f"are {len(self.runs)}, but a reference needs at least {FEWEST_RUNS}"
        if len(set(self.seeds)) < len(self.runs):
            seeds = ", ".join(map(str, self.seeds))
            yield "runs", f"differ in their seed, but a seed was run twice ({seeds})"
        if len({run.evaluation for run in self.runs}) > 1:
            yield "runs", "were not evaluated alike"
        if self.key.recipe_sha256 != config_sha256(self.recipe):
            yield "key.recipe_sha256", "is not that of the recipe"


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
    return f"{name} {version.split('.')[0]}".strip()


def device_label(record: RunRecord) -> str:
    """What must agree before speeds are compared: name, number, and a processor's threads."""
    device = record.device
    threads = ", " + device.runtime if device.kind == "cpu" and device.runtime else ""
    return f"{device.name} x {device.count}{threads}"


def stored_run(record: RunRecord) -> StoredRun:
    """The raw values of a run."""
    found = record.metrics
    evaluation = None
    if found.split is not None and found.step is not None:
        evaluation = Evaluation(found.split, found.n_eval, found.step)
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
        evaluation,
    )


def metrics_of(record: RunRecord) -> Dict[str, float]:
    """The finite final metrics of a run, with its final_loss and train_loss."""
    losses = [point["train_loss"] for point in record.metrics.curve if "train_loss" in point]
    found: Dict[str, Any] = {
        TRAIN_LOSS: losses[-1] if losses else None,
        FINAL_LOSS: record.metrics.final_loss,
        **record.metrics.final,
    }
    return {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, (int, float)) and math.isfinite(value)
    }


def make_baseline(records: Sequence[RunRecord]) -> Baseline:
    """A reference from complete runs of one key.

    Raises:
        ZooError: too few runs, a seed twice, runs that differ in more than their seed.
    """
    first = records[0]
    if len({key_of(record) for record in records}) > 1:
        names = ", ".join(record.run_id for record in records)
        raise ZooError(
            f"runs of different recipes, data, precision or devices make no reference: {names}"
        )
    runs = tuple(stored_run(record) for record in records)
    baseline = Baseline(key_of(first), first.case, recipe_of(first.config), runs)
    for key, text in baseline.mistakes():
        raise ZooError(f"the reference of {first.model} {first.case}: its {key} {text}")
    return baseline


def nearest(
    stored: Sequence[Baseline], key: Key, recipe: Mapping[str, Any]
) -> Optional[Tuple[Baseline, List[str]]]:
    """The reference of the same task that differs least, and in what; None without any."""
    found = [
        (baseline, differences(baseline, key, recipe))
        for baseline in stored
        if baseline.key.task == key.task
    ]
    return min(found, key=lambda pair: len(pair[1]), default=None)


def differences(baseline: Baseline, key: Key, recipe: Mapping[str, Any]) -> List[str]:
    """What differs, as "name: stored -> now"; first what is no matter of the recipe."""
    stored, now = dataclasses.asdict(baseline.key), dataclasses.asdict(key)
    pairs = [(name, stored[name], now[name]) for name in stored if name != "recipe_sha256"]
    before, after = dict(_leaves(baseline.recipe, "")), dict(_leaves(recipe, ""))
    names = sorted(set(before) | set(after))
    pairs += [(name, before.get(name, ABSENT), after.get(name, ABSENT)) for name in names]
    return [f"{name}: {_short(old)} -> {_short(new)}" for name, old, new in pairs if old != new]


def _leaves(content: Mapping[str, Any], prefix: str) -> Iterator[Tuple[str, Any]]:
    """The leaves of nested mappings by dotted name."""
    for name, value in content.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
