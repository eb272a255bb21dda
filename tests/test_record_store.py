"""results/ is append-only, and a record counts only where its events and its log bear it out."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from common.cards.model_folders import checkout_root
from common.commands.program import main
from common.core.codec import json_line
from common.core.errors import ZooError
from common.core.files import FolderLock, sha256_of
from common.runs import events as run_log
from common.runs import record as run_record
from common.runs import store as record_store
from tests.run_events import whole_run


@pytest.fixture()
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    write_run(folder)
    return folder


@pytest.fixture()
def kept(run_folder: Path, tmp_path: Path) -> Path:
    return record_store.keep(tmp_path, run_folder)


def write_run(folder: Path) -> None:
    """A finished run's folder, as a launcher leaves it."""
    (folder / "rank_0").mkdir(parents=True)
    (folder / "train_0.log").write_text("Epoch [1/2]\n")
    launch = {
        "event": "launch",
        "time": 1041.0,
        "case": "smoke",
        "command": "zoo launch x smoke",
        "exit_code": 0,
        "reason": "",
        "seconds": 41.0,
        "log_sha256": sha256_of(folder / "train_0.log"),
    }
    write_events(folder / "rank_0" / run_log.FILE_NAME, whole_run() + [launch])
    marker = {
        "case": "smoke",
        "command": "zoo launch x smoke",
        "state": "complete",
        "exit_code": 0,
    }
    (folder / "run.json").write_text(json.dumps(marker))
    run_record.write_record(run_record.from_run_folder(folder), folder)


