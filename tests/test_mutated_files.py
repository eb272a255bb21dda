"""Files that were damaged in any way are refused in a line or read; none ends in a traceback.

Each mutation is made from its number alone. ZOO_MUTATIONS says how many there are of all kinds
together; a failure names its kind and number, which `mutated(kind, number)` makes again.
"""

from __future__ import annotations

import copy
import functools
import json
import os
import random
import tempfile
import traceback
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, NamedTuple, Tuple

import pytest
import yaml

from common.ascend.rank_table_rules import check_text, read_table
from common.cards.model_card import read_card
from common.commands.list import card_lines
from common.commands.program import main
from common.core.codec import json_text, plain
from common.core.errors import ZooError
from common.data.catalogue import read_datasets
from common.evidence.gate import references
from common.evidence.gate.evidence import read_run
from common.launch import run_folder
from common.runs import record as run_record
from common.runs import store as record_store
from common.runs import tables
from common.runs.dump import read_dump, step_folder
from common.runs.events import FILE_NAME as EVENTS
from common.runs.marker import MARKER
from tests import divergence_dumps, gate_records, rank_tables
from tests.fake_zoo import FAKE_MODEL, REPOSITORY
from tests.run_events import whole_run

COUNT = int(os.environ.get("ZOO_MUTATIONS", "500"))
CARD = FAKE_MODEL / "PyTorch" / "fake_net" / "model.yaml"
DATASETS = REPOSITORY / "PyTorch" / "residual_attention_net" / "datasets.yaml"


class Kind(NamedTuple):
    """A kind of file: a sound one's content, who reads it, how it is parsed and written."""

    sound: Callable[[], str]
    read: Callable[[Path, bytes], None]
    parse: Callable[[str], Any] = json.loads
    write: Callable[[Any], str] = json.dumps


# --- who reads them ---


def _put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _json(record: run_record.RunRecord) -> bytes:
    return json_text(record).encode("utf-8", "backslashreplace")


def _compare(folder: Path, name: str, content: bytes) -> None:
    """A whole run with one file in place of its own is compared with its events, in short lines."""
    whole = {"rank_0/" + EVENTS: _of_lines(whole_run()), "train_0.log": "", MARKER: "{}"}
    for other, text in whole.items():
        _put(folder / "run" / other, text.encode())
    _put(folder / "run" / name, content)
    run = record_store.verified_record(folder / "run")
    assert all("\n" not in line and len(line) < 600 for line in run.contradictions)


def _show(record: run_record.RunRecord) -> None:
    card = read_card(CARD)
    tables.measured_table([record], card, "")
    tables.summary_table([record], [card], "")
    tables.measured_csv([record], [card])


def _read_record(folder: Path, content: bytes) -> None:
    _compare(folder, "record.json", content)
    record = run_record.read_record(_put(folder / "record.json", content))
    _show(record)
    references.stored_run(record)
    written = _json(record)
    assert _json(run_record.read_record(_put(folder / "again.json", written))) == written


def _read_events(folder: Path, content: bytes) -> None:
    _compare(folder, "rank_0/" + EVENTS, content)
    _put(folder / "rank_0" / EVENTS, content)
    read_run(folder)
    record = run_record.from_run_folder(folder)
    run_record.read_record(_put(folder / "again.json", _json(record)))
    _show(record)


def _read_marker(folder: Path, content: bytes) -> None:
    _compare(folder, MARKER, content)
    _put(folder / MARKER, content)
    run_folder.find_weights(folder, ["*.pt"])
    run_folder.check_resumable(folder, "full_1p")


def _read_card(folder: Path, content: bytes) -> None:
    card = read_card(_put(folder / "fake_net" / "model.yaml", content))
    json.dumps([plain(card), card_lines(card, [])])
    assert all(rules.cases for task in card.tasks.values() for rules in task.gate.values())


def _read_datasets(folder: Path, content: bytes) -> None:
    for dataset in read_datasets(_put(folder / "net" / "datasets.yaml", content)):
        assert dataset.size >= 0 and dataset.checksum_source


def _read_baseline(folder: Path, content: bytes) -> None:
    reference = gate_records.baseline()
    _put(reference.path(folder), content)
    (found,) = references.baselines_of(folder, reference.key.model)
    references.store(folder / "again", found)


def _signed(content: Any) -> str:
    """A reference with its checksum: what was written so is refused for what it says."""
    if isinstance(content, dict):
        content = {name: part for name, part in content.items() if name != "sha256"}
        checked = {name: part for name, part in content.items() if name != "schema_version"}
        content["sha256"] = references.checksum(checked)
    return json.dumps(content)


def _read_table(folder: Path, content: bytes) -> None:
    text = content.decode("utf-8", "replace")
    assert all(finding.found for finding in check_text(text, "table.json", "910A"))
    read_table(text, "table.json", "unknown")


def _read_dump(folder: Path, content: bytes) -> None:
    _put(folder / "index.json", content)
    dump = read_dump(folder)
    list(dump.tensors(dump.index.tensors))
    [dump.inputs(entry.kind) for entry in dump.index.inputs]


MARK = {"case": "full_1p", "state": "complete", "exit_code": 0, "seeds": [0, 1], "plan": {}}
MARK.update({"log_of": "/x", "command": "zoo launch", "sessions": 1})


