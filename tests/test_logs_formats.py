"""A log format is a few declared lines; what is wrong with them is told in one."""

from __future__ import annotations

import shutil
import textwrap
import time
from pathlib import Path
from typing import Tuple

import pytest

from common.cards.line_template import Field, parse_template
from common.cards.log_format import OWN_FORMATS, LogFormat, own_formats
from common.cards.model_card import read_card
from common.cards.model_folders import all_cards
from common.core.errors import UsageError, ZooError
from common.evidence.logs.blocks import block_of
from common.evidence.logs.matching import find_lines
from common.evidence.logs.reading import format_named, known_formats, most_fitting, read_log
from tests.fake_zoo import FAKE_MODEL, REPOSITORY

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


def test_a_format_in_a_card_is_read_without_a_line_of_code(tmp_path: Path) -> None:
    card_with(tmp_path, LOGS)
    log = tmp_path / "a.log"
    log.write_text("it 1 | loss 0.5\nit 2 | loss 0.25\nscore of dev: 0.75\n")
    found = read_log(log, formats=known_formats(tmp_path))
    assert found.format == "toy"
    assert found.series["loss"].values.tolist() == [0.5, 0.25]
    assert (
        found.series["dev_score"].steps.tolist(),
        found.series["dev_score"].values.tolist(),
    ) == ([2], [75.0])


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
        ("        scale:", "        shift: 1\n        scale:", "lines[1].shift is not a key"),
        ("description: a toy", "", "logs[0].description is missing"),
        ("{loss}", "{loss", "brace that stands alone"),
        ("{loss}", "{loss}}", "brace that stands alone"),
        ("{loss}", "{loss:float}", "kind 'float'; allowed are integer, number"),
        ("{loss}", "{Loss}", "a name is made of a-z"),
        ("{loss}", "{step}", "the field 'step' twice"),
        ("{step}", "{step:number}", "it is always integer"),
        ("{step} |", "{step}{loss} |", "no text between"),
        ("loss {loss}", "loss {loss}e", "could be a part of it"),
        ("it {step}", "{step}", "must begin with a fixed text"),
        ("loss {loss}", "loss", "no field whose value would be kept"),
        ("it {step} | loss {loss}", "it is {loss}", "the line that tells the steps"),
        ("{score: 100}", "{speed: 100}", "scale.speed is no value of the line; there are: score"),
        ('"{split}_"', '"{role}_"', "only use the line's words: split"),
        ('"{split}_"', '"{split"', "only use the line's words"),
        ("{split:word}", "{split:metrics}", "takes the rest of the line"),
        ("{split:word}", "{split:anything}", "name it '_'"),
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


def test_two_formats_of_one_name_are_refused(tmp_path: Path) -> None:
    path = card_with(tmp_path, LOGS + LOGS.split("logs:\n")[1])
    with pytest.raises(ZooError, match="'toy' is given twice"):
        read_card(path)


def test_a_card_may_not_take_the_name_of_another_format(tmp_path: Path) -> None:
    card_with(tmp_path, LOGS.replace("name: toy", "name: run_log"))
    with pytest.raises(ZooError, match="'run_log' is declared elsewhere already"):
        known_formats(tmp_path)


def test_each_network_declares_its_upstream_format() -> None:
    declared = {card.name: [form.name for form in card.logs] for card in all_cards(REPOSITORY)}
    assert declared == {
        "slot_attention": ["slot_attention_port"],
        "protoattend": ["protoattend_port"],
        "residual_attention_net": ["3d_attention_net"],
    }


def test_a_format_that_is_not_there_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no log format 'x'; there are: run_log"):
        format_named("x", own_formats())


def test_the_own_formats_are_read_with_the_same_checks() -> None:
    assert OWN_FORMATS.name == "formats.yaml"
    assert [form.name for form in own_formats()] == [
        "run_log",
        "tensorflow_training",
        "torch_training",
    ]


def test_doubled_braces_are_braces_of_the_text() -> None:
    assert parse_template('{{"a":{loss},{_:anything}}}') == (
        '{"a":',
        Field("loss", "number"),
        ",",
        Field("_", "anything"),
        "}",
    )


def lines_of(template: str, text: bytes) -> Tuple[LogFormat, int]:
    form = next(form for form in known_formats(REPOSITORY) if form.name == template)
    return form, len(find_lines(block_of(text), form.step_line))


@pytest.mark.parametrize(
    "text",
    [
        b"MyStep: 1, Loss: 2, Time: 0:00:01\n",  # another word
        b"Step: 1,Loss: 2, Time: 0:00:01\n",
        b"Step: 1, Loss: 2, Time: 0:00:01.5s\n",
        b"Step: -1, Loss: 2, Time: 0:00:01\n",
        b"Step: 1.0, Loss: 2, Time: 0:00:01\n",
        b"Step: 1, Loss: 2, Time: 0:00:01",  # cut: more digits may have followed
        b"Step: 1, Loss: 2, \nTime: 0:00:01\n",
        b"step: 1, loss: 2, time: 0:00:01\n",
    ],
)
def test_what_only_looks_like_a_step_line_is_none(text: bytes) -> None:
    assert lines_of("slot_attention_port", text)[1] == 0


@pytest.mark.parametrize(
    "text",
    [
        b"Step: 1, Loss: 2, Time: 0:00:01\n",
        b"x: Step: 1, Loss: 2, Time: 0:00:01 \n",
        b"\rStep: 1, Loss: 2, Time: 0:00:01\r\n",
        b"\x00\xffStep: 1, Loss: 2, Time: 0:00:01, etc\n",
        b"\x1b[1mStep: 1,\x1b[0m Loss: 2, Time: 0:00:01\n",
    ],
)
def test_a_step_line_is_found_wherever_it_stands(text: bytes) -> None:
    assert lines_of("slot_attention_port", text)[1] == 1


def test_our_longer_line_is_not_taken_for_the_shorter_one_of_the_port() -> None:
    line = b"Step: 1, Loss: 2, Time: 0:00:01, Learning rate: 0.1, FPS: 3, ETA: 1 day, 0:00:01\n"
    found = most_fitting(block_of(line), known_formats(REPOSITORY))
    assert found is not None and found.name == "tensorflow_training"


@pytest.mark.parametrize(
    "text",
    [
        b"1" * 2000000,
        b"Step: " * 300000,
        b"Step: " + b"1" * 2000000,
        b"\x1b[" * 1000000,
        b'{"event":"start",' * 100000,
        b"Step: 1, Loss: 1" * 100000,
        b"\x1b]" * 1000000,
        b"Evaluation at step 1 (current weights) on 1 samples of a: " + b"a" * 2000000,
        b"Evaluation at step 1 (best weights) on 1 samples of a: b" * 35000,
        b"rank " * 400000,
        b"[" * 2000000,
        b"Accuracy of the model (best weights) on the " * 45000,
    ],
)
def test_no_text_takes_more_than_its_length(text: bytes) -> None:
    began = time.process_time()
    most_fitting(block_of(text), known_formats(REPOSITORY))
    assert time.process_time() - began < 8  # two megabytes; a way back would take hours
