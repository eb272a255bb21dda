"""modelzoo_level.txt: computed from records, unverified until a record proves more."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from common.cards.model_folders import all_cards, checkout_root
from common.commands import table
from common.commands.program import main
from common.evidence.comparison.level import KEYS, level_of, levels, text_of
from common.evidence.comparison.verdicts import INCONCLUSIVE, NOK, OK, PERFECT, POK
from common.runs import store as record_store

CARD: Any = SimpleNamespace(name="some_net")


def record(
    kind: str,
    status: str = "complete",
    case: str = "full_1p",
    model: str = "some_net",
    task: str = "a",
) -> Any:
    return SimpleNamespace(
        model=model, status=status, task=task, case=case, device=SimpleNamespace(kind=kind)
    )


def level(*records: Any, precision: str = OK, perf: str = PERFECT) -> Any:
    def compared(gpu: Any, npu: Any) -> Any:
        return SimpleNamespace(
            precision=SimpleNamespace(status=precision), perf=SimpleNamespace(status=perf)
        )

    return level_of(CARD, records, compared)


@pytest.mark.parametrize(
    "records",
    [[], [record("cpu")], [record("npu", status="aborted")], [record("npu", model="another")]],
)
def test_without_a_complete_npu_record_nothing_of_the_npu_is_verified(records: Any) -> None:
    found = level(*records)
    assert {found[key] for key in ("FuncStatus", "PrecisionStatus", "PerfStatus")} == {"unverified"}


def test_a_complete_npu_record_proves_the_function_alone() -> None:
    found = level(record("npu"))
    assert found["FuncStatus"] == OK
    assert found["PrecisionStatus"] == found["PerfStatus"] == "unverified"


def test_the_same_case_on_both_devices_is_compared() -> None:
    found = level(record("npu"), record("gpu"), precision=POK, perf=OK)
    assert (found["GPUStatus"], found["PrecisionStatus"], found["PerfStatus"]) == (OK, POK, OK)


def test_other_cases_on_both_devices_prove_nothing() -> None:
    assert level(record("npu"), record("gpu", case="full_8p"))["PrecisionStatus"] == "unverified"


@pytest.mark.parametrize("status, told", [(INCONCLUSIVE, "unverified"), (NOK, NOK)])
def test_what_can_not_be_told_is_not_told(status: str, told: str) -> None:
    assert level(record("npu"), record("gpu"), precision=status)["PrecisionStatus"] == told


def test_the_file_has_a_key_and_a_value_a_line_without_blanks() -> None:
    text = text_of(level())
    assert [line.split(":")[0] for line in text.splitlines()] == list(KEYS)
    assert " " not in text


def test_zoo_table_notices_an_edited_file_and_writes_it_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "modelzoo_level.txt"
    card: Any = SimpleNamespace(name="some_net", folder=tmp_path, tasks={})
    monkeypatch.setattr(table, "all_cards", lambda root: [card])
    monkeypatch.setattr(table, "checkout_root", lambda: tmp_path)
    for name in ("drifted", "write"):
        monkeypatch.setattr(table.readme_tables, name, lambda root, cards, records: [])
    assert main(["table", "--write"]) == 0
    assert path.read_text() == text_of(level())
    assert main(["table", "--check"]) == 0
    path.write_text("PerfStatus:PERFECT\n")
    assert main(["table", "--check"]) == 1
    assert main(["table", "--write"]) == 0
    assert path.read_text() == text_of(level())


def test_the_files_of_this_checkout_are_what_its_records_prove() -> None:
    root = checkout_root()
    records = record_store.records_of(root)[0]
    for path, text in levels(root, all_cards(root), records).items():
        assert path.read_text(encoding="utf-8") == text