@functools.lru_cache(maxsize=None)
def _dump_index() -> str:
    with tempfile.TemporaryDirectory() as folder:
        dump = divergence_dumps.write(Path(folder), divergence_dumps.step())
        return (step_folder(dump, 3) / "index.json").read_text()


@functools.lru_cache(maxsize=None)
def _baseline() -> str:
    with tempfile.TemporaryDirectory() as folder:
        return references.store(Path(folder), gate_records.baseline()).read_text()


def _of_lines(events: Any) -> str:
    return "".join(json.dumps(event) + "\n" for event in events)


def _to_lines(text: str) -> Any:
    return [json.loads(line) for line in text.splitlines()]


KINDS = {
    "record": Kind(lambda: json_text(gate_records.record()), _read_record),
    "events": Kind(lambda: _of_lines(whole_run()), _read_events, _to_lines, _of_lines),
    "marker": Kind(lambda: json.dumps(MARK), _read_marker),
    "card": Kind(CARD.read_text, _read_card, yaml.safe_load),
    "datasets": Kind(DATASETS.read_text, _read_datasets, yaml.safe_load),
    "baseline": Kind(_baseline, _read_baseline, write=_signed),
    "rank table": Kind(lambda: json.dumps(rank_tables.two_servers()), _read_table),
    "dump": Kind(_dump_index, _read_dump),
}


# --- mutations ---

VALUES: Tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3.5, 1e308, 10**18, 10**400, float("nan"), float("-inf"),
    "", "x", "nan", "1", "x" * 5000, "a\nb|c", "\ud800", "\0", "飞机", "../..", "{x}",
    [], [[]], {}, {"": {}}, [None], {"x": 1}, [1, "x", {}],
)  # fmt: skip
BYTES = (
    b"\xff", b"\0", b"[" * 100000, b"9" * 5000, b"NaN", b"1e999", b'"', b"\n", b"{", b"\\ud800",
    b"-",
)  # fmt: skip


@functools.lru_cache(maxsize=None)
def _sound(kind: str) -> Tuple[str, Any]:
    text = KINDS[kind].sound()
    return text, KINDS[kind].parse(text)


def mutated(kind: str, number: int) -> bytes:
    """The content of the mutation of this number: of values, of bytes, or of both."""
    chance = random.Random(f"{kind} {number}")
    text, content = _sound(kind)
    if number % 3 < 2:
        for _ in range(chance.choice((1, 1, 2, 5))):
            content = _other_values(chance, content)
        text = KINDS[kind].write(content)
    data = text.encode("utf-8", "surrogatepass")
    return data if number % 3 < 1 else _other_bytes(chance, data)


def _places(value: Any) -> Iterator[Tuple[Any, Any]]:
    """Every place inside a value: the list or mapping, and the index or key."""
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _other_values(chance: random.Random, content: Any) -> Any:
    content = copy.deepcopy(content)
    places = list(_places(content))
    if not places:
        return chance.choice(VALUES)
    place, key = chance.choice(places)
    way = chance.randrange(5)
    if way == 0:
        del place[key]
    elif way == 1 and isinstance(place, dict):
        place[chance.choice(("x", "", "a.b", "x" * 5000, "\ud800"))] = place.pop(key)
    elif way == 2:
        other, its_key = chance.choice(places)
        place[key] = copy.deepcopy(other[its_key])
    else:
        place[key] = chance.choice(VALUES)
    return content


def _other_bytes(chance: random.Random, data: bytes) -> bytes:
    for _ in range(chance.choice((1, 1, 3))):
        start, length = chance.randrange(len(data) + 1), chance.randrange(20)
        put = chance.choice(BYTES + (b"", bytes([chance.randrange(256)]), data[start : start + 99]))
        data = data[:start] + put + data[start + length * chance.randrange(2) :]
    return data[: chance.randrange(len(data) + 1)] if chance.random() < 0.1 else data


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_damaged_file_is_read_or_refused_in_a_short_line(kind: str, tmp_path: Path) -> None:
    failures: Dict[str, str] = {}
    for number in range(COUNT // len(KINDS)):
        try:
            KINDS[kind].read(tmp_path, mutated(kind, number))
        except ZooError as error:
            longest = max(map(len, error.lines))
            if longest > 700:
                failures.setdefault("a long line", f"number {number}: {longest} letters")
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            what = f"{type(error).__name__} at {last.filename}:{last.lineno}"
            failures.setdefault(what, f"number {number}: {str(error)[:200]}")
    assert not failures, "\n".join(f"{what}, {text}" for what, text in failures.items())


@pytest.mark.parametrize("place", ["x" * 300, "loop", "a\udcffb", "absent"])
@pytest.mark.parametrize(
    "words",
    [
        "launch fake_net smoke --device=cpu --dry_run --output_path={}/x",
        "parse {}",
        "table --run {}",
        "report {} --output x.html",
        "regress --record {}",
        "compare {} {}",
        "record {}",
        "diverge {} {}",
        "ranktable check {}",
        "data list --data_path={}",
    ],
)
def test_a_place_that_holds_nothing_is_told_in_a_line(
    words: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    monkeypatch.setenv("ZOO_ROOT", str(FAKE_MODEL))
    monkeypatch.chdir(tmp_path)
    code = main(words.format(*[tmp_path / place] * 2).split())
    told = capsys.readouterr()
    assert code in (0, 1, 3, 64) and "Traceback" not in told.err
    assert told.err.count("\n") <= 1 + told.err.count("warn")
