"""`zoo parse`: what it prints of a log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.commands.program import main
from tests.test_record_store import write_run

EXCERPTS = Path(__file__).resolve().parent / "fixtures" / "logs"
GPU, NPU = (str(EXCERPTS / f"slot_attention_{kind}_excerpt.log.gz") for kind in ("gpu", "npu"))

Captured = pytest.CaptureFixture


@pytest.fixture()
def log(tmp_path: Path) -> Path:
    path = tmp_path / "a.log"
    path.write_text(
        "Step: 1, Loss: 0.5, Time: 0:00:01\nStep: 2, Loss: nan, Time: 0:00:03\n"
        "Step: 3, Loss: 1e-05, Time: 0:00:05\n"
    )
    return path


def test_the_summary_tells_format_series_and_pace(log: Path, capsys: Captured) -> None:
    assert main(["parse", str(log)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{log}: slot_attention_port, 3 lines\n")
    row = next(line for line in out.splitlines() if line.startswith("  loss")).split("  ")
    cells = [cell.strip() for cell in row if cell.strip()]
    assert cells == [
        "loss",
        "3 (1 not finite)",
        "1 to 3",
        "0.5",
        "1e-05",
        "1e-05 (3)",
        "0.5 (1)",
        "2: 0.250005 \u00b1 0.353546",
    ]
    assert "pace: 2 s a step, from the elapsed time between steps 1 and 3" in out


def test_lives_are_told_apart(tmp_path: Path, capsys: Captured) -> None:
    lines = [f"Step: {step}, Loss: 0.5, Time: 0:00:01\n" for step in range(100, 2001, 100)]
    (tmp_path / "a.log").write_text("".join(lines + lines[10:]))
    assert main(["parse", str(tmp_path / "a.log")]) == 0
    out = capsys.readouterr().out
    assert "life 1 of 2\n" in out and "life 2 of 2, from step 1,100\n" in out
    assert (
        "note: the run began again at step 1,100 after step 2,000; the earlier life's steps "
        "from there on are replaced" in out
    )


def test_series_are_printed_as_csv_and_all_as_json_that_any_reader_takes(
    log: Path, capsys: Captured
) -> None:
    assert main(["parse", str(log), "--series", "loss"]) == 0
    lines = ["series,step,value", "loss,1,0.5", "loss,2,nan", "loss,3,1e-05"]
    assert capsys.readouterr().out.splitlines() == lines
    assert main(["parse", str(log), "--csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 7
    assert main(["parse", str(log), "--json", "--series=seconds", "--series=loss"]) == 0
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert list(told["series"]) == ["elapsed_seconds", "loss"]  # by the end of a name
    assert told["series"]["loss"] == {"steps": [1, 2, 3], "values": [0.5, "nan", 1e-05]}
    log.write_text(log.read_text() + "Step: 4, Loss: inf, Time: 0:00:07\n")
    assert main(["parse", str(log), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    loss = told["lives"][0]["loss"]
    assert (told["format"], loss["smallest"], loss["last"]) == (
        "slot_attention_port",
        [1e-05, 3],
        "inf",
    )


def test_notes_do_not_mix_with_the_series(capsys: Captured) -> None:
    assert main(["parse", NPU, "--series", "loss"]) == 0
    captured = capsys.readouterr()
    assert "note: not read" in captured.err and "note" not in captured.out


def test_a_run_folder_is_read_by_its_events(tmp_path: Path, capsys: Captured) -> None:
    write_run(tmp_path)
    assert main(["parse", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert f"{tmp_path}: run_log" in told and "test_accuracy" in told
    assert main(["parse", str(tmp_path), "--series", "loss"]) == 0
    assert capsys.readouterr().out.startswith("series,step,value\nloss,1,")
    (tmp_path / "alone.json").write_bytes((tmp_path / "record.json").read_bytes())
    assert main(["parse", str(tmp_path / "alone.json")]) == 1
    assert "nor a record beside its events" in capsys.readouterr().err


def test_the_known_formats_are_listed_with_their_lines(capsys: Captured) -> None:
    assert main(["parse", "--formats"]) == 0
    out = capsys.readouterr().out
    assert "protoattend_port: " in out
    assert "    Step : {step}----loss : {loss}----cost_time : {step_seconds}\n" in out
    assert main(["parse", "--formats", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "run_log"


@pytest.mark.parametrize(
    "arguments, code, told",
    [
        ([], 64, "no log given"),
        ([GPU, NPU, "--series", "loss"], 64, "one log at a time; 2 are given"),
        ([GPU, "--series", "speed"], 1, "has no series 'speed'; there are: elapsed_seconds, loss"),
        ([GPU, "--format", "x"], 64, "no log format 'x'"),
        ([GPU, "--rank", "1"], 1, "no line that is marked as rank 1's"),
        ([GPU, "--json", "--csv"], 64, "not allowed with"),
        (["no such file"], 1, "can't read the log no such file: No such file"),
        ([str(EXCERPTS)], 1, "is not a run folder"),
    ],
)
def test_a_users_mistake_is_one_line(arguments, code: int, told: str, capsys: Captured) -> None:
    assert main(["parse"] + arguments) == code
    captured = capsys.readouterr()
    assert told in captured.err and captured.err.count("\n") == 1 and captured.out == ""


def test_a_log_of_no_known_format_is_answered_with_its_lines_and_a_format_that_reads_it(
    tmp_path: Path, capsys: Captured
) -> None:
    log, form = tmp_path / "a.log", tmp_path / "mine.yaml"
    line = "[2024-05-01 12:00:0{0}] INFO train: step {0}0 loss=0.{0}5\tlr 1e-0{0} eta 1:00:0{0}\n"
    log.write_text("hello\n" + "".join(map(line.format, range(1, 6))) + "done after 7 s\n")
    assert main(["parse", str(log)]) == 1
    captured = capsys.readouterr()
    *suggestion, error = captured.err.splitlines()
    told = ["    " + line.format(number).strip().replace("\t", "?") for number in (1, 2, 3)]
    assert captured.out == "" and suggestion[:4] == ["lines of it:", *told]
    assert "none of its 7 lines is in a known format (run_log, " in error
    assert 'line: "step {step} loss={loss}\\tlr {lr} eta {eta:duration}"' in suggestion[-1]
    form.write_text("\n".join(suggestion[suggestion.index("    logs:") :]))
    assert main(["parse", str(log), "--format_file", str(form), "--series=loss"]) == 0
    assert capsys.readouterr().out.splitlines()[1:3] == ["loss,10,0.15", "loss,20,0.25"]
