"""A log format is a few declared lines; what is wrong with them is told in one."""

from __future__ import annotations

import shutil
import textwrap
import time
from pathlib import Path
from typing import Dict, List, Optional

import pytest
import yaml

from common.cards.log_format import LineRule
from common.cards.model_card import read_card
from common.core.errors import ZooError
from common.evidence.logs.lines import DeclaredLine
from common.evidence.logs.reading import UnknownFormatError, known_formats, read_log
from tests.fake_zoo import FAKE_MODEL, REPOSITORY

FORMATS = known_formats(REPOSITORY)

LOGS = """
logs:
  - name: toy
    description: a toy
    lines:
      - line: "it {step} | loss {loss}"
      - line: "score of {split:word}: {score}"
        prefix: "{split}_"
        scale: {score: 100}
"""


def card_with(folder: Path, logs: str) -> Path:
    """The fake network's card with a logs: section."""
    path = folder / "PyTorch" / "fake_net" / "model.yaml"
    path.parent.mkdir(parents=True)
    shutil.copy(str(FAKE_MODEL / "PyTorch" / "fake_net" / "model.yaml"), str(path))
    with open(str(path), "a", encoding="utf-8") as stream:
        stream.write(logs)
    return path


def test_the_format_in_the_documentation_is_one(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "results.md").read_text(encoding="utf-8")
    block = text[text.index("    logs:\n") : text.index("The first line is the one")]
    card_with(tmp_path, "\n" + textwrap.dedent(block))
    log = tmp_path / "a.log"
    log.write_text("Step: 7, Loss: 0.5, Time: 1 day, 0:00:01\nAccuracy on test: 0.25\n")
    found = read_log(log, formats=known_formats(tmp_path), format="toy_port").series
    assert {name: (one.steps.tolist(), one.values.tolist()) for name, one in found.items()} == {
        "loss": ([7], [0.5]),
        "elapsed_seconds": ([7], [86401.0]),
        "test_accuracy": ([7], [25.0]),
    }


@pytest.mark.parametrize(
    "old, new, told",
    [
        (
            "description: a toy",
            "description: a toy\n    colour: red",
            "logs[0].colour is not a key",
        ),
        ("description: a toy", "", "logs[0].description is missing"),
        ("{loss}", "{loss", "brace that stands alone"),
        ("{loss}", "{loss:float}", "kind 'float'; allowed are integer, number"),
        ("{loss}", "{Loss}", "a name is made of a-z"),
        ("{loss}", "{step}", "the field 'step' twice"),
        ("{step}", "{step:number}", "it is always integer"),
        ("{step} |", "{step}{loss} |", "no text between"),
        ("loss {loss}", "loss {loss}e", "could be a part of it"),
        ("it {step}", " it {step}", "must begin with a number or a fixed text"),
        ("loss {loss}", "loss", "no field whose value would be kept"),
        ("it {step} | loss {loss}", "it is {loss}", "the line that tells the steps"),
        ("{score: 100}", "{speed: 100}", "scale.speed is no value of the line; there are: score"),
        ('"{split}_"', '"{role}_"', "only use the line's words: split"),
        ("{split:word}", "{split:metrics}", "takes the rest of the line"),
        ("loss {loss}", "Verlust \u00fc {loss}", "printable ASCII"),
    ],
)
def test_a_wrong_format_is_refused_in_one_line_that_names_the_place(
    old: str, new: str, told: str, tmp_path: Path
) -> None:
    assert old in LOGS
    path = card_with(tmp_path, LOGS.replace(old, new, 1))
    with pytest.raises(ZooError) as caught:
        read_card(path)
    assert told in str(caught.value) and "logs[0]" in str(caught.value)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "logs", [LOGS + LOGS.split("logs:\n")[1], LOGS.replace("name: toy", "name: run_log")]
)
def test_two_formats_of_one_name_are_refused(logs: str, tmp_path: Path) -> None:
    card_with(tmp_path, logs)
    with pytest.raises(ZooError, match="model.yaml: there is a log format '(toy|run_log)' already"):
        known_formats(tmp_path)


