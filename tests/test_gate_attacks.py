"""Forged, cut and lost evidence: every attack has its right verdict, and none of them is PASS."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Tuple

import pytest

from common.core.files import sha256_of
from common.evidence.gate.evidence import read_runs
from common.evidence.gate.findings import CaseReport, Verdict
from common.evidence.gate.judging import judge_case
from common.evidence.gate.references import Baseline, make_baseline
from common.runs.provenance import config_sha256
from common.runs.store import keep
from tests.gate_records import RunOnDisk, rules, task

PASS, REGRESS = Verdict.PASS, Verdict.REGRESS
INCONCLUSIVE, INFRA = Verdict.INCONCLUSIVE, Verdict.INFRA
Attack = Callable[[RunOnDisk], Any]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    """Of three seeds; the second of them is the run that is attacked."""
    folder = tmp_path_factory.mktemp("runs")
    runs = [
        RunOnDisk(folder / str(seed), seed, accuracy)
        for seed, accuracy in enumerate((90.8, 91, 91.2))
    ]
    return make_baseline([read_runs(run.folder)[0].record for run in runs])


@pytest.fixture()
def run(tmp_path: Path) -> RunOnDisk:
    return RunOnDisk(tmp_path / "run", seed=1)


def judged(reference: Baseline, *paths: Path) -> CaseReport:
    runs = [run for path in paths for run in read_runs(path)]
    return judge_case("m/t smoke", task(), rules(), runs, [reference])


def test_what_nobody_touched_passes(reference: Baseline, run: RunOnDisk, tmp_path: Path) -> None:
    for place in (run.folder, run.folder / "record.json", keep(tmp_path, run.folder)):
        assert judged(reference, place).verdict is PASS
    run.final["metrics"]["accuracy"] = 91.1  # nothing is signed: who forges all is believed
    run.write()
    assert judged(reference, run.folder).verdict is PASS


# --- what the events say, and all else forged to agree with it ---


def change(kind: str, every: bool = False, **values: Any) -> Attack:
    """Other values in the last event of a kind, or in all; a__b is the key b within a."""

    def attack(run: RunOnDisk) -> None:
        for event in run.of(kind) if every else run.of(kind)[-1:]:
            for name, value in values.items():
                outer, _, inner = name.rpartition("__")
                (event[outer] if outer else event)[inner] = value

    return attack


def final(**values: Any) -> Attack:
    return lambda run: run.final.update(values)


def without(*numbers: int, **values: Any) -> Attack:
    """Without some events, by their place; `values` change the step before each."""

    def attack(run: RunOnDisk) -> None:
        for number in sorted(numbers, reverse=True):
            del run.events[number]
            run.events[number - 1].update(values)

    return attack


def twice(kind: str, **values: Any) -> Attack:
    def attack(run: RunOnDisk) -> None:
        found = run.final if kind == "final" else run.of(kind)[-1]
        run.events.insert(run.events.index(found), dict(found, **values))

    return attack


def configured(resealed: bool, seed: Any = 1, **config: Any) -> Attack:
    """Another seed or configuration, with the old checksum or with its own."""

    def attack(run: RunOnDisk) -> None:
        (start,) = run.of("start")
        start["seed"] = seed
        start["config"].update({"seed": seed, **config})
        if resealed:
            start["config_sha256"] = config_sha256(start["config"])

    return attack


SETTLES_NOTHING: Dict[str, Attack] = {
    "one sample": final(n=1),
    "no sample": final(n=0),
    "a thousand times the samples": final(n=40000),
    "a test set of one sample": lambda run: (
        final(n=1)(run),
        change("start", dataset__counts={"test": 1, "train": 64})(run),
    ),
    "the validation split": final(split="validation"),
    "an earlier step": final(step=10),
    "no final evaluation": final(role="progress"),
    "two final evaluations": twice("final"),
    "no accuracy": final(metrics={"loss": 0.5}),
    "an accuracy of NaN": final(metrics={"accuracy": float("nan")}),
    "an accuracy as text": final(metrics={"accuracy": "91.0"}),
    "a loss as text": change("step", loss="low"),
    "no loss": lambda run: run.of("step")[3].pop("loss"),
    "a step replaced by its neighbour": without(5, step=5),
    "the last step less": without(23),
    "no steps": lambda run: [run.events.remove(event) for event in run.of("step")],
    "more steps than asked for": change("start", targets__steps=10),
    "fewer steps than asked for": change("start", targets__steps=30),
    "no steps asked for": change("start", targets__steps=0),
    "the last epoch less": without(24),
    "a thousand times the samples in a step": change("step", True, samples=32000),
    "no samples in a step": change("step", samples=0),
    "steps of no time": change("step", True, seconds=0.0),
    "steps without time": lambda run: run.of("step")[3].pop("seconds"),
    "a seed as text": configured(True, "1"),
    "a seed of 3.5": configured(True, 3.5),
    "another seed than the configuration's": change("start", seed=2),
    "another recipe under the old checksum": configured(False, augmentation={"flip": False}),
    "another recipe": configured(True, augmentation={"flip": False}),
    "first batches that are not told": change("start", first_batches_sha256=None),
    "no proof of the device": change("start", proof=""),
    "a proof that names none": change("start", proof="all is well"),
    "a proof of an NPU": change("start", proof="9 parameter tensors on npu:0"),
    "an NPU with a proof of a CPU": change("start", device__kind="npu"),
    "another device": change("start", device__name="Fast CPU"),
    "another task": change("start", task="detection"),
    "a network that nobody knows": change("start", model="nothing_net"),
    "no start": lambda run: run.events.pop(0),
    "no end": lambda run: run.events.remove(run.of("end")[0]),
}
REGRESSES: Dict[str, Attack] = {
    "an accuracy that is worse": final(metrics={"accuracy": 50.0}),
    "an accuracy too good": final(metrics={"accuracy": 99.9}),
    "a loss of null": change("step", loss=None),
    "a loss of NaN": change("step", loss=float("nan")),
    "a loss of infinity": change("step", loss=float("inf")),
    'a loss of "nan"': change("step", loss="nan"),
    "steps of twice the time": change("step", True, seconds=1.0),
    "waiting for data": change("step", True, data_seconds=0.4),
    "another seed, its batches known": configured(True, 2),
    "other first batches": change("start", first_batches_sha256="f" * 64),
    "an end that failed": change("end", status="failed", reason="the loss is nan"),
}
FORGED = {**SETTLES_NOTHING, **REGRESSES}


@pytest.mark.parametrize("name", FORGED)
def test_evidence_that_agrees_with_itself_is_held_to_what_it_must_be(
    name: str, reference: Baseline, run: RunOnDisk
) -> None:
    FORGED[name](run)
    try:
        run.write()
    except Exception:  # there is no such record, so its forger leaves the old one
        run.write_events()
    report = judged(reference, run.folder)
    verdict = REGRESS if name in REGRESSES else INCONCLUSIVE
    assert report.verdict is verdict, [part.line for part in report.findings]


# --- one file edited ---


def leaves(content: Any) -> Iterator[Tuple[Any, Any]]:
    """The place and the key of every value."""
    for name, value in content.items() if isinstance(content, dict) else enumerate(content):
        if isinstance(value, (dict, list)) and value:
            yield from leaves(value)
        else:
            yield content, name


def other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, (int, float)) else f"{value or ''}x"


@pytest.mark.parametrize("kept", [False, True], ids=["folder", "kept"])
def test_no_value_of_a_record_can_be_edited(
    kept: bool, reference: Baseline, run: RunOnDisk, tmp_path: Path
) -> None:
    path = keep(tmp_path, run.folder) if kept else run.folder / "record.json"
    content = json.loads(path.read_text())
    found = list(leaves(content))
    assert len(found) > 60
    for place, name in found:
        value, place[name] = place[name], other(place[name])
        path.write_text(json.dumps(content))
        assert judged(reference, path).verdict is INCONCLUSIVE, name
        place[name] = value
    for name in sorted(set(content) - {"first_batches_sha256"}):  # which old records do not have
        path.write_text(json.dumps({key: content[key] for key in content if key != name}))
        assert judged(reference, path).verdict is INCONCLUSIVE, f"without {name}"


def forged_accuracy(run: RunOnDisk) -> None:
    """In the events and the record, not in the log."""
    log = (run.folder / "train_0.log").read_bytes()
    run.final["metrics"]["accuracy"] = 91.1
    run.write()
    (run.folder / "train_0.log").write_bytes(log)
    run.of("launch")[0]["log_sha256"] = sha256_of(run.folder / "train_0.log")
    run.write_events()
    record = run.read_json("record.json")
    record["log_sha256"] = run.of("launch")[0]["log_sha256"]
    run.write_json("record.json", record)


def unlinked(*names: str) -> Attack:
    return lambda run: [(run.folder / name).unlink() for name in names]


def written(name: str, text: str = "") -> Attack:
    return lambda run: (run.folder / name).write_text(text)


def marker(*without: str, **values: Any) -> Attack:
    def attack(run: RunOnDisk) -> None:
        content = dict(run.read_json("run.json"), **values)
        run.write_json("run.json", {name: content[name] for name in content if name not in without})

    return attack


def edited_events(*also: str) -> Attack:
    """A better accuracy in the events, and what would tell it is gone."""

    def attack(run: RunOnDisk) -> None:
        run.final["metrics"]["accuracy"] = 91.2
        run.write_events()
        unlinked(*also)(run)

    return attack


EVENTS, LOG = "rank_0/metrics.jsonl", "train_0.log"
LOST: Dict[str, Attack] = {
    "accuracy in events and record": forged_accuracy,
    "events edited beside the record": edited_events(),
    "events edited, record gone": edited_events("record.json"),
    "events edited, record and log gone": edited_events("record.json", LOG),
    "no record": unlinked("record.json"),
    "no events": unlinked(EVENTS),
    "no log": unlinked(LOG),
    "no marker": unlinked("run.json"),
    "only the record": unlinked("run.json", EVENTS, LOG),
    "only the events": unlinked("run.json", "record.json", LOG),
    "an empty record": written("record.json"),
    "empty events": written(EVENTS),
    "an empty log": written(LOG),
    "an empty marker": written("run.json"),
    "another log": written(LOG, "Final Train Accuracy : 91.00\n"),
    "a record without end": written("record.json", "[" * 100000),
    "a marker of another case": marker(case="perf"),
    "a marker of another task": marker(task="other"),
    "a marker of a running run": marker("exit_code", state="running"),
    "a running run with an exit code": marker(state="running"),
    "a failed run without an exit code": marker("exit_code", state="failed"),
    "a failed run that ended well": marker(state="failed"),
    "a whole run without an exit code": marker("exit_code"),
    "a whole run that ended badly": marker(exit_code=1),
    "a marker without a state": marker("state"),
    "an exit code as text": marker(exit_code="0"),
    "seeds that are none": marker(seeds=["x"]),
    "seeds that are not there": marker(seeds=[0, 1]),
}
ENDED: Dict[str, Attack] = {
    "interrupted": marker(state="interrupted", exit_code=130),
    "killed": marker(state="failed", exit_code=137),
    "a hang": marker(state="failed", exit_code=124),
    "a full disk": marker(state="failed", exit_code=3),
}


@pytest.mark.parametrize("name", {**LOST, **ENDED})
def test_what_is_missing_or_contradicts_settles_nothing(
    name: str, reference: Baseline, run: RunOnDisk
) -> None:
    {**LOST, **ENDED}[name](run)
    report = judged(reference, run.folder)
    assert report.verdict is (INFRA if name in ENDED else INCONCLUSIVE), [
        part.line for part in report.findings
    ]


# --- kept records, several runs, cases by another name ---


KEPT_LOG, KEPT_EVENTS = ".log.gz", ".metrics.jsonl.gz"


def better_events(path: Path) -> None:
    events = gzip.decompress(path.with_suffix(KEPT_EVENTS).read_bytes())
    assert b'"accuracy": 91.0' in events
    edited = events.replace(b'"accuracy": 91.0', b'"accuracy": 91.2')
    path.with_suffix(KEPT_EVENTS).write_bytes(gzip.compress(edited))


def better_record_log_and_checksum(path: Path) -> None:
    log = gzip.decompress(path.with_suffix(KEPT_LOG).read_bytes()).replace(b"91.00", b"91.10")
    path.with_suffix(KEPT_LOG).write_bytes(gzip.compress(log))
    content = json.loads(path.read_text())
    content["metrics"]["final"]["accuracy"] = 91.1
    content["log_sha256"] = hashlib.sha256(log).hexdigest()
    path.write_text(json.dumps(content))


OF_KEPT: Dict[str, Callable[[Path], Any]] = {
    "no log": lambda path: path.with_suffix(KEPT_LOG).unlink(),
    "no events": lambda path: path.with_suffix(KEPT_EVENTS).unlink(),
    "empty events": lambda path: path.with_suffix(KEPT_EVENTS).write_bytes(gzip.compress(b"")),
    "events edited": better_events,
    "record, log and checksum forged together": better_record_log_and_checksum,
    "another name": lambda path: [
        part.rename(part.with_name(part.name.replace("-smoke-", "-perf-")))
        for part in list(path.parent.iterdir())
    ],
}


@pytest.mark.parametrize("name", OF_KEPT)
def test_a_kept_record_needs_its_name_its_log_and_its_events(
    name: str, reference: Baseline, run: RunOnDisk, tmp_path: Path
) -> None:
    OF_KEPT[name](keep(tmp_path, run.folder))
    (path,) = tmp_path.glob("results/*/*.json")
    assert judged(reference, path).verdict is INCONCLUSIVE


def test_one_run_under_two_seeds_is_one_run(
    reference: Baseline, run: RunOnDisk, tmp_path: Path
) -> None:
    shutil.copytree(str(run.folder), str(tmp_path / "copy"))
    assert judged(reference, run.folder, tmp_path / "copy").verdict is INCONCLUSIVE
    copied = RunOnDisk(tmp_path / "second", seed=2)
    (copied.folder / LOG).write_bytes((run.folder / LOG).read_bytes())
    assert judged(reference, run.folder, copied.folder).verdict is INCONCLUSIVE


def test_of_several_seeds_none_can_be_left_out(reference: Baseline, tmp_path: Path) -> None:
    for seed, accuracy in enumerate((90.8, 91.0, 50.0)):
        RunOnDisk(tmp_path / f"seed_{seed}", seed, accuracy)
    (tmp_path / "run.json").write_text(json.dumps({"seeds": [0, 1]}))
    assert judged(reference, tmp_path).verdict is REGRESS
    shutil.rmtree(str(tmp_path / "seed_2"))
    assert judged(reference, tmp_path).verdict is PASS
    (tmp_path / "run.json").write_text(json.dumps({"seeds": [0, 1, 2]}))
    assert judged(reference, tmp_path).verdict is INCONCLUSIVE


def test_a_case_renamed_everywhere_is_still_judged_by_what_the_reference_promises(
    reference: Baseline, run: RunOnDisk
) -> None:
    run.final["metrics"]["accuracy"] = 20.0
    run.write(case="performance_1p")
    assert judged(reference, run.folder).verdict is REGRESS
