"""results/ is append-only, and a record counts only where its events and its log bear it out."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from common.commands.program import main
from common.core.codec import json_line
from common.core.errors import ZooError
from common.core.files import FolderLock, sha256_of
from common.runs import record as run_record
from common.runs import store
from tests.run_events import whole_run

EVENTS, KEPT_EVENTS = "rank_0/metrics.jsonl", ".metrics.jsonl.gz"


def write_run(folder: Path) -> None:
    """A finished run's folder, as a launcher leaves it."""
    (folder / "rank_0").mkdir(parents=True)
    (folder / "train_0.log").write_text("Epoch [1/2]\n")
    ended = {"case": "smoke", "command": "zoo launch x smoke", "exit_code": 0}
    launch = {"event": "launch", "time": 1041.0, **ended, "reason": "", "seconds": 41.0}
    launch["log_sha256"] = sha256_of(folder / "train_0.log")
    write_events(folder / EVENTS, [*whole_run(), launch])
    (folder / "run.json").write_text(json.dumps({**ended, "state": "complete"}))
    run_record.write_record(run_record.from_run_folder(folder), folder)


def write_events(path: Path, events: List[Dict[str, Any]]) -> None:
    text = "".join(json_line(event) + "\n" for event in events).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def edit_json(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture()
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    write_run(folder)
    return folder


@pytest.fixture()
def kept(run_folder: Path, tmp_path: Path) -> Path:
    return store.keep(tmp_path, run_folder)


def test_a_kept_run_has_its_own_record_log_and_events(run_folder: Path, kept: Path) -> None:
    assert kept.parent.name == "residual_attention_net"
    names = sorted(entry.name[len(kept.stem) :] for entry in kept.parent.iterdir())
    assert names == [".json", ".log.gz", KEPT_EVENTS]
    assert kept.read_bytes() == (run_folder / "record.json").read_bytes()
    for place in (kept, run_folder, run_folder / "record.json"):
        run = store.verified_record(place)
        assert run.record is not None and run.record.run_id == kept.stem
        assert run.contradictions == ()


def test_nothing_is_overwritten_and_a_run_that_still_goes_on_is_not_kept(
    run_folder: Path, kept: Path, tmp_path: Path
) -> None:
    with pytest.raises(ZooError, match="never overwritten"):
        store.keep(tmp_path, run_folder)
    lock = FolderLock(run_folder)
    assert lock.acquire()
    with pytest.raises(ZooError, match="still goes on"):
        store.keep(tmp_path / "zoo", run_folder)
    lock.release()
    assert store.keep(tmp_path / "zoo", run_folder).exists()


def test_a_run_that_nobody_launched_is_kept_with_its_log(run_folder: Path, tmp_path: Path) -> None:
    for name in ("run.json", "record.json"):
        (run_folder / name).unlink()
    write_events(run_folder / EVENTS, whole_run())
    path = store.keep(tmp_path, run_folder)
    assert run_record.read_record(path).case == "direct"
    assert store.verified_record(path).contradictions == ()


def test_a_run_that_lacks_a_file_is_not_kept_nor_shown(
    run_folder: Path, kept: Path, tmp_path: Path
) -> None:
    """tests/test_gate_attacks.py forges each file in every way that is known."""
    (run_folder / "train_0.log").unlink()
    with pytest.raises(ZooError):
        store.keep(tmp_path / "other", run_folder)
    kept.unlink()
    records, problems = store.verified_records(tmp_path)
    assert records == [] and len(problems) == 2  # of its log and its events


def test_one_bad_file_is_told_and_left_out_and_the_others_are_read(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    bad = kept.with_name("bad.json")
    bad.write_text("[" * 100_000)
    for read in (store.records_of, store.verified_records):
        records, problems = read(tmp_path)
        assert [record.run_id for record in records] == [kept.stem]
        assert len(problems) == 1 and str(bad) in problems[0]
    monkeypatch.setenv("ZOO_ROOT", str(tmp_path))
    for words, code in ((["table"], 0), (["table", "--write"], 1), (["table", "--check"], 1)):
        assert main(words) == code
        told = capsys.readouterr().err
        assert "bad.json" in told and "Traceback" not in told
