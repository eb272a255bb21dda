"""Tables say what the records say, cell by cell."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path
from typing import Any, Dict, List, Tuple

import attrs
import pytest

from common.cards.model_card import ModelCard, read_card
from common.core.errors import ZooError
from common.runs import readmes, tables
from common.runs import record as run_record
from tests.run_events import whole_run

CARD = Path(__file__).resolve().parent.parent / "PyTorch" / "residual_attention_net" / "model.yaml"


@pytest.fixture()
def card() -> ModelCard:
    return read_card(CARD)


def record(seed: int = 0, accuracy: Any = 91.5, **changes: Any) -> run_record.RunRecord:
    made = run_record.from_events(whole_run(), "smoke", "zoo launch")
    metrics = dataclasses.replace(made.metrics, final={"accuracy": accuracy})
    own = {"run_id": f"run-{seed}", "config": dict(made.config, seed=seed), **changes}
    return dataclasses.replace(made, seed=seed, metrics=metrics, **own)


def cells(text: str, line: int = 2) -> List[str]:
    return [cell.strip() for cell in text.splitlines()[line].strip("|").split("|")]


def rows_of(card: ModelCard, *records: run_record.RunRecord) -> List[Dict[str, str]]:
    """The cells of each row by their headings, the folded ones among them."""
    return [tables.row_of(group) for group in tables.groups_of(records, card)]


def test_one_run_is_one_row_with_its_own_numbers(card: ModelCard) -> None:
    row = {
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
    assert rows_of(card, record()) == [row]
    head, told = csv.reader(io.StringIO(tables.measured_csv([record()], [card])))
    more = {"Network's card": card.name, "Seeds": "0", "Run ids": "run-0"}
    assert dict(zip(head, told)) == {**row, **more}


def test_the_result_is_seen_first_and_all_else_is_folded(card: ModelCard) -> None:
    code = run_record.Code("b" * 40, True)
    text = tables.measured_table([record(code=code)], card, "../../")
    shown, folded = text.split("<details>")
    headings, row = cells(shown, 0), cells(shown)
    assert len(headings) <= 7 and row[headings.index("Result")] == "accuracy 91.50 %"
    assert row[-1] == "[log](../../results/residual_attention_net/run-0.log.gz)"
    assert "float32 (O0)" in folded and "float32" not in shown
    assert "bbbbbbb†" in folded and "† run with uncommitted changes" in folded
    assert "npu" not in (text + tables.original_table([record()], card)).lower()


def test_seeds_of_one_configuration_share_a_row_with_mean_and_deviation(card: ModelCard) -> None:
    records = [record(0, 90.0), record(1, 92.0), record(2, 94.0)]
    (row,) = rows_of(card, *records)
    assert row["Result"] == "accuracy 92.00 ± 2.00 %"
    assert row["Smallest, median"] == "90.00, 92.00"
    last = cells(tables.measured_table(records, card, ""))[-1]
    assert last.startswith("[0](results/residual_attention_net/run-0.log.gz), [1](")


@pytest.mark.parametrize(
    "change, told",
    [
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
    one, other = rows_of(card, record(0), record(1, **change))
    assert one["Run"] == told != other["Run"]


def test_what_two_parts_of_a_configuration_say_alike_is_told_once(card: ModelCard) -> None:
    made = [
        record(config={"augmentation": recipe, "recipe_values": recipe, "epochs": epochs})
        for recipe, epochs in (({"mixup_epochs": 8}, 8), ({"mixup_epochs": 12}, 12))
    ]
    names = [row["Run"] for row in rows_of(card, *made)]
    assert names == ["smoke: mixup_epochs 8", "smoke: mixup_epochs 12"]


def in_fractions(card: ModelCard, **changes: Any) -> ModelCard:
    """The card with a second task, and a first that is judged by a fraction."""
    task = card.task(None)
    changed = attrs.evolve(task, metric=attrs.evolve(task.metric, unit="fraction", **changes))
    return attrs.evolve(card, tasks={task.name: changed, "other": attrs.evolve(task, name="other")})


def test_a_fraction_has_four_decimals_and_a_run_of_several_tasks_its_task(card: ModelCard) -> None:
    (row,) = rows_of(in_fractions(card), record(0, 0.95128))
    assert (row["Run"], row["Result"]) == ("classification smoke", "accuracy 0.9513")
    records = [record(0, 0.97), record(1, 0.95), record(2, 0.31)]
    (row,) = rows_of(in_fractions(card, success=0.95), *records)
    assert row["Result"] == "accuracy 0.7433 ± 0.3754; 2 of 3 reached 0.95"
    assert rows_of(card, record(0, float("nan")))[0]["Result"] == tables.DASH


def test_a_terminal_gets_aligned_text_and_an_aborted_run_is_never_a_number(card: ModelCard) -> None:
    head, row = tables.measured_text([record()], card).splitlines()
    assert head.index("Result") == row.index("accuracy 91.50 %") and "](" not in row
    records = [record(status="aborted", reason="nan at step 3")]
    for text in (
        tables.measured_table(records, card, ""),
        tables.measured_text(records, card),
        tables.summary_table(records, [card], ""),
    ):
        assert "aborted: nan at step 3" in text and "91.50" not in text


def test_what_no_card_has_is_told_and_in_no_table(card: ModelCard) -> None:
    other = record(task="counting")
    assert tables.measured_table([other], card, "") == "No run is recorded yet.\n"
    assert len(tables.summary_table([other], [card], "").splitlines()) == 2  # the head alone
    (told,) = tables.of_no_card([record(), other], [card])
    assert "counting" in told


def test_the_summary_has_the_best_training_of_each_task_beside_what_is_published(
    card: ModelCard,
) -> None:
    evaluation = record(3, 99.0, case="eval_1p", progress=run_record.Progress(0, 0, 0, 0))
    text = tables.summary_table([record(4, 80.0, case="other"), record(), evaluation], [card], "")
    assert len(text.splitlines()) == 3 and len(cells(text)) <= 6
    assert cells(text) == [
        "Residual Attention Network, classification",
        "digits",
        card.task(None).headline,
        "accuracy 91.50 %",
        "CPU Test CPU x 1; 2 epochs, 40 s",
        "[record](results/residual_attention_net/run-0.json)",
    ]


def test_twins_share_a_row_of_the_summary_and_one_lucky_seed_stands_for_no_case(
    card: ModelCard,
) -> None:
    twin = attrs.evolve(card, name="twin", framework="tensorflow", twin_of=card.name)

    def of_twin(seed: int, accuracy: float) -> run_record.RunRecord:
        return record(seed, accuracy, model="twin")

    def told(*records: run_record.RunRecord) -> Tuple[str, ...]:
        row = cells(tables.summary_table(records, [card, twin], ""))
        return row[0], row[3], row[4].split(",")[0]

    title = "Residual Attention Network (torch, TensorFlow), classification"
    ours = record(0, 90.0)
    assert told(ours, of_twin(1, 91.0)) == (title, "accuracy 91.00 %", "TensorFlow")
    several = [ours, record(2, 91.0)]
    assert told(*several, of_twin(1, 93.0)) == (title, "accuracy 90.50 ± 0.71 %", "torch")


def test_a_chinese_table_is_chinese_and_has_the_same_figures(card: ModelCard) -> None:
    plain = tables.measured_table([record()], card, "")
    told = tables.measured_table([record()], card, "", tables.chinese)
    assert "运行" in told and "Result" not in told and "is chosen on" not in told
    assert told.count("\n|") == plain.count("\n|") and "91.50" in told
    assert "（" in tables.published_tables(card, tables.chinese)


def test_published_figures_are_marked_with_their_source_and_keep_their_columns(
    card: ModelCard,
) -> None:
    text = tables.published_tables(card)
    assert text.count("Published by others, not measured here") == len(card.published)
    assert "| 94.13 | 723 | 300 | O2 | npu_8p | 32 |" in text
    assert all(table.source in text for table in card.published)
    own = cells(tables.original_table([record()], card))
    assert own == ["91.50", "64.0", "2", "O0", "cpu_1p", "32"]


def test_a_bar_or_a_line_break_inside_a_cell_does_not_break_the_table() -> None:
    assert tables.markdown(["a"], [["x|y\nz"]]).splitlines()[2] == "| x\\|y z |"


def test_a_readme_is_changed_between_its_markers_alone_and_drift_is_noticed(
    tmp_path: Path, card: ModelCard
) -> None:
    path, cards = tmp_path / "README.md", [attrs.evolve(card, folder=tmp_path / "none")]
    block = f"<!-- zoo:begin measured {card.name} -->\n{{}}<!-- zoo:end -->\n"
    path.write_text("# Title\n" + block.format("old\n") + "after\n")
    (text,) = readmes.drifted(tmp_path, cards, [record()]).values()
    assert text.startswith("# Title\n") and text.endswith("after\n")
    assert "91.50" in text and "old" not in text
    path.write_text(text)
    assert readmes.drifted(tmp_path, cards, [record()]) == {}
    path.write_text(text.replace("91.50", "97.50"))
    assert list(readmes.drifted(tmp_path, cards, [record()])) == [path]
    path.write_text(block.format("").replace(card.name, "resnet"))
    with pytest.raises(ZooError, match="measured resnet"):
        readmes.drifted(tmp_path, cards, [])
