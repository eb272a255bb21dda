"""`zoo regress` in a zoo of its own: what is broken on purpose is found, and by what."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict
from xml.etree import ElementTree

import pytest

from tests.tiny_zoo import TinyZoo, result_of, verdicts

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> TinyZoo:
    """A zoo whose reference was accepted from three runs."""
    made = TinyZoo(tmp_path_factory.mktemp("a zoo"))
    done = made.regress("--accept", "--allow_dirty")
    assert done.returncode == 0, done.stderr
    made.last_good = made.last_runs()[0]
    return made


@pytest.fixture()
def fresh(tmp_path: Path) -> TinyZoo:
    """A zoo without a reference."""
    return TinyZoo(tmp_path)


@pytest.fixture()
def run(zoo: TinyZoo, tmp_path: Path) -> Path:
    """A copy of a good run's folder."""
    folder = tmp_path / "run"
    shutil.copytree(str(zoo.last_good), str(folder))
    return folder


def failed(done: Any) -> Dict[str, str]:
    found = verdicts(done).items()
    return {aspect: verdict for aspect, verdict in found if verdict not in ("PASS", "told")}


def test_what_did_not_change_passes(zoo: TinyZoo) -> None:
    done = zoo.regress("--json")
    assert done.returncode == 0, done.stdout
    of_seed = {f"{name}, seed 0" for name in ("run", "numbers", "device", "first batches")}
    assert set(verdicts(done)) == of_seed | {
        "seeds",
        "reference",
        "evaluation",
        "accuracy",
        "speed",
        "data wait",
    }
    assert set(verdicts(done).values()) == {"PASS"}


@pytest.mark.parametrize(
    "broken, aspect",
    [
        ("learning_rate", "accuracy"),
        ("labels", "accuracy"),
        ("speed", "speed"),
        ("augmentation", "first batches, seed 0"),
        ("numbers", "numbers, seed 0"),
    ],
)
def test_sources_broken_behind_the_same_recipe_are_found_by_the_numbers(
    zoo: TinyZoo, broken: str, aspect: str
) -> None:
    done = zoo.regress("--json", TINY_NET_BREAK=broken)
    assert done.returncode == 1, done.stdout
    assert failed(done) == {aspect: "REGRESS"}
    if broken == "speed":
        told = zoo.regress("--json", "--without_speed", TINY_NET_BREAK=broken)
        assert told.returncode == 0 and verdicts(told)["speed"] == "told"


@pytest.mark.parametrize("broken", ["import", "killed"])
def test_a_run_that_cannot_start_or_is_killed_is_infra(zoo: TinyZoo, broken: str) -> None:
    done = zoo.regress(TINY_NET_BREAK=broken)
    assert done.returncode == 3 and "INFRA" in done.stdout.splitlines()[-1]


def test_a_dropped_augmentation_is_another_recipe_and_named(zoo: TinyZoo) -> None:
    flags = ("--device=cpu", "--augment=false", f"--output_path={zoo.root / 'dropped'}")
    zoo.zoo("launch", "tiny_net", "smoke", *flags)
    done = zoo.judge("--records", str(zoo.root / "dropped"))
    assert done.returncode == 2 and "augment: True -> False" in done.stdout


# --- finished runs ---


def test_a_finished_run_is_judged_without_running_anything(zoo: TinyZoo, run: Path) -> None:
    before = len(list((zoo.root / "output" / "regress").iterdir()))
    result = result_of(zoo.judge("--json", "--records", str(run)))
    assert (result["verdict"], result["exit_code"], result["tier"]) == ("PASS", 0, "smoke")
    assert zoo.judge("--records", str(run / "record.json")).returncode == 0
    assert len(list((zoo.root / "output" / "regress").iterdir())) == before


