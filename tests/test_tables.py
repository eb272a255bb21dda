"""Tables say what the records say, cell by cell."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path
from typing import Any, Dict, List

import attrs
import pytest

from common.cards.model_card import ModelCard, read_card
from common.core.errors import ZooError
from common.runs import readme_tables, tables
from common.runs import record as run_record
from common.runs.table_words import chinese, english
from tests.run_events import whole_run

LANGUAGES = (english, chinese)
CARD = Path(__file__).resolve().parent.parent / "PyTorch" / "residual_attention_net" / "model.yaml"


@pytest.fixture()
def card() -> ModelCard:
    return read_card(CARD)


def record(seed: int = 0, accuracy: float = 91.5, **changes: Any) -> run_record.RunRecord:
    made = run_record.from_events(whole_run(), "smoke", "zoo launch")
    metrics = dataclasses.replace(made.metrics, final={"accuracy": accuracy})
    changes.setdefault("run_id", f"run-{seed}")
    return dataclasses.replace(
        made, seed=seed, metrics=metrics, config=dict(made.config, seed=seed), **changes
    )


def cells(text: str, line: int = 2) -> List[str]:
    return [cell.strip() for cell in text.splitlines()[line].strip("|").split("|")]


def row_of(card: ModelCard, *records: run_record.RunRecord, number: int = 0) -> Dict[str, str]:
    """The cells of a row by their headings, the folded ones among them."""
    row = tables.rows_of(records, card)[number]
    return dict(zip(tables.HEADINGS + tables.DETAIL_HEADINGS, row.cells + row.details))


def test_one_run_is_one_row_with_its_own_numbers(card: ModelCard) -> None:
    assert row_of(card, record()) == {
        "Run": "smoke",
        "Data": "digits",
        "Result": "accuracy 91.50 %",
        "Samples/s": "64.0",
        "On what, how long": "CPU Test CPU x 1; 2 epochs, 40 s",
        "Network": "small; 1,234 parameters",
        "Steps": "20 / 20",
        "Precision": "float32 (O0)",
        "Global batch": "32",
        "Evaluated": "test 40",
        "Smallest, median": tables.DASH,
        "Best on validation": "91.00 (epoch 2, step 20)",
        "Data wait": "2.00 %",
        "Peak memory": "1.00 GiB",
        "Date, commit": "1970-01-01, aaaaaaa",
    }


def test_the_result_is_seen_first_and_all_else_is_folded(card: ModelCard) -> None:
    text = tables.measured_table([record()], card, "../../")
    shown, folded = text.split("<details>")
    headings, row = cells(shown, 0), cells(shown)
    assert len(headings) <= 7 and row[headings.index("Result")] == "accuracy 91.50 %"
    assert row[-1] == "[log](../../results/residual_attention_net/run-0.log.gz)"
    assert "float32 (O0)" in folded and "float32" not in shown


def test_seeds_of_one_configuration_share_a_row_with_mean_and_deviation(card: ModelCard) -> None:
    records = [record(0, 90.0), record(1, 92.0), record(2, 94.0)]
    row = row_of(card, *records)
    assert row["Result"] == "accuracy 92.00 ± 2.00 %"
    assert row["Smallest, median"] == "90.00, 92.00"
    last = cells(tables.measured_table(records, card, ""))[-1]
    assert last.startswith("[0](results/residual_attention_net/run-0.log.gz), [1](")


@pytest.mark.parametrize(
    "change, told",
    [
        ({"case": "full_1p"}, "smoke"),
        ({"config": {"recipe": "modern"}}, "smoke: recipe reference"),
        ({"batch": run_record.Batch(64, 64)}, "smoke: batch 32"),
        (
            {"precision": run_record.PrecisionUsed("O1", "float16 autocast", "dynamic")},
            "smoke: precision float32",
        ),
    ],
)
def test_runs_that_differ_in_more_than_the_seed_say_in_what(
    card: ModelCard, change: Any, told: str
) -> None:
    other = dataclasses.replace(record(1), **change)
    rows = tables.rows_of([record(0), other], card)
    assert len(rows) == 2 and rows[0].cells[0] == told != rows[1].cells[0]


def in_fractions(card: ModelCard, **changes: Any) -> ModelCard:
    """The card with a second task, and a first that is judged by a fraction."""
    task = card.task(None)
    changed = attrs.evolve(task, metric=attrs.evolve(task.metric, unit="fraction", **changes))
    other = attrs.evolve(task, name="other", metric=attrs.evolve(task.metric, name="precision"))
    return attrs.evolve(card, tasks={task.name: changed, other.name: other})


def test_a_fraction_has_four_decimals_and_a_run_of_several_tasks_its_task(card: ModelCard) -> None:
    row = row_of(in_fractions(card), record(0, 0.95128))
    assert (row["Run"], row["Result"]) == ("classification smoke", "accuracy 0.9513")


def test_seeds_of_a_network_that_fails_by_seed_tell_the_successes(card: ModelCard) -> None:
    records = [record(0, 0.97), record(1, 0.95), record(2, 0.31)]
    row = row_of(in_fractions(card, success=0.95), *records)
    assert row["Result"] == "accuracy 0.7433 ± 0.3754; 2 of 3 reached 0.95"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_a_metric_that_is_no_number_is_a_dash(card: ModelCard, value: Any) -> None:
    assert row_of(card, record(0, value))["Result"] == tables.DASH


def test_an_aborted_run_is_shown_as_such_and_never_as_a_number(card: ModelCard) -> None:
    records = [record(status="aborted", reason="nan at step 3")]
    for text in (
        tables.measured_table(records, card, ""),
        tables.measured_text(records, card),
        tables.summary_table(records, [card], ""),
    ):
        assert "aborted: nan at step 3" in text and "91.50" not in text


def test_uncommitted_changes_are_marked(card: ModelCard) -> None:
    text = tables.measured_table([record(code=run_record.Code("b" * 40, True))], card, "")
    assert "bbbbbbb†" in text and "† run with uncommitted changes" in text


def test_a_cpu_run_is_never_labelled_npu(card: ModelCard) -> None:
    text = tables.measured_table([record()], card, "") + tables.original_table([record()], card)
    assert "NPU" not in text and "npu" not in text


def test_a_record_of_a_task_that_no_card_has_is_told_and_in_no_table(card: ModelCard) -> None:
    other = record(task="counting")
    assert tables.measured_table([other], card, "") == "No run is recorded yet.\n"
    (told,) = tables.of_no_card([record(), other], [card])
    assert "counting" in told


def test_without_records_the_table_says_so(card: ModelCard) -> None:
    assert tables.measured_table([], card, "") == "No run is recorded yet.\n"
    assert cells(tables.summary_table([], [card], ""))[3] == "No run is recorded yet."


def test_the_summary_has_the_best_training_of_each_task_beside_what_is_published(
    card: ModelCard,
) -> None:
    evaluation = dataclasses.replace(
        record(3, 99.0), case="eval_1p", progress=run_record.Progress(0, 0, 0, 0)
    )
    worse = dataclasses.replace(record(4, 80.0), case="other")
    text = tables.summary_table([worse, record(), evaluation], [card], "")
    assert len(text.splitlines()) == 3 and len(cells(text)) == len(tables.SUMMARY_HEADINGS) <= 6
    assert cells(text)[:4] == [
        "Residual Attention Network, classification",
        "digits",
        card.task(None).headline,
        "accuracy 91.50 %",
    ]
    assert cells(text)[5] == "[record](results/residual_attention_net/run-0.json)"


def test_a_chinese_table_is_chinese_and_has_the_same_figures(card: ModelCard) -> None:
    plain, told = (tables.measured_table([record()], card, "", to) for to in LANGUAGES)
    assert "运行" in told and "Result" not in told and "is chosen on" not in told
    assert told.count("\n|") == plain.count("\n|")
    assert "91.50" in told and "（" in tables.published_tables(card, LANGUAGES[1])


def test_a_terminal_gets_aligned_text_without_links(card: ModelCard) -> None:
    head, row = tables.measured_text([record()], card).splitlines()
    assert head.index("Result") == row.index("accuracy 91.50 %")
    assert "](" not in row and "|" not in row


def test_csv_has_every_column_of_every_row(card: ModelCard) -> None:
    head, row = csv.reader(io.StringIO(tables.measured_csv([record()], [card])))
    assert len(head) == len(row) and dict(zip(head, row))["Peak memory"] == "1.00 GiB"
    assert dict(zip(head, row))["Run ids"] == "run-0"


def test_published_figures_are_marked_with_their_source(card: ModelCard) -> None:
    text = tables.published_tables(card)
    assert text.count("Published by others, not measured here") == len(card.published)
    assert "| 94.13 | 723 | 300 | O2 | npu_8p | 32 |" in text
    assert all(table.source in text for table in card.published)


def test_a_run_in_the_columns_of_the_original(card: ModelCard) -> None:
    assert cells(tables.original_table([record()], card)) == [
        "91.50",
        "64.0",
        "2",
        "O0",
        "cpu_1p",
        "32",
    ]


def test_a_bar_or_a_line_break_inside_a_cell_does_not_break_the_table() -> None:
    assert tables.markdown(["a"], [["x|y\nz"]]).splitlines()[2] == "| x\\|y z |"


README = """# Title
text before
<!-- zoo:begin measured residual_attention_net -->
old
<!-- zoo:end -->
text after
"""


@pytest.fixture()
def root(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text(README)
    return tmp_path


def test_writing_changes_only_what_is_between_the_markers(root: Path, card: ModelCard) -> None:
    local = attrs.evolve(card, folder=root / "none")
    assert readme_tables.write(root, [local], [record()]) == [root / "README.md"]
    text = (root / "README.md").read_text()
    assert text.startswith("# Title\ntext before\n") and text.endswith("text after\n")
    assert "91.50" in text and "old" not in text
    assert readme_tables.drifted(root, [local], [record()]) == []


def test_a_changed_number_is_drift(root: Path, card: ModelCard) -> None:
    local = attrs.evolve(card, folder=root / "none")
    readme_tables.write(root, [local], [record()])
    path = root / "README.md"
    path.write_text(path.read_text().replace("91.50", "97.50"))
    assert readme_tables.drifted(root, [local], [record()]) == [path]


def test_a_marker_of_an_unknown_network_is_an_error(root: Path, card: ModelCard) -> None:
    (root / "README.md").write_text("<!-- zoo:begin measured resnet -->\n<!-- zoo:end -->\n")
    with pytest.raises(ZooError, match="measured resnet"):
        readme_tables.drifted(root, [attrs.evolve(card, folder=root / "none")], [])
