"""References: what some runs of one recipe came to, kept as ci/baselines/<model>/*.json.

They are made of runs by `zoo regress --accept` and by nothing else.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import attrs

from common.core.codec import content_of, json_text, parse_json, plain, structured
from common.core.errors import InfrastructureError, ZooError
from common.core.files import write_atomically
from common.core.text import shortened
from common.evidence.gate.evidence import GivenRun, judge_soundness
from common.evidence.gate.findings import Verdict
from common.runs.provenance import config_sha256, recipe_of
from common.runs.record import RunRecord
from common.runs.store import differences

SCHEMA_VERSION = 1
FOLDER = Path("ci") / "baselines"
FEWEST_RUNS = 2  # one run has no spread
_ANEW = "remove it and make it anew with `zoo regress --accept`"
_SHOWN = 40  # characters of a value; dataset predicates are long


@attrs.frozen
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


@attrs.frozen
class Evaluation:
    """What the final metrics were measured on: n samples of a split, with the weights of a step."""

    split: str
    n: int
    step: int

    def __str__(self) -> str:
        return f"{self.n} samples of {self.split} at step {self.step}"


@attrs.frozen
class StoredRun:
    """The raw values of one run that made a reference.

    Attributes:
        metrics: final ones of the test set, with final_loss and the last epoch's train_loss.
        samples_per_second, data_wait: as in the record's speed.
        device: see device_label.
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


@attrs.frozen
class Baseline:
    """A reference: its key, the recipe behind the key's hash, and the runs."""

    key: Key
    case: str
    recipe: Dict[str, Any]
    runs: Tuple[StoredRun, ...]

    @property
    def file_name(self) -> str:
        """`<task>-<case>-<the key's hash, short>.json`."""
        sha256 = config_sha256(attrs.asdict(self.key))
        return f"{self.key.task}-{self.case}-{sha256[:8]}.json"

    def path(self, root: Path) -> Path:
        """Where it lies below a checkout."""
        return root / FOLDER / self.key.model / self.file_name

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

    def differences(self, key: Key, recipe: Mapping[str, Any]) -> List[str]:
        """What a run has otherwise, as "name: stored -> now"; the recipe last."""
        own, other = ({**attrs.asdict(one), "recipe_sha256": ""} for one in (self.key, key))
        found = [*differences(own, other), *differences(self.recipe, recipe)]
        return [f"{name}: {_short(old)} -> {_short(new)}" for name, old, new in found]


def _short(value: Any) -> str:
    return "absent" if value is None else shortened(str(value), _SHOWN)


# --- from records ---


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
    losses = [point["train_loss"] for point in found.curve if "train_loss" in point]
    last = losses[-1] if losses else None
    told = {"train_loss": last, "final_loss": found.final_loss, **found.final}
    evaluated = found.split is not None and found.step is not None
    return StoredRun(
        record.run_id,
        record.seed,
        {name: float(one) for name, one in told.items() if one is not None and math.isfinite(one)},
        record.speed.samples_per_second,
        record.speed.data_wait,
        record.first_batches_sha256,
        device_label(record),
        record.date,
        record.code.commit,
        record.code.dirty,
        Evaluation(str(found.split), found.n_eval, int(found.step or 0)) if evaluated else None,
    )


def make_baseline(records: Sequence[RunRecord]) -> Baseline:
    """A reference from complete runs of one key; ZooError where they make none."""
    first = records[0]
    if len({key_of(record) for record in records}) > 1:
        names = ", ".join(record.run_id for record in records)
        raise ZooError(
            f"runs of different recipes, data, precision or devices make no reference: {names}"
        )
    runs = tuple(map(stored_run, records))
    baseline = Baseline(key_of(first), first.case, recipe_of(first.config), runs)
    for key, text in baseline.mistakes():
        raise ZooError(f"the reference of {first.model} {first.case}: its {key} {text}")
    return baseline


# --- files ---


def baselines_of(root: Path, model: str) -> List[Baseline]:
    """The references of a network, by file name.

    Raises:
        ZooError: a file that is no valid reference.
    """
    return [_read(path) for path in sorted((root / FOLDER / model).glob("*.json"))]


def _read(path: Path) -> Baseline:
    content = parse_json(content_of(path), str(path))
    version = content.pop("schema_version", None) if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise ZooError(f"{path} is not a reference of schema version {SCHEMA_VERSION}; {_ANEW}")
    if content.pop("sha256", None) != checksum(content):
        raise ZooError(f"{path} is not as `zoo regress --accept` wrote it; {_ANEW}")
    return structured(content, Baseline, str(path))


def checksum(content: Mapping[str, object]) -> str:
    """By which a change by hand is noticed."""
    whole = dict(content, schema_version=SCHEMA_VERSION)
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode("utf-8")).hexdigest()


def store(root: Path, baseline: Baseline) -> Path:
    """Writes a reference, in place of an earlier one of the same name; returns its path."""
    path, content = baseline.path(root), plain(baseline)
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {"schema_version": SCHEMA_VERSION, **content, "sha256": checksum(content)}
    write_atomically(path, json_text(whole))
    return path


# --- accepting ---


def fit_records(
    name: str, runs: Sequence[GivenRun], fewest: int, allow_dirty: bool
) -> List[RunRecord]:
    """The records of runs from which a reference may be made.

    Raises:
        InfrastructureError: a run is not whole or sound, too few runs, uncommitted changes.
    """
    found = [finding for run in runs for finding in judge_soundness(run)]
    problems = [finding.line for finding in found if finding.verdict is not Verdict.PASS]
    records = [run.record for run in runs if run.record is not None]
    if len(records) < fewest:
        problems.append(f"{len(records)} run(s), asked for were {fewest}")
    if not allow_dirty and any(record.code.dirty for record in records):
        problems.append(
            "runs with uncommitted changes; commit them and run again, or give --allow_dirty"
        )
    if problems:
        raise InfrastructureError(f"no reference for {name}: {problems[0]}")
    return records


def accept(root: Path, records: Sequence[RunRecord], with_speed: bool = True) -> List[str]:
    """Writes the reference of runs; returns what to tell, an earlier reference's values included.

    Args:
        with_speed: False keeps the speeds of the earlier reference's runs of the same seeds on the
            same device.

    Raises:
        ZooError: the runs differ in more than their seed.
    """
    made = make_baseline(records)
    stored = baselines_of(root, made.key.model)
    before = next((one for one in stored if one.key == made.key), None)
    earlier = before.runs if before else ()
    if before is not None:  # a case may have got another name; its recipe is still the same
        made = attrs.evolve(made, case=before.case)
    if not with_speed:
        known = {(run.seed, run.device): run for run in earlier}
        runs = []
        for run in made.runs:
            old = known.get((run.seed, run.device))
            rate, wait = (old.samples_per_second, old.data_wait) if old else (None, None)
            run = attrs.evolve(run, samples_per_second=rate, data_wait=wait)
            runs.append(attrs.evolve(run, speed_of=(old.speed_of or old.run_id) if old else None))
        made = attrs.evolve(made, runs=tuple(runs))
    return [
        f"wrote {store(root, made).relative_to(root)}",
        *(f"  now     {run}" for run in made.runs),
        *(f"  before  {run}" for run in earlier),
    ]
