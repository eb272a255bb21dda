"""References: made of runs, never by hand, found by what they were made of."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Optional

import pytest

from common.core.errors import InfrastructureError, ZooError
from common.evidence.gate.accepting import accept, fit_records
from common.evidence.gate.baseline import device_label, framework_of, key_of, metrics_of
from common.evidence.gate.baseline_store import baseline_path, baselines_of, matching, store
from common.runs.provenance import config_sha256
from tests.fake_zoo import REPOSITORY
from tests.gate_records import MODEL, baseline, given, record


def test_a_reference_survives_being_written_and_read(tmp_path: Path) -> None:
    made = baseline()
    path = store(tmp_path, made)
    assert baselines_of(tmp_path, MODEL) == [made]
    assert path == tmp_path / "ci" / "baselines" / MODEL / made.file_name
    assert made.file_name == f"classification-smoke-{made.key.sha256[:8]}.json"


def test_it_holds_the_raw_values_of_every_run() -> None:
    (first, second) = baseline((90.0, 91.0)).runs
    assert (first.seed, first.metrics["accuracy"], second.metrics["accuracy"]) == (0, 90.0, 91.0)
    assert (first.samples_per_second, first.data_wait) == (100.0, 0.02)
    assert first.first_batches_sha256 == "0" * 64 and first.commit == "a" * 40
    assert (first.device, first.date) == ("Test CPU x 1, 2 threads", "1970-01-01T00:16:40Z")
    assert str(first.evaluation) == "40 samples of test at step 20"


def test_the_seed_is_no_part_of_the_recipe() -> None:
    assert key_of(record(seed=0)) == key_of(record(seed=5))
    assert key_of(record()) != key_of(record(config={"learning_rate": 1}))


def test_the_last_loss_and_the_last_epochs_mean_are_figures_too() -> None:
    assert metrics_of(record()) == {"accuracy": 91.0, "final_loss": 1.0, "train_loss": 0.5}


@pytest.mark.parametrize(
    "text, name",
    [("torch 2.13.0+cpu", "torch 2"), ("TensorFlow 1.15.0", "TensorFlow 1"), ("none", "none")],
)
def test_frameworks_are_compared_by_their_major_version(text: str, name: str) -> None:
    assert framework_of(text) == name


def test_the_threads_of_a_processor_belong_to_its_name_but_not_the_driver_of_a_gpu() -> None:
    cpu = record().device
    gpu = dataclasses.replace(cpu, kind="gpu", runtime="CUDA 12", count=8)
    assert device_label(record(device=cpu)) == "Test CPU x 1, 2 threads"
    assert device_label(record(device=gpu)) == "Test CPU x 8"


def evaluated_at(step: int) -> Any:
    return dataclasses.replace(record().metrics, step=step)


@pytest.mark.parametrize(
    "records, told",
    [
        ([record()], "at least 2"),
        ([record(), record()], "seed was run twice"),
        ([record(), record(seed=1, config={"learning_rate": 1})], "different recipes"),
    ],
)
def test_what_makes_no_reference(tmp_path: Path, records: list, told: str) -> None:
    with pytest.raises(ZooError, match=told):
        accept(tmp_path, records)


def test_runs_that_were_evaluated_otherwise_make_no_reference(tmp_path: Path) -> None:
    second = dataclasses.replace(record(seed=1), metrics=evaluated_at(10))
    with pytest.raises(ZooError, match="not evaluated alike"):
        accept(tmp_path, [record(), second])


# --- files ---


def read_changed(tmp_path: Path, change: Any, resealed: bool) -> None:
    """Reads a reference that was changed; with its checksum made good, as a careful hand would."""
    path = store(tmp_path, baseline())
    content = json.loads(path.read_text())
    change(content)
    if resealed:
        content.pop("sha256", None)
        content["sha256"] = config_sha256(content)
    path.write_text(json.dumps(content))
    baselines_of(tmp_path, MODEL)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["runs"][0]["metrics"].update(accuracy=50.0),
        lambda content: content["runs"].pop(),
        lambda content: content["recipe"].update(flip=False),
        lambda content: content.pop("sha256"),
    ],
    ids=["a value", "a run", "the recipe", "the checksum"],
)
def test_a_change_by_hand_is_refused(tmp_path: Path, change: Any) -> None:
    with pytest.raises(ZooError, match="not as `zoo regress --accept` wrote it"):
        read_changed(tmp_path, change, resealed=False)


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda content: content.update(note="x"), "note is not a key"),
        (lambda content: content["runs"][0].update(note="x"), r"runs\[0\].note is not a key"),
        (lambda content: content["runs"][0].pop("seed"), r"runs\[0\].seed is missing"),
        (lambda content: content["runs"][1].update(seed="1"), "seed must be a whole number"),
        (lambda content: content["runs"][1].update(seed=None), "seed must be a whole number"),
        (lambda content: content["runs"][1]["metrics"].update(accuracy="x"), "must be a number"),
        (lambda content: content.pop("key"), "key is missing"),
        (lambda content: content["recipe"].update(flip=False), "not that of the recipe"),
        (lambda content: content.update(runs=content["runs"][:1]), "at least 2"),
        (lambda content: content["runs"][0].update(seed=1), "twice"),
        (lambda content: content["runs"][0]["evaluation"].update(n=1), "not evaluated alike"),
        (lambda content: content["runs"][0].pop("evaluation"), "not evaluated alike"),
        (lambda content: content["key"].update(device="npu"), "own name"),
        (lambda content: content.update(schema_version=9), "schema version 1"),
        (lambda content: content["runs"].pop(), None),
        (lambda content: [run.pop("evaluation") for run in content["runs"]], None),
    ],
)
def test_what_a_file_must_hold(tmp_path: Path, change: Any, told: Optional[str]) -> None:
    if told is None:
        read_changed(tmp_path, change, resealed=True)
        return
    with pytest.raises(ZooError, match=told):
        read_changed(tmp_path, change, resealed=True)


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00", "[" * 100000])
def test_a_file_that_is_no_reference_is_named(tmp_path: Path, text: str) -> None:
    path = store(tmp_path, baseline())
    path.write_text(text)
    with pytest.raises(ZooError, match=path.name):
        baselines_of(tmp_path, MODEL)


def test_a_reference_is_replaced_by_one_of_the_same_key_only(tmp_path: Path) -> None:
    first, other = baseline(), baseline(config={"learning_rate": 1})
    for made in (first, other, baseline((80.0, 81.0))):
        store(tmp_path, made)
    stored = baselines_of(tmp_path, MODEL)
    assert len(stored) == 2
    assert matching(stored, first.key).values("accuracy") == [80.0, 81.0]


def test_every_reference_of_the_checkout_can_be_read() -> None:
    for folder in (REPOSITORY / "ci" / "baselines").glob("*"):
        for made in baselines_of(REPOSITORY, folder.name):
            assert baseline_path(REPOSITORY, made).is_file()


# --- accepting ---


def test_accepting_tells_old_values_beside_new_ones(tmp_path: Path) -> None:
    accept(tmp_path, [record(90.0, 0), record(91.0, 1)])
    lines = accept(tmp_path, [record(80.0, 0), record(81.0, 1)])
    assert [line.split()[0] for line in lines] == ["wrote", "now", "now", "before", "before"]
    assert "accuracy 80" in lines[1] and "accuracy 90" in lines[3]


def test_a_case_by_another_name_keeps_its_reference(tmp_path: Path) -> None:
    accept(tmp_path, [record(), record(seed=1)])
    accept(tmp_path, [record(case="renamed"), record(seed=1, case="renamed")])
    (made,) = baselines_of(tmp_path, MODEL)
    assert made.case == "smoke"


def test_without_speed_the_earlier_speeds_stay_and_say_whose_they_are(tmp_path: Path) -> None:
    accept(tmp_path, [record(speed=100.0), record(seed=1, speed=99.0)])
    accept(tmp_path, [record(speed=10.0), record(seed=2, speed=11.0)], with_speed=False)
    (made,) = baselines_of(tmp_path, MODEL)
    assert [run.samples_per_second for run in made.runs] == [100.0, None]
    assert [run.speed_of for run in made.runs] == ["run-0", None]


def test_accepted_runs_are_whole_enough_and_clean() -> None:
    dirty = dataclasses.replace(record().code, dirty=True)
    good = given(record(), record(seed=1))
    assert len(fit_records("x", good, 2, False)) == 2
    with pytest.raises(InfrastructureError, match="asked for were 3"):
        fit_records("x", good, 3, False)
    with pytest.raises(InfrastructureError, match="uncommitted"):
        fit_records("x", given(record(), record(seed=1, code=dirty)), 2, False)
    assert fit_records("x", given(record(), record(seed=1, code=dirty)), 2, True)
    with pytest.raises(InfrastructureError, match="must end well"):
        fit_records("x", given(record(), record(seed=1, status="aborted", reason="x")), 2, False)
    doubted = [dataclasses.replace(run, doubts=("the log is another's",)) for run in good]
    with pytest.raises(InfrastructureError, match="another's"):
        fit_records("x", doubted, 2, False)