NO_STEPS = b"""MyStep: 1, Loss: 2, Time: 0:00:01
Step: 1,Loss: 2, Time: 0:00:01
Step: 1, Loss: 2, Time: 0:00:01.5s
Step: -1, Loss: 2, Time: 0:00:01
Step: 1.0, Loss: 2, Time: 0:00:01
Step: 1, Loss: 2,
Time: 0:00:01
step: 1, loss: 2, time: 0:00:01
Step: 1, Loss: 2, Time: 0:00:01"""  # the last is cut: more digits may have followed
STEPS = b"""Step: 1, Loss: 2, Time: 0:00:01
x: Step: 2, Loss: 2, Time: 0:00:01 \n\rStep: 3, Loss: 2, Time: 0:00:01\r
\x00\xffStep: 4, Loss: 2, Time: 0:00:01, etc
\x1b[1mStep: 5,\x1b[0m Loss: 2, Time: 0:00:01
Step:    6,\tLoss:  2, Time:   0:00:01
"""


def test_a_step_line_is_found_wherever_it_stands_and_nothing_like_it(tmp_path: Path) -> None:
    path, port = tmp_path / "a.log", {"format": "slot_attention_port", "formats": FORMATS}
    path.write_bytes(NO_STEPS)
    with pytest.raises(UnknownFormatError):
        read_log(path, **port)
    path.write_bytes(STEPS + NO_STEPS)
    assert read_log(path, **port).series["loss"].steps.tolist() == [1, 2, 3, 4, 5, 6]


def declared(folder: Path, *lines: str, **keys: object) -> Path:
    """A format file with one format, `mine`, of the given lines."""
    form = dict(keys, name="mine", description="", lines=[{"line": line} for line in lines])
    (folder / "mine.yaml").write_text(yaml.safe_dump({"logs": [dict(form, description="x")]}))
    return folder / "mine.yaml"


KERAS = (
    "Epoch 1/2\n"
    " 1/10 [==>...........................] - ETA: 3s - loss: 0.70 - accuracy: 0.50\b\b\b\b\r"
    "10/10 [==============================] - 1s 90ms/step - loss: 0.60 - accuracy: 0.55\r"
    "10/10 [==============================] - 1s 95ms/step - loss: 0.60 - accuracy: 0.55"
    " - val_loss: 0.65 - val_accuracy: 0.52\n"
    "Epoch 2/2\n"
    " 9/10 [=========================>....] - ETA: 0s - loss: 0.40 - accuracy: 0.75\r"
    "10/10 [==============================] - 1s 95ms/step - loss: 0.39 - accuracy: 0.76"
    " - val_loss: 0.45 - val_accuracy: 0.72\n"
)


@pytest.mark.parametrize(
    "lines, text, series",
    [
        (
            ["{step}\t{loss}\t{seconds}"],
            "step\tloss\ttime\n1\t0.5\t10\n2\t0.25\t11\n",
            {"loss": [(1, 0.5), (2, 0.25)], "seconds": [(1, 10.0), (2, 11.0)]},
        ),
        (
            ['{{"step":{step},"loss":{loss},{_:anything}}}'],
            '{"step":3,"loss":0.5,"note":"good"}\n',
            {"loss": [(3, 0.5)]},
        ),
        (
            ["| {step} | {loss} | {_:anything} |"],
            "| step |     loss | note |\n|    9 |   0.5000 | good |\n| 1000 | -12.2500 |      |\n",
            {"loss": [(9, 0.5), (1000, -12.25)]},
        ),
        (
            ["[{epoch}/{_:integer}][{iteration}/{iterations}] loss {loss}"],
            "[ 1/20][  5/100] loss  0.5\n[10/20][100/100] loss 10.5\n",
            {"loss": [(5, 0.5), (1000, 10.5)], "epoch": [(5, 1.0), (1000, 10.0)]},
        ),
        (
            [
                "{iteration}/{iterations} [{_:anything}] - {metrics:metrics}",
                "Epoch {epoch}/{_:integer}",
            ],
            KERAS,
            {
                "loss": [(1, 0.7), (10, 0.6), (19, 0.4), (20, 0.39)],
                "accuracy": [(1, 0.5), (10, 0.55), (19, 0.75), (20, 0.76)],
                "val_loss": [(10, 0.65), (20, 0.45)],
                "val_accuracy": [(10, 0.52), (20, 0.72)],
            },
        ),
    ],
    ids=["tabs", "braces", "table", "padded", "keras"],
)
def test_tabs_padded_columns_and_bars_can_be_declared_in_a_format_file(
    lines: List[str], text: str, series: Dict[str, list], tmp_path: Path
) -> None:
    path = declared(tmp_path, *lines, one_writer=True)
    (tmp_path / "a.log").write_bytes(text.encode("utf-8"))
    log = read_log(tmp_path / "a.log", formats=known_formats(REPOSITORY, path))
    assert log.format == "mine"
    told = {name: list(zip(s.steps.tolist(), s.values.tolist())) for name, s in log.series.items()}
    assert told == series
    assert log.notes == ()


