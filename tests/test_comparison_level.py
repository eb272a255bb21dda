"""modelzoo_level.txt: computed from records, unverified until a record proves more."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict

import pytest

from common.cards.model_folders import all_cards, checkout_root
from common.commands.program import main
from common.evidence.comparison.level import KEYS, level_of, levels
from common.evidence.comparison.verdicts import INCONCLUSIVE, NOK, OK, PERFECT, POK
from common.runs import store as record_store
from tests.fake_zoo import FAKE_MODEL

UNVERIFIED = "unverified"


def record(kind: str, **changes: Any) -> Any:
    made = {"model": "some_net", "status": "complete", "task": "a", "case": "full_1p", **changes}
    return SimpleNamespace(device=SimpleNamespace(kind=kind), **made)


def level(*records: Any, precision: str = OK, perf: str = PERFECT) -> Dict[str, str]:
    found = level_of("some_net", records, lambda gpu, npu: (precision, perf))
    assert tuple(found) == KEYS
    return found


@pytest.mark.parametrize(
    "records, function",
    [
        ([], UNVERIFIED),
        ([record("cpu")], UNVERIFIED),
        ([record("npu", status="aborted")], UNVERIFIED),
        ([record("npu", model="another")], UNVERIFIED),
        ([record("npu")], OK),
        ([record("npu"), record("gpu", case="full_8p")], OK),
    ],
)
def test_without_the_same_case_on_both_devices_nothing_is_compared(
    records: Any, function: str
) -> None:
    found = level(*records)
    told = tuple(found[key] for key in ("FuncStatus", "PrecisionStatus", "PerfStatus"))
    assert told == (function, UNVERIFIED, UNVERIFIED)


@pytest.mark.parametrize("precision, told", [(POK, POK), (NOK, NOK), (INCONCLUSIVE, UNVERIFIED)])
def test_the_same_case_on_both_devices_is_compared(precision: str, told: str) -> None:
    found = level(record("npu"), record("gpu"), precision=precision, perf=OK)
    assert (found["GPUStatus"], found["PrecisionStatus"], found["PerfStatus"]) == (OK, told, OK)


def test_zoo_table_notices_an_edited_file_and_writes_it_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(str(FAKE_MODEL / "PyTorch"), str(tmp_path / "PyTorch"))
    monkeypatch.setenv("ZOO_ROOT", str(tmp_path))
    path = tmp_path / "PyTorch" / "fake_net" / "modelzoo_level.txt"
    for text in (None, "PerfStatus:PERFECT\n"):
        if text is not None:
            path.write_text(text)
            assert main(["table", "--check"]) == 1
        assert main(["table", "--write"]) == 0
        assert path.read_text() == "".join(f"{key}:{UNVERIFIED}\n" for key in KEYS)
        assert main(["table", "--check"]) == 0


def test_the_files_of_this_checkout_are_what_its_records_prove() -> None:
    root = checkout_root()
    for path, text in levels(root, all_cards(root), record_store.records_of(root)[0]).items():
        assert path.read_text(encoding="utf-8") == text
