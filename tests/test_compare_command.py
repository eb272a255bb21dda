"""`zoo compare`, from logs, run folders and records to a table, a picture and an exit code."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, List

import numpy as np
import pytest

from common.commands import program as cli
from common.evidence.comparison.picture import comparison_picture
from common.evidence.comparison.runs import Group, read_run
from common.runs import record as run_record
from tests.noisy_series import first_order_noise, write_log
from tests.test_record_store import write_run


@pytest.fixture()
def logs(tmp_path: Path) -> Path:
    """gpu.log and npu.log of one curve, the NPU three times as fast; worse.log 30 % higher."""
    noise = 1 + 0.12 * first_order_noise(0.2, 200, 3, seed=40)
    falling = 0.05 * np.exp(-np.arange(200) / 40.0) + 0.001
    jitter = 0.02 * first_order_noise(0.0, 200, 1, seed=41)[0]
    write_log(tmp_path / "gpu.log", falling * noise[0], 75.0, jitter=jitter)
    write_log(tmp_path / "npu.log", falling * noise[1], 25.0, jitter=jitter)
    write_log(tmp_path / "worse.log", 1.3 * falling * noise[2], 100.0, jitter=jitter)
    write_log(tmp_path / "short.log", falling[:10], 75.0)
    return tmp_path


def zoo(*words: Any) -> int:
    return cli.main(["compare"] + [str(word) for word in words])


def as_json(capsys: pytest.CaptureFixture, *words: Any) -> List[Any]:
    zoo(*words, "--json")
    return json.loads(capsys.readouterr().out)


def test_a_faster_npu_with_an_equal_loss_is_ok_and_perfect(logs: Path, capsys) -> None:
    code = zoo(
        "--gpu",
        logs / "gpu.log",
        "--npu",
        logs / "npu.log",
        "--metric",
        "loss",
        "--margin",
        "0.1",
        "--window",
        "100",
    )
    out = capsys.readouterr().out
    assert code == 0
    assert "PrecisionStatus: OK" in out
    assert "PerfStatus: PERFECT" in out
    assert "Rule: PERFECT from 1.2x, OK from 1.0x, POK from 0.5x, NOK below" in out


def test_a_loss_alone_is_no_accuracy(logs: Path, capsys) -> None:
    code = zoo("--gpu", logs / "gpu.log", "--npu", logs / "npu.log", "--window", "100")
    assert code == 2
    assert (
        "PrecisionStatus: INCONCLUSIVE (fg_ari is not there on both sides"
        in capsys.readouterr().out
    )


def test_a_higher_loss_is_nok_even_without_an_accuracy(logs: Path, capsys) -> None:
    code = zoo("--gpu", logs / "gpu.log", "--npu", logs / "worse.log")
    out = capsys.readouterr().out
    assert code == 1
    assert "PrecisionStatus: NOK" in out
    assert "PerfStatus: POK" in out


def test_a_short_log_is_inconclusive(logs: Path) -> None:
    assert zoo("--gpu", logs / "gpu.log", "--npu", logs / "short.log", "--metric", "loss") == 2


def test_json_has_the_numbers_of_the_table(logs: Path, capsys) -> None:
    (found,) = as_json(
        capsys,
        "--gpu",
        logs / "gpu.log",
        "--npu",
        logs / "npu.log",
        "--at_step",
        "10000",
        "--target",
        "0.01",
    )
    assert found["throughput"]["ratio"]["value"] == pytest.approx(3, rel=0.01)
    assert found["at_step"]["reference"]["step"] == 10000
    assert found["end"]["last_step"] == 20000
    assert found["end"]["difference"]["relative"]["low"] < 0.1
    assert found["PerfStatus"]["status"] == "PERFECT"
    reached = found["target"]["reached"]
    assert reached["gpu"][0]["seconds"] > 2.5 * reached["npu"][0]["seconds"]


def test_one_sample_is_told_with_what_it_proves(logs: Path, capsys) -> None:
    zoo("--gpu", logs / "gpu.log", "--npu", logs / "npu.log", "--at_step", "15000")
    out = capsys.readouterr().out
    assert "loss at step 15,000, one sample" in out
    assert "it shows nothing" in out


def test_markdown_is_a_table_with_the_verdicts_beneath(logs: Path, capsys) -> None:
    zoo("--gpu", logs / "gpu.log", "--npu", logs / "npu.log", "--markdown")
    lines = capsys.readouterr().out.splitlines()
    assert "|  | gpu | npu | npu - gpu | relative [95 % interval] |" in lines
    assert sum(line.startswith("- P") and "Status: " in line for line in lines) == 2


def test_any_two_runs_can_be_compared_and_the_first_is_the_reference(logs: Path, capsys) -> None:
    found = as_json(
        capsys,
        "--run",
        "old={}".format(logs / "gpu.log"),
        "--run",
        "new={}".format(logs / "npu.log"),
        "--run",
        "bad={}".format(logs / "worse.log"),
    )
    assert [(one["reference"]["label"], one["candidate"]["label"]) for one in found] == [
        ("old", "new"),
        ("old", "bad"),
    ]


def test_one_flag_given_twice_is_two_seeds(logs: Path, capsys) -> None:
    (found,) = as_json(
        capsys,
        "--gpu",
        logs / "gpu.log",
        "--gpu",
        logs / "worse.log",
        "--npu",
        logs / "npu.log",
        "--npu",
        logs / "worse.log",
    )
    assert len(found["reference"]["runs"]) == 2
    assert found["between_seeds"]["value"] is not None


def test_the_picture_shows_a_curve_of_each_run(logs: Path) -> None:
    zoo("--gpu", logs / "gpu.log", "--npu", logs / "npu.log", "--plot", logs / "out.png")
    assert (logs / "out.png").read_bytes().startswith(b"\x89PNG")
    groups = [Group(name, (read_run(logs / f"{name}.log", name),)) for name in ("gpu", "npu")]
    (axes,) = comparison_picture(groups, "loss").axes
    assert [line.get_label() for line in axes.get_lines()] == ["gpu", "npu"]
    assert axes.get_ylabel() == "loss (log scale)"
    for line, band, group in zip(axes.get_lines(), axes.collections, groups):
        series = group.first.series["loss"]
        assert line.get_ydata().mean() == pytest.approx(series.values.mean(), rel=1e-6)
        low, high = band.get_paths()[0].get_extents().get_points()
        assert low[0] == line.get_xdata()[0] and high[0] == line.get_xdata()[-1]


def test_a_curve_that_stays_as_it_is_can_be_plotted(tmp_path: Path) -> None:
    for name in ("gpu", "npu"):
        write_log(tmp_path / f"{name}.log", np.full(2500, 0.25), 75.0)
    words = ["--gpu", tmp_path / "gpu.log", "--npu", tmp_path / "npu.log"]
    assert zoo(*words, "--plot", tmp_path / "out.png") in (0, 1, 2)
    assert (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "needs runs under two labels"),
        (["--gpu", "gpu.log"], "needs runs under two labels"),
        (["--run", "gpu.log"], "'gpu.log' is not LABEL=PATH"),
        (["--gpu", "gpu.log", "--npu", "none.log"], "no such file or folder"),
        (["--gpu", "gpu.log", "--npu", "npu.log", "--model", "no_such"], "no network 'no_such'"),
        (["--gpu", "gpu.log", "--npu", "npu.log", "--window", "0"], "at least 2"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_64(
    logs: Path, monkeypatch, capsys, words: List[str], error: str
) -> None:
    monkeypatch.chdir(logs)
    assert zoo(*words) == 64
    told = capsys.readouterr().err
    assert error in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content"), [("a.log", "no line of any format\n"), ("a.json", "{"), ("a.log", "")]
)
def test_a_file_that_cannot_be_read_has_no_verdicts_exit_code(
    logs: Path, capsys, name: str, content: str
) -> None:
    (logs / name).write_text(content)
    assert zoo("--gpu", logs / "gpu.log", "--npu", logs / name) == 64
    assert capsys.readouterr().err.count("\n") == 1


def keep_record(folder: Path, **changes: Any) -> Path:
    """A record of results/ with its events beside it, as zoo record keeps them."""
    from common.runs.store import _compress

    run = folder / "run"
    write_run(run)
    path = folder / "kept.json"
    content = json.loads(run_record.to_json(run_record.from_run_folder(run)))
    content.update(changes)
    path.write_text(json.dumps(content))
    (folder / "kept.metrics.jsonl.gz").write_bytes(_compress(run / "rank_0" / "metrics.jsonl"))
    return path


def test_a_record_of_another_device_than_its_flag_is_refused(tmp_path: Path, capsys) -> None:
    record = keep_record(tmp_path)
    assert zoo("--npu", record, "--gpu", record) == 64
    assert "was given as gpu, but its record says that it ran on cpu" in capsys.readouterr().err


def test_records_of_two_networks_are_refused(tmp_path: Path, logs: Path, capsys) -> None:
    assert zoo("--cpu", keep_record(tmp_path), "--npu", logs / "npu.log") == 64
    assert "compare runs of one network and task" in capsys.readouterr().err


def test_records_are_judged_by_the_cards_metric(tmp_path: Path, capsys) -> None:
    record = keep_record(tmp_path)
    (found,) = as_json(capsys, "--run", f"one={record}", "--run", f"two={record}")
    assert found["metric"] == "accuracy"
    assert found["margin"] == 0.3
    assert found["final"]["reference"] == 91.5
    # 40 test samples cannot tell 0.3 points.
    assert found["PrecisionStatus"]["status"] == "INCONCLUSIVE"


def test_an_aborted_run_is_inconclusive(tmp_path: Path, capsys) -> None:
    record = keep_record(tmp_path, status="aborted", reason="killed")
    (found,) = as_json(capsys, "--run", f"one={record}", "--run", f"two={record}")
    assert found["PrecisionStatus"]["status"] == "INCONCLUSIVE"
    assert "aborted: killed" in found["PrecisionStatus"]["because"]


def test_a_run_folder_is_compared_like_its_record(tmp_path: Path, capsys) -> None:
    record = keep_record(tmp_path)
    (found,) = as_json(capsys, "--run", "one={}".format(tmp_path / "run"), "--run", f"two={record}")
    assert found["final"]["difference"]["value"] == 0
    assert found["common_steps"] == 20


@pytest.fixture()
def excerpts() -> List[Path]:
    """The excerpts of the published GPU and NPU logs, where ZOO_LOGS names their folder."""
    folder = Path(os.environ.get("ZOO_LOGS", "nowhere"))
    paths = [folder / f"slot_attention_{kind}_excerpt.log" for kind in ("gpu", "npu")]
    if not all(path.exists() for path in paths):
        pytest.skip("set ZOO_LOGS to the folder of the published logs' excerpts")
    return paths


def test_the_published_line_is_reproduced_with_how_little_it_proves(excerpts, capsys) -> None:
    gpu, npu = excerpts
    code = zoo("--gpu", gpu, "--npu", npu, "--at_step", "319300")
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.startswith("loss at step 319,300")]
    assert line.split()[6:9] == ["0.000867", "0.000793", "-7.4e-05"]
    assert "the noise is 16.0 % (gpu, 50 samples) and 12.0 % (npu, 33 samples)" in out
    assert "it shows nothing" in out
    assert code == 2


def test_the_published_runs_differ_over_a_window(excerpts, capsys) -> None:
    gpu, npu = excerpts
    (found,) = as_json(
        capsys, "--gpu", gpu, "--npu", npu, "--metric", "loss", "--at_step", "319300"
    )
    end = found["end"]["difference"]
    assert end["samples"] == 33
    assert -0.28 < end["relative"]["low"] < -0.20 < end["relative"]["high"] < -0.12
    assert (
        found["at_step"]["difference"]["relative"]["low"]
        < 0
        < found["at_step"]["difference"]["relative"]["high"]
    )
    assert found["throughput"]["ratio"]["value"] == pytest.approx(3.246, abs=0.005)
    assert (found["PrecisionStatus"]["status"], found["PerfStatus"]["status"]) == ("OK", "PERFECT")