def test_too_few_seeds_at_release_are_inconclusive_in_every_form(
    zoo: TinyZoo, run: Path, tmp_path: Path
) -> None:
    junit, page = tmp_path / "gate.xml", tmp_path / "gate.md"
    words = ["--tier", "release", "--records", str(run), "--junit", str(junit)]
    done = zoo.judge("--json", *words, "--markdown", str(page))
    assert done.returncode == 2
    assert failed(done) == {"seeds": "INCONCLUSIVE", "accuracy": "INCONCLUSIVE"}
    suites = ElementTree.parse(str(junit)).getroot()
    assert (suites.get("failures"), suites.get("errors")) == ("0", "2")
    assert "# Regression gate, tier release: INCONCLUSIVE" in page.read_text()


# --- references ---


def test_without_a_reference_nothing_passes_and_the_users_log_stays(fresh: TinyZoo) -> None:
    fresh.zoo("launch", "tiny_net", "smoke", "--device=cpu", "--seed=5")
    output = fresh.root / "PyTorch" / "tiny_net" / "test" / "output"
    log = (output / "0" / "train_0.log").read_text()
    done = fresh.regress("--json")
    assert done.returncode == 2 and failed(done) == {"reference": "INCONCLUSIVE"}
    assert [path.name for path in output.iterdir()] == ["0"]
    assert (output / "0" / "train_0.log").read_text() == log
    own = fresh.last_runs()[0] / "train_0.log"
    assert own.is_file() and not own.is_symlink() and "accuracy" in own.read_text()
    done = fresh.judge("--tier", "nightly")
    assert done.returncode == 2 and "--data_path is missing" in done.stdout


def test_uncommitted_sources_need_leave_and_a_reference_replaced_is_printed_beside_the_new_one(
    fresh: TinyZoo,
) -> None:
    words = ("--accept", "--runs", "2")
    refused = fresh.regress(*words, TINY_NET_DIRTY="1")
    assert refused.returncode == 3 and not fresh.baselines
    assert "uncommitted changes" in refused.stderr
    first = fresh.regress(*words, "--allow_dirty", TINY_NET_DIRTY="1")
    assert first.returncode == 0 and "before" not in first.stdout
    (path,) = fresh.baselines
    assert [run["dirty"] for run in json.loads(path.read_text())["runs"]] == [True, True]
    again = fresh.regress("--accept", "--seeds", "4,5")
    assert again.returncode == 0 and fresh.baselines == [path]
    lines = [line.split() for line in again.stdout.splitlines() if line.startswith("  ")]
    told = [("now", "4:"), ("now", "5:"), ("before", "0:"), ("before", "1:")]
    assert [(line[0], line[2]) for line in lines] == told


def test_a_damaged_reference_or_what_nobody_expected_is_no_verdict_on_the_run(
    zoo: TinyZoo, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = TinyZoo(tmp_path / "copy")
    shutil.copytree(str(zoo.root / "ci"), str(copy.root / "ci"))
    path = copy.baselines[0]
    path.write_text(path.read_text().replace('"samples_per_second": 4', '"samples_per_second": 2'))
    done = copy.judge("--records", str(run))
    assert done.returncode == 3 and "make it anew with `zoo regress --accept`" in done.stderr
    monkeypatch.setattr("common.commands.regress.baselines_of", lambda *_: 1 / 0)
    done = zoo.judge("--records", str(run))
    assert done.returncode == 3
    assert "the gate itself failed (ZeroDivisionError)" in done.stderr.splitlines()[-1]


# --- what is printed and left ---


def test_a_reader_that_went_away_changes_no_verdict(zoo: TinyZoo, run: Path) -> None:
    (run / "record.json").unlink()
    words = f"set -o pipefail; {sys.executable} -m common regress --records {run} | true"
    done = subprocess.run(
        ["bash", "-c", words], cwd=str(zoo.root), env=zoo.environment, timeout=120
    )
    assert done.returncode == 2


@pytest.mark.parametrize(
    "words",
    [
        "--records absent",
        "--runs 3",
        "--accept --runs 1",
        "--accept --json",
        "--records x --seeds 1",
        "tiny_net/other",
        "--junit absent/x.xml",
        "--seeds 999999999999999999999",
    ],
)
def test_wrong_usage_is_one_line_and_64(fresh: TinyZoo, words: str) -> None:
    done = fresh.judge(*words.split())
    assert done.returncode == 64 and len(done.stderr.splitlines()) == 1, done.stderr
