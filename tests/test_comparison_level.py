"""modelzoo_level.txt: computed from records, unverified until a record proves more."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, List

import pytest

from common.cards.model_folders import all_cards, checkout_root
from common.commands.program import main
from common.evidence.comparison import compared as level
from common.evidence.comparison.compared import INCONCLUSIVE, NOK, OK, PERFECT, POK
from common.runs import store as record_store
from tests.fake_zoo import FAKE_MODEL

UNVERIFIED = "unverified"
KEYS = ["GPUStatus", "NPUMigrationStatus", "FuncStatus"]
KEYS += ["PrecisionStatus", "AutoTune", "PerfStatus"]


def record(kind: str, **changes: Any) -> Any:
    made = {"model": "some_net", "status": "complete", "task": "a", "case": "full_1p", **changes}
    return SimpleNamespace(device=SimpleNamespace(kind=kind), run_id="x", **made)


BOTH = [record("npu"), record("gpu")]


@pytest.mark.parametrize(
    "records, status, told",
    [
        ([], OK, [UNVERIFIED, UNVERIFIED, UNVERIFIED]),
        ([record("cpu")], OK, [UNVERIFIED, UNVERIFIED, UNVERIFIED]),
        ([record("npu", status="aborted")], OK, [UNVERIFIED, UNVERIFIED, UNVERIFIED]),
        ([record("npu", model="another")], OK, [UNVERIFIED, UNVERIFIED, UNVERIFIED]),
        ([record("npu")], OK, [UNVERIFIED, OK, UNVERIFIED]),
        ([record("npu"), record("gpu", case="full_8p")], OK, [OK, OK, UNVERIFIED]),
        (BOTH, POK, [OK, OK, POK]),
        (BOTH, NOK, [OK, OK, NOK]),
        (BOTH, INCONCLUSIVE, [OK, OK, UNVERIFIED]),
        (BOTH + [record(kind, case="full_8p") for kind in ("npu", "gpu")], PERFECT, [OK, OK, OK]),
    ],
)
def test_only_the_same_case_on_both_devices_is_compared_and_the_worst_case_counts(
    records: List[Any], status: str, told: List[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses = iter([status, OK])
    monkeypatch.setattr(level, "read_run", lambda *_: None)
    monkeypatch.setattr(level, "settings_of", lambda *_: None)

    def compare(*_: Any) -> Any:
        verdict = SimpleNamespace(status=next(statuses))
        return SimpleNamespace(precision=verdict, perf=verdict)

    monkeypatch.setattr(level, "compare", compare)
    card: Any = SimpleNamespace(name="some_net", folder=Path("net"))
    (text,) = level.levels(Path(), [card], records).values()
    found = dict(line.split(":") for line in text.splitlines())
    assert list(found) == KEYS
    assert [found[key] for key in ("GPUStatus", "FuncStatus", "PrecisionStatus")] == told
    assert found["PerfStatus"] == told[-1]


def test_zoo_table_notices_an_edited_file_and_writes_it_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(str(FAKE_MODEL / "PyTorch"), str(tmp_path / "PyTorch"))
    monkeypatch.setenv("ZOO_ROOT", str(tmp_path))
    path = tmp_path / "PyTorch" / "fake_net" / "modelzoo_level.txt"
    path.write_text("PerfStatus:PERFECT\n")
    assert main(["table", "--check"]) == 1
    assert main(["table", "--write"]) == 0
    assert path.read_text() == "".join(f"{key}:{UNVERIFIED}\n" for key in KEYS)
    assert main(["table", "--check"]) == 0


def test_the_files_of_this_checkout_are_what_its_records_prove() -> None:
    root = checkout_root()
    found = level.levels(root, all_cards(root), record_store.records_of(root)[0])
    for path, text in found.items():
        assert path.read_text(encoding="utf-8") == text
