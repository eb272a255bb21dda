"""Tables say what the records say, cell by cell."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, List

import attrs
import pytest

from common.cards.model_card import ModelCard, read_card
from common.core.errors import ZooError
from common.runs import readme_tables, tables
from common.runs import record as run_record
from tests.run_events import whole_run

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


def test_one_run_is_one_row_with_its_own_numbers(card: ModelCard) -> None:
    row = dict(zip(tables.COLUMNS, cells(tables.measured_table([record()], card, "../../"))))
    assert row["Network"] == "small, 1,234 parameters"
    assert row["Device"] == "CPU Test CPU x 1"
    assert row["Precision"] == "float32 (O0)"
    assert row["Final metric"] == "91.50 (n = 40)"
    assert row["Best on validation"] == "91.00 (epoch 2, step 20)"
    assert row["Samples/s"] == "64.0"
    assert row["Data wait"] == "2.00 %"
    assert row["Peak memory"] == "1.00 GiB"
    assert row["Date, commit"] == "1970-01-01, aaaaaaa"
    assert row["Log"] == "[log](../../results/residual_attention_net/run-0.log.gz)"


def test_seeds_of_one_configuration_share_a_row_with_mean_spread_and_minimum(
    card: ModelCard,
) -> None:
    text = tables.measured_table([record(0, 90.0), record(1, 92.0), record(2, 94.0)], card, "")
    row = dict(zip(tables.COLUMNS, cells(text)))
    assert row["Seeds"] == "3 (0, 1, 2)"
    assert row["Final metric"] == "92.00 ± 2.00 (min 90.00) (n = 40)"


def in_fractions(card: ModelCard, **changes: Any) -> ModelCard:
    """The card with a second task, and a first that is judged by a fraction."""
    task = card.task(None)
    changed = attrs.evolve(task, metric=attrs.evolve(task.metric, unit="fraction", **changes))
    other = attrs.evolve(task, name="other", metric=attrs.evolve(task.metric, name="precision"))
    return attrs.evolve(card, tasks={task.name: changed, other.name: other})


def test_a_fraction_has_four_decimals_and_a_metric_of_several_its_name(card: ModelCard) -> None:
    text = tables.measured_table([record(0, 0.95128)], in_fractions(card), "")
    row = dict(zip(tables.COLUMNS, cells(text)))
    assert row["Final metric"] == "accuracy 0.9513 (n = 40)"


def test_seeds_of_a_network_that_fails_by_seed_tell_median_and_successes(card: ModelCard) -> None:
    records = [record(0, 0.97), record(1, 0.95), record(2, 0.31)]
    text = tables.measured_table(records, in_fractions(card, success=0.95), "")
    assert (
        dict(zip(tables.COLUMNS, cells(text)))["Final metric"]
        == "accuracy 0.7433 ± 0.3754 (min 0.3100) (n = 40), median 0.9500; 2 of 3 reached 0.95"
    )


def test_a_metric_that_is_no_number_is_a_dash(card: ModelCard) -> None:
    text = tables.measured_table([record(0, "nan")], card, "")  # as a record has it
    assert dict(zip(tables.COLUMNS, cells(text)))["Final metric"] == tables.DASH


@pytest.mark.parametrize(
    "change",
    [
        {"case": "full_1p"},
        {"config": {"recipe": "modern"}},
        {"precision": run_record.PrecisionUsed("O1", "float16 autocast", "dynamic")},
        {"batch": run_record.Batch(64, 64)},
    ],
)
def test_runs_that_differ_in_more_than_the_seed_have_rows_of_their_own(
    card: ModelCard, change: Any
) -> None:
    other = dataclasses.replace(record(1), **change)
    assert len(tables.grouped([record(0), other])) == 2


def test_an_aborted_run_is_shown_as_such_and_never_as_a_number(card: ModelCard) -> None:
    text = tables.measured_table([record(status="aborted", reason="nan at step 3")], card, "")
    assert "aborted: nan at step 3" in text and "91.50" not in text


def test_uncommitted_changes_are_marked(card: ModelCard) -> None:
    text = tables.measured_table([record(code=run_record.Code("b" * 40, True))], card, "")
    assert "bbbbbbb†" in text and "† run with uncommitted changes" in text


def test_a_cpu_run_is_never_labelled_npu(card: ModelCard) -> None:
    text = tables.measured_table([record()], card, "") + tables.original_table([record()], card)
    assert "NPU" not in text and "npu" not in text


def test_without_records_the_table_says_so(card: ModelCard) -> None:
    assert tables.measured_table([], card, "") == "No run is recorded yet.\n"


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


def test_a_bar_inside_a_cell_does_not_break_the_table() -> None:
    assert tables.markdown(["a"], [["x|y"]]).splitlines()[2] == "| x\\|y |"


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
