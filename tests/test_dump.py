"""Dumps on the disk: whole or refused, found by what a user has at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Dict

import numpy as np
import pytest

from common.core.errors import UsageError
from common.runs.dump import Tensor, digest_of, find_dump, step_folder
from tests.divergence_dumps import inputs, step, write


@pytest.fixture()
def run(tmp_path: Path) -> Path:
    return write(tmp_path / "run", step())


def read(run: Path) -> Any:
    dump = find_dump(run)
    return list(dump.tensors(dump.index.tensors))


@pytest.mark.parametrize("below", ["", "tensors", "tensors/step_00000003"])
def test_what_was_written_is_found_and_read(below: str, run: Path) -> None:
    dump = find_dump(run / below)
    assert dump.subject.step == 3
    names = [(entry.kind, entry.name) for entry in dump.index.tensors]
    assert names == [(item.kind, item.name) for item in step()]
    assert all(np.array_equal(one, item.values) for one, item in zip(read(run), step()))
    assert np.array_equal(dump.inputs("batch")["images"], inputs()[0].values)


def test_of_several_steps_one_is_to_be_named(run: Path) -> None:
    write(run, step(), step=7)
    with pytest.raises(UsageError, match="holds dumps of steps 3, 7"):
        find_dump(run)
    assert find_dump(run, 7).subject.step == 7
    with pytest.raises(UsageError, match="holds no dump of step 9: run with --dump_tensors K"):
        find_dump(run, 9)


def altered(path: Path) -> None:
    with np.load(str(path)) as archive:
        arrays = dict(archive)
    arrays["t00001"][0, 0] += 1e-9
    np.savez(str(path), **arrays)


DAMAGE: Dict[str, Callable[[Path], Any]] = {
    "index.json": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "index.json nested": lambda path: path.write_text("[" * 100000),
    "index.json gone": Path.unlink,
    "tensors.npz empty": lambda path: path.write_bytes(b""),
    "tensors.npz gone": Path.unlink,
    "tensors.npz altered": altered,
    "tensors.npz pickled": lambda path: np.savez(str(path), t00000=np.array([{}], dtype=object)),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_damaged_is_refused_in_one_line(name: str, run: Path) -> None:
    DAMAGE[name](step_folder(run, 3) / name.split()[0])
    said = "holds no dump" if name == "index.json gone" else "is damaged"
    with pytest.raises(UsageError, match=said) as caught:
        read(run)
    assert "\n" not in str(caught.value)


def test_any_flipped_byte_is_told_as_damage(run: Path) -> None:
    """Every 97th byte of the file, one at a time; where it reads on, the values are the same."""
    path = next(run.rglob("tensors.npz"))
    content = path.read_bytes()
    for place in range(0, len(content), 97):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        try:
            found = read(run)
        except UsageError as error:
            assert "is damaged" in str(error)
        else:
            assert all(np.array_equal(one, item.values) for one, item in zip(found, step()))


@pytest.mark.parametrize(
    "change, said",
    [
        ({"format": "other"}, "is no index of a dump"),
        ({"schema_version": 99}, "newer version"),
        ({"schema_version": True}, "newer version"),
        ({"tensors": [{"name": {"a": 1}}]}, "is damaged"),
        ({"note": 5}, "is damaged"),
        ({"subject": {"arithmetic": "float8"}}, "is damaged"),
        ({"subject": {"step": True}}, "is damaged"),
    ],
)
def test_an_index_of_something_else_is_refused(change: Any, said: str, run: Path) -> None:
    path = step_folder(run, 3) / "index.json"
    content = json.loads(path.read_text())
    subject = {**content["subject"], **change.get("subject", {})}
    path.write_text(json.dumps({**content, **change, "subject": subject}))
    with pytest.raises(UsageError, match=said):
        find_dump(run)


def test_an_earlier_dump_of_the_step_is_moved_aside(run: Path) -> None:
    write(run, step("float32"))
    folders = sorted(path.name for path in (run / "tensors").iterdir())
    assert len(folders) == 2 and folders[1].startswith("step_00000003.")
    assert find_dump(run).index.tensors[0].dtype == "float32"


def test_a_tensor_says_what_it_was_computed_in_and_has_its_name_once(tmp_path: Path) -> None:
    values = np.array([1.5, -2.0], np.float32)
    write(tmp_path, [Tensor("half", "activation", values, dtype="bfloat16")])
    assert find_dump(tmp_path).index.tensors[0].dtype == "bfloat16"
    assert np.array_equal(read(tmp_path)[0], values)
    with pytest.raises(ValueError, match="given twice"):
        write(tmp_path, step() + step()[:1])


def test_digests_tell_types_and_shapes_apart() -> None:
    zeros = np.zeros(4, np.float32)
    others = [zeros.reshape(2, 2), zeros.astype(np.int32), zeros + 1]
    assert len({digest_of(array) for array in [zeros, *others]}) == 4
    assert digest_of(zeros.astype(">f4")) == digest_of(zeros)
