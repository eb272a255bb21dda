"""`zoo compare`, from logs, run folders and records to a table, a picture and an exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, List

import numpy as np
import pytest

from common.commands import program as cli
from common.evidence.comparison.presentation import picture
from common.evidence.comparison.runs import Group, read_run
from common.runs.store import keep
from tests.noisy_series import first_order_noise, write_log
from tests.test_record_store import edit_json, write_run


@pytest.fixture()
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """gpu.log and npu.log of one curve, the NPU three times as fast; worse.log 30 % higher."""
    noise = 1 + 0.12 * first_order_noise(0.2, 200, 3, seed=40)
    falling = 0.05 * np.exp(-np.arange(200) / 40.0) + 0.001
    jitter = 0.02 * first_order_noise(0.0, 200, 1, seed=41)[0]
    write_log(tmp_path / "gpu.log", falling * noise[0], 75.0, jitter=jitter)
    write_log(tmp_path / "npu.log", falling * noise[1], 25.0, jitter=jitter)
    write_log(tmp_path / "worse.log", 1.3 * falling * noise[2], 100.0, jitter=jitter)
    write_log(tmp_path / "short.log", falling[:10], 75.0)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def zoo(words: str) -> int:
    return cli.main(["compare", *words.split()])


def as_json(capsys: pytest.CaptureFixture[str], words: str) -> List[Any]:
    zoo(words + " --json")
    found: List[Any] = json.loads(capsys.readouterr().out)
    return found


BOTH = "--gpu gpu.log --npu npu.log"


@pytest.mark.parametrize(
    "words, code, told",
    [
        (
            f"{BOTH} --metric loss --margin 0.1 --window 100",
            0,
            [
                "PrecisionStatus: OK",
                "PerfStatus: PERFECT",
                "Rule: PERFECT from 1.2x, OK from 1.0x, POK from 0.5x, NOK below",
            ],
        ),
        (f"{BOTH} --window 100", 2, ["INCONCLUSIVE (fg_ari is not there on both sides"]),
        ("--gpu gpu.log --npu worse.log", 1, ["PrecisionStatus: NOK", "PerfStatus: POK"]),
        ("--gpu gpu.log --npu short.log --metric loss", 2, ["PrecisionStatus: INCONCLUSIVE"]),
        (f"{BOTH} --at_step 15000", 2, ["loss at step 15,000, one sample"]),
        (
            f"{BOTH} --markdown",
            2,
            ["|  | gpu | npu | npu - gpu | relative [95 % interval] |", "\n- PerfStatus: "],
        ),
    ],
)
def test_what_is_printed_and_returned(
    words: str, code: int, told: List[str], logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert zoo(words) == code
    out = capsys.readouterr().out
    assert all(part in out for part in told), out


def test_json_has_the_numbers_of_the_table(logs: Path, capsys: Any) -> None:
    (found,) = as_json(capsys, f"{BOTH} --at_step 10000 --target 0.01")
    assert found["throughput"]["ratio"]["value"] == pytest.approx(3, rel=0.01)
    assert found["at_step"]["reference"]["step"] == 10000
    assert found["end"]["last_step"] == 20000
    assert found["end"]["difference"]["relative"]["low"] < 0.1
    assert found["PerfStatus"]["status"] == "PERFECT"
    reached = found["target"]["reached"]
    assert reached["gpu"][0]["seconds"] > 2.5 * reached["npu"][0]["seconds"]


def test_runs_of_any_label_the_first_is_the_reference_and_one_given_twice_is_two_seeds(
    logs: Path, capsys: Any
) -> None:
    words = "--run old=gpu.log --run old=worse.log --run new=npu.log --run new=gpu.log"
    found = as_json(capsys, words + " --run bad=worse.log")
    labels = [(one["reference"]["label"], one["candidate"]["label"]) for one in found]
    assert labels == [("old", "new"), ("old", "bad")]
    assert [len(one["reference"]["runs"]) for one in found] == [2, 2]
    assert found[0]["between_seeds"]["value"] is not None and found[1]["between_seeds"] is None


def test_the_picture_shows_a_curve_of_each_run(logs: Path) -> None:
    write_log(logs / "flat.log", np.full(2500, 0.25), 75.0)  # can be plotted too
    zoo(f"{BOTH} --cpu flat.log --plot out.png")
    assert (logs / "out.png").read_bytes().startswith(b"\x89PNG")
    groups = [Group(name, (read_run(logs / f"{name}.log", name),)) for name in ("gpu", "npu")]
    (axes,) = picture(groups, "loss").axes
    for line, group in zip(axes.get_lines(), groups):
        series = group.first.series["loss"]
        assert line.get_label() == group.label
        assert np.mean(line.get_ydata()) == pytest.approx(series.values.mean(), rel=1e-6)


@pytest.mark.parametrize(
    "words, error",
    [
        ("--gpu gpu.log", "needs runs under two labels"),
        ("--run gpu.log", "'gpu.log' is not LABEL=PATH"),
        ("--gpu gpu.log --npu none.log", "no such file or folder"),
        ("--gpu gpu.log --npu odd.log", "odd.log"),
        ("--gpu gpu.log --npu broken.json", "broken.json"),
    ],
)
def test_what_can_not_be_compared_is_one_line_and_64(
    words: str, error: str, logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (("odd.log", "no line\n"), ("broken.json", "{")):
        (logs / name).write_text(text)
    assert zoo(words) == 64
    told = capsys.readouterr().err
    assert error in told and told.count("\n") == 1


# --- records ---


@pytest.fixture()
def kept(logs: Path) -> Path:
    """A record of results/ with its events beside it; its run's folder is `run`."""
    write_run(logs / "run")
    return keep(logs, logs / "run")


def test_a_record_of_another_device_or_network_is_refused(kept: Path, capsys: Any) -> None:
    assert zoo(f"--npu {kept} --gpu {kept}") == 64
    told = "was given as gpu, but its record says that it ran on cpu"
    assert told in capsys.readouterr().err
    assert zoo(f"--cpu {kept} --npu npu.log") == 64
    assert "compare runs of one network and task" in capsys.readouterr().err


def test_records_and_run_folders_are_judged_by_the_cards_metric_unless_one_was_aborted(
    kept: Path, capsys: Any
) -> None:
    (found,) = as_json(capsys, f"--run one={kept} --run two=run")
    assert (found["metric"], found["margin"], found["common_steps"]) == ("accuracy", 0.3, 20)
    assert found["final"]["reference"] == 91.5 and found["final"]["difference"]["value"] == 0
    # 40 test samples cannot tell 0.3 points.
    assert found["PrecisionStatus"]["status"] == "INCONCLUSIVE"
    edit_json(kept, lambda content: content.update(status="aborted", reason="killed"))
    (found,) = as_json(capsys, f"--run one={kept} --run two={kept}")
    assert "aborted: killed" in found["PrecisionStatus"]["because"]
