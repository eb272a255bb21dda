"""References: made of runs, never by hand, found by what they were made of."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Callable, Optional

import attrs
import pytest

from common.core.errors import InfrastructureError, ZooError
from common.evidence.gate.references import (
    accept,
    baselines_of,
    device_label,
    fit_records,
    key_of,
    store,
)
from common.runs.provenance import config_sha256
from tests.fake_zoo import REPOSITORY
from tests.gate_records import MODEL, baseline, given, record


def test_a_reference_holds_the_raw_values_of_every_run_and_survives_its_file(
    tmp_path: Path,
) -> None:
    made = baseline((90.0, 91.0))
    path = store(tmp_path, made)
    assert baselines_of(tmp_path, MODEL) == [made]
    assert path == tmp_path / "ci" / "baselines" / MODEL / made.file_name
    assert made.file_name.startswith("classification-smoke-")
    first, second = made.runs
    assert (first.seed, first.metrics["accuracy"], second.metrics["accuracy"]) == (0, 90.0, 91.0)
    assert (first.samples_per_second, first.data_wait) == (100.0, 0.02)
    assert first.metrics["final_loss"] == 1.0 and first.metrics["train_loss"] == 0.5
    assert first.first_batches_sha256 == "0" * 64 and first.commit == "a" * 40
    assert (first.device, first.date) == ("Test CPU x 1, 2 threads", "1970-01-01T00:16:40Z")
    assert str(first.evaluation) == "40 samples of test at step 20"


def test_what_a_run_is_held_against_is_its_recipe_without_the_seed() -> None:
    assert key_of(record(seed=0)) == key_of(record(seed=5))
    assert key_of(record()) != key_of(record(config={"learning_rate": 1}))
    gpu = dataclasses.replace(record().device, kind="gpu", runtime="CUDA 12", count=8)
    assert device_label(record(device=gpu)) == "Test CPU x 8"  # threads belong to a processor


# --- files ---


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda content: content["runs"][0].pop("seed"), r"runs\[0\].seed is missing"),
        (lambda content: content["runs"][1].update(seed="1"), "seed must be a whole number"),
        (lambda content: content["recipe"].update(flip=False), "not that of the recipe"),
        (lambda content: content.update(runs=content["runs"][:1]), "at least 2"),
        (lambda content: content["runs"][0].update(seed=1), "twice"),
        (lambda content: content["runs"][0]["evaluation"].update(n=1), "not evaluated alike"),
        (lambda content: content.update(schema_version=9), "schema version 1"),
        (lambda content: content["runs"].pop(), None),
        (lambda content: [run.pop("evaluation") for run in content["runs"]], None),
    ],
)
def test_what_a_file_must_hold_also_where_its_checksum_was_made_good(
    tmp_path: Path, change: Callable[[Any], Any], told: Optional[str]
) -> None:
    path = store(tmp_path, baseline())
    content = json.loads(path.read_text())
    change(content)
    if told is not None:  # whatever was changed by hand
        path.write_text(json.dumps(content))
        with pytest.raises(ZooError, match="not as `zoo regress --accept` wrote it|version 1"):
            baselines_of(tmp_path, MODEL)
    del content["sha256"]
    path.write_text(json.dumps(dict(content, sha256=config_sha256(content))))
    if told is None:
        assert baselines_of(tmp_path, MODEL)
        return
    with pytest.raises(ZooError, match=told):
        baselines_of(tmp_path, MODEL)


def test_every_reference_of_the_checkout_can_be_read() -> None:
    for folder in (REPOSITORY / "ci" / "baselines").glob("*"):
        assert baselines_of(REPOSITORY, folder.name)


# --- accepting ---


def test_a_reference_of_the_same_key_is_replaced_and_keeps_its_case_and_asked_for_its_speeds(
    tmp_path: Path,
) -> None:
    accept(tmp_path, [record(), record(seed=1)])
    accept(tmp_path, [record(seed=seed, config={"epochs": 9}) for seed in (0, 1)])  # another key
    runs = [record(80.0, seed, speed=10.0, case="renamed") for seed in (0, 2)]
    lines = accept(tmp_path, runs, with_speed=False)
    assert [line.split()[0] for line in lines] == ["wrote", "now", "now", "before", "before"]
    assert "accuracy 80" in lines[1] and "accuracy 91" in lines[3]
    stored = {one.key: one for one in baselines_of(tmp_path, MODEL)}
    made = stored[key_of(runs[0])]
    assert len(stored) == 2 and made.case == "smoke"
    assert [run.samples_per_second for run in made.runs] == [100.0, None]
    assert [run.speed_of for run in made.runs] == ["run-0", None]


def test_runs_of_different_recipes_make_no_reference(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="different recipes"):
        accept(tmp_path, [record(), record(seed=1, config={"learning_rate": 1})])


def test_accepted_runs_are_whole_enough_and_clean() -> None:
    good = given(record(), record(seed=1))
    code = dataclasses.replace(record().code, dirty=True)
    dirty = given(record(), record(seed=1, code=code))
    aborted = given(record(), record(seed=1, status="aborted", reason="x"))
    doubted = [attrs.evolve(run, doubts=("the log is another's",)) for run in good]
    assert len(fit_records("x", good, 2, False)) == len(fit_records("x", dirty, 2, True)) == 2
    for runs, count, told in (
        (good, 3, "asked for were 3"),
        (dirty, 2, "uncommitted"),
        (aborted, 2, "must end well"),
        (doubted, 2, "another's"),
    ):
        with pytest.raises(InfrastructureError, match=told):
            fit_records("x", runs, count, False)
