"""results/ is append-only, and every record has the log it was made from."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from common.core.errors import ZooError
from common.core.files import FolderLock
from common.runs import events as run_log
from common.runs import store as record_store
from tests.run_events import whole_run


@pytest.fixture()
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    write_run(folder)
    return folder


def write_run(folder: Path) -> None:
    """A finished run's folder, as a launcher leaves it."""
    (folder / "rank_0").mkdir(parents=True)
    lines = [run_log.encode(event) for event in whole_run()]
    (folder / "rank_0" / run_log.FILE_NAME).write_text("\n".join(lines) + "\n")
    (folder / "run.json").write_text('{"case": "smoke", "command": "zoo launch x smoke"}')
    (folder / "train_0.log").write_text("Epoch [1/2]\n")


def test_a_kept_run_has_record_log_and_events(run_folder: Path, tmp_path: Path) -> None:
    path = record_store.keep(tmp_path, run_folder)
    assert path.parent == tmp_path / "results" / "residual_attention_net"
    names = sorted(entry.name[len(path.stem) :] for entry in path.parent.iterdir())
    assert names == [".json", ".log.gz", ".metrics.jsonl.gz"]
    records = record_store.records_of(tmp_path)
    assert [record.run_id for record in records] == [path.stem]
    record_store.check_evidence(tmp_path, records[0])


def test_nothing_that_is_kept_is_overwritten(run_folder: Path, tmp_path: Path) -> None:
    record_store.keep(tmp_path, run_folder)
    with pytest.raises(ZooError, match="never overwritten"):
        record_store.keep(tmp_path, run_folder)


def test_a_run_that_still_goes_on_is_not_kept(run_folder: Path, tmp_path: Path) -> None:
    lock = FolderLock(run_folder)
    assert lock.acquire()
    with pytest.raises(ZooError, match="still goes on"):
        record_store.keep(tmp_path / "zoo", run_folder)
    lock.release()
    assert record_store.keep(tmp_path / "zoo", run_folder).exists()


def test_a_run_without_its_log_proves_nothing(run_folder: Path, tmp_path: Path) -> None:
    (run_folder / "train_0.log").unlink()
    with pytest.raises(ZooError, match="no human log"):
        record_store.keep(tmp_path, run_folder)


@pytest.mark.parametrize(
    "damage",
    [b"", b"not gzip", gzip.compress(b"another log")],
    ids=["empty", "not gzip", "another log"],
)
def test_a_missing_or_altered_log_is_noticed(
    run_folder: Path, tmp_path: Path, damage: bytes
) -> None:
    path = record_store.keep(tmp_path, run_folder)
    record = record_store.records_of(tmp_path)[0]
    path.with_suffix(".log.gz").write_bytes(damage)
    with pytest.raises(ZooError):
        record_store.check_evidence(tmp_path, record)


def test_a_damaged_record_is_named(run_folder: Path, tmp_path: Path) -> None:
    path = record_store.keep(tmp_path, run_folder)
    path.write_text(path.read_text()[:100])
    with pytest.raises(ZooError, match=path.name):
        record_store.records_of(tmp_path)