def write_events(path: Path, events: List[Dict[str, Any]]) -> None:
    text = "".join(json_line(event) + "\n" for event in events).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def edit_json(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_kept_run_has_its_own_record_log_and_events(run_folder: Path, kept: Path) -> None:
    assert kept.parent.name == "residual_attention_net"
    names = sorted(entry.name[len(kept.stem) :] for entry in kept.parent.iterdir())
    assert names == [".json", ".log.gz", ".metrics.jsonl.gz"]
    assert kept.read_bytes() == (run_folder / "record.json").read_bytes()
    for place in (kept, run_folder, run_folder / "record.json"):
        run = record_store.verified_record(place)
        assert run.contradictions == ()
        assert run.record is not None and run.record.run_id == kept.stem


def test_nothing_that_is_kept_is_overwritten(run_folder: Path, kept: Path, tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="never overwritten"):
        record_store.keep(tmp_path, run_folder)


def test_a_run_that_still_goes_on_is_not_kept(run_folder: Path, tmp_path: Path) -> None:
    lock = FolderLock(run_folder)
    assert lock.acquire()
    with pytest.raises(ZooError, match="still goes on"):
        record_store.keep(tmp_path / "zoo", run_folder)
    lock.release()
    assert record_store.keep(tmp_path / "zoo", run_folder).exists()


def test_a_run_that_nobody_launched_is_kept_with_its_log(run_folder: Path, tmp_path: Path) -> None:
    (run_folder / "run.json").unlink()
    (run_folder / "record.json").unlink()
    write_events(run_folder / "rank_0" / run_log.FILE_NAME, whole_run())
    path = record_store.keep(tmp_path, run_folder)
    assert run_record.read_record(path).case == "direct"
    assert record_store.verified_record(path).contradictions == ()


EVENTS = "rank_0/metrics.jsonl"


def without(kind: str, field: str = "event") -> Callable[[Path], None]:
    def forge(path: Path) -> None:
        events = [event for event in run_log.read_events(path) if event.get(field) != kind]
        write_events(path, events)

    return forge


def changed(kind: str, **changes: Any) -> Callable[[Path], None]:
    """The last event of a kind, changed."""

    def forge(path: Path) -> None:
        events = list(run_log.read_events(path))
        last = max(at for at, event in enumerate(events) if event["event"] == kind)
        events[last].update(changes)
        write_events(path, events)

    return forge


def edited(**changes: Any) -> Callable[[Path], None]:
    """A JSON file with some keys changed; a mapping changes keys below."""

    def change(content: Dict[str, Any]) -> None:
        for name, value in changes.items():
            if isinstance(value, dict):
                content[name].update(value)
            else:
                content[name] = value

    return lambda path: edit_json(path, change)


def emptied(path: Path) -> None:
    path.write_bytes(gzip.compress(b"") if path.suffix == ".gz" else b"")


def forged_log(path: Path) -> None:
    text = b"Final Train Accuracy : 99.00\n"
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


@pytest.mark.parametrize(
    "name, forge",
    [
        ("record.json", edited(metrics={"final": {"accuracy": 99.0}})),
        ("record.json", edited(metrics={"n_eval": 1})),
        ("record.json", edited(metrics={"step": 10})),
        ("record.json", edited(metrics={"split": "validation"})),
        ("record.json", edited(health={"nonfinite_steps": 1})),
        ("record.json", edited(speed={"samples_per_second": 1e6})),
        ("record.json", edited(case="another")),
        ("record.json", edited(log_sha256="0" * 64)),
        ("record.json", edited(status="aborted")),
        ("record.json", edited(network={"parameters": 1})),
        ("record.json", edited(seed="0")),
        ("record.json", emptied),
        (EVENTS, changed("evaluation", metrics={"accuracy": 99.0})),
        (EVENTS, changed("step", loss="nan")),
        (EVENTS, changed("launch", case="another")),
        (EVENTS, changed("launch", exit_code=1)),
        (EVENTS, without("step")),
        (EVENTS, without("launch")),
        (EVENTS, without("end")),
        (EVENTS, without("final", "role")),
        (EVENTS, emptied),
        (EVENTS, Path.unlink),
        ("train_0.log", forged_log),
        ("train_0.log", Path.unlink),
        ("record.json", Path.unlink),
        ("run.json", edited(case="another")),
        ("run.json", edited(exit_code=None, state="running")),
        ("run.json", emptied),
    ],
)
def test_every_forgery_of_a_run_folder_is_told(
    run_folder: Path, tmp_path: Path, name: str, forge: Callable[[Path], None]
) -> None:
    if name == "record.json" and forge is not Path.unlink:
        kept = record_store.keep(tmp_path, run_folder)
        forge(kept)
        assert record_store.verified_record(kept).contradictions
    forge(run_folder / name)
    assert record_store.verified_record(run_folder).contradictions
    with pytest.raises(ZooError):
        record_store.keep(tmp_path / "other", run_folder)


@pytest.mark.parametrize(
    "suffix, forge",
    [
        (".metrics.jsonl.gz", changed("evaluation", metrics={"accuracy": 99.0})),
        (".metrics.jsonl.gz", changed("start", targets={"steps": 0, "epochs": 0})),
        (".metrics.jsonl.gz", without("launch")),
        (".metrics.jsonl.gz", emptied),
        (".metrics.jsonl.gz", Path.unlink),
        (".log.gz", forged_log),
        (".log.gz", lambda path: path.write_bytes(b"not gzip")),
        (".log.gz", Path.unlink),
        (".json", lambda path: path.rename(path.with_name("renamed.json"))),
        (".json", Path.unlink),
    ],
)
def test_every_forgery_of_a_kept_record_is_told(
    kept: Path, tmp_path: Path, suffix: str, forge: Callable[[Path], None]
) -> None:
    forge(kept.with_suffix(suffix))
    records, problems = record_store.verified_records(tmp_path)
    assert records == [] and problems


def test_record_and_log_and_checksum_forged_together_are_told_by_the_events(kept: Path) -> None:
    log = kept.with_suffix(".log.gz")
    forged_log(log)
    edited(log_sha256=record_store.log_sha256(kept))(kept)
    assert (
        "not the one that the run ended with"
        in record_store.verified_record(kept).contradictions[0]
    )


def test_one_bad_file_is_left_out_and_the_others_are_read(kept: Path, tmp_path: Path) -> None:
    bad = kept.with_name("bad.json")
    bad.write_text("[" * 100_000)
    for read in (record_store.records_of, record_store.verified_records):
        records, problems = read(tmp_path)
        assert [record.run_id for record in records] == [kept.stem]
        assert len(problems) == 1 and str(bad) in problems[0]


def test_the_records_of_this_checkout_are_what_their_events_make() -> None:
    records, problems = record_store.verified_records(checkout_root())
    assert problems == [] and records
    assert all(record.metrics.split == "test" for record in records)


def test_the_table_tells_a_bad_file_and_its_check_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ZOO_ROOT", str(tmp_path))
    (tmp_path / "results" / "x").mkdir(parents=True)
    (tmp_path / "results" / "x" / "bad.json").write_text("{}")
    for words, code in ((["table"], 0), (["table", "--write"], 1), (["table", "--check"], 1)):
        assert main(words) == code
        told = capsys.readouterr().err
        assert "bad.json" in told and "Traceback" not in told