def test_a_format_file_is_checked_like_a_card(tmp_path: Path) -> None:
    path = declared(tmp_path, "loss {loss}")
    with pytest.raises(ZooError, match=r"mine.yaml: logs\[0\].lines must begin with the line"):
        known_formats(REPOSITORY, path)
    with pytest.raises(ZooError, match="none.yaml can't be read"):
        known_formats(REPOSITORY, tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "text",
    [
        b"Step: " * 60000,
        b"Step: " + b"1" * 400000,
        b"\x1b]" * 200000,
        b'{"event":' * 40000,
        b"Evaluation at step 1 (best weights) on 1 samples of a: b" * 7000,
        b"[" * 400000,
        b" " * 400000,
        b"1/2 [" * 80000,
    ],
)
def test_no_text_takes_more_than_its_length(text: bytes, tmp_path: Path) -> None:
    path = declared(tmp_path, "{iteration}/{iterations} [{_:anything}] - {loss}", "Epoch {epoch}")
    formats = known_formats(REPOSITORY, path)
    (tmp_path / "a.log").write_bytes(text)
    began = time.process_time()
    with pytest.raises(UnknownFormatError):
        read_log(tmp_path / "a.log", formats=formats)
    assert time.process_time() - began < 1.6  # 400 kB; a way back would take minutes


# --- fields are read as what Python reads, and only where they are whole ---


def read(*texts: str, kind: str = "number") -> List[Optional[float]]:
    """The values of lines that say `value is …`; None where one says null."""
    line = DeclaredLine(LineRule(f"value is {{value:{kind}}}"))
    found = line.find("".join(f"value is {text}\n" for text in texts).encode("ascii"))
    return [dict(line.values(match)).get("value") for match in found]


ODD = "-0.0 1. .5 -.5 9007199254740993 -inf +Infinity 1E5 1e999 nan -nan 1e-05 +2.125"
NO_NUMBERS = "- + . e5 --1 x1 none na 0.05Step 0.05.1 0.05_ 1,234 0x1F 0.05/ 3-4"
NO_DURATIONS = "1:2:3 12:34 1:00:0 -1:00:00 1:00:123 1:00:+12.5 :: 1:00: a:00:00"


def test_a_field_is_the_number_nearest_to_its_text_and_nothing_less() -> None:
    assert list(map(repr, read(*ODD.split()))) == [repr(float(text)) for text in ODD.split()]
    assert read("null", "   1", '"-inf"') == [None, 1.0, float("-inf")]
    times = ["-1 day, 23:59:59.5", "2 days, 1:00:00", "100:00:00", "0:00:00.25"]
    assert read(*times, kind="duration") == [-0.5, 176400.0, 360000.0, 0.25]
    assert read("", *NO_NUMBERS.split()) == []
    assert read("", "2 weeks, 1:00:00", *NO_DURATIONS.split(), kind="duration") == []
    assert read("", "x", "-1", "1234567890123456", kind="integer") == []
