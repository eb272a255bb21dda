"""Checkpoints: whole or not there, and a training that is killed anywhere can always go on."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from common.core.errors import ZooError
from common.training import checkpoints
from common.training.checkpoints import CheckpointFolder, find_checkpoint, is_whole, read_state

STEPS, KEEP = 6, 2
SCORES = {2: 1.0, 3: 5.0, 4: 2.0, 5: 9.0}  # by step, of those that are evaluated
OPERATIONS = [
    (os, name) for name in ("rename", "replace", "symlink", "unlink", "fsync", "mkdir", "rmdir")
] + [(shutil, "rmtree")]


class Killed(BaseException):
    """Stands for kill -9: nothing is done after it."""


def train(folder: Path) -> int:
    """A training of numbers that evaluates, chooses and saves as the loop does."""
    own = CheckpointFolder(folder, KEEP)
    own.prepare()
    found = own.newest(lambda line: None)
    state: Dict[str, Any] = read_state(found) if found else {"step": 0, "best": {"step": 0}}
    value, best = state.get("value", 0), dict(state["best"])
    if best["step"]:
        assert is_whole(own.at(best["step"])), "what is best is gone"
        own.mark_best(best["step"])
    for step in range(state["step"] + 1, STEPS + 1):
        value += step
        if SCORES.get(step, 0) > SCORES.get(best["step"], 0):
            best = {"step": step}

        def write(work: Path, text: str = str(value)) -> Dict[str, Any]:
            (work / "weights.data").write_text(text)
            return {"value": int(text)}

        own.save(step, {"best": best}, write)
    chosen = own.best()
    assert chosen is not None and chosen.name == "step_00000005" and is_whole(chosen)
    assert (own.at(STEPS) / "weights.data").read_text() == str(value)
    return value


@contextlib.contextmanager
def killed_at(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[List[str]]:
    """Ends the work before file operation `number`, and lets no clean-up happen after it."""
    done: List[str] = []

    def watched(name: str, original: Any) -> Any:
        def operate(*words: Any, **named: Any) -> Any:
            if len(done) >= number:
                raise Killed
            done.append(name)
            return original(*words, **named)

        return operate

    with monkeypatch.context() as patch:
        for module, name in OPERATIONS:
            patch.setattr(module, name, watched(name, getattr(module, name)))
        with contextlib.suppress(Killed):
            yield done


def test_a_kill_at_every_file_operation_is_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with killed_at(10**6, monkeypatch) as done:
        train(tmp_path / "whole")
    assert len(done) > 50 and {"rename", "replace", "symlink", "fsync", "rmtree"} <= set(done)
    for number in range(len(done)):
        folder = tmp_path / str(number)
        with killed_at(number, monkeypatch):
            train(folder)
        assert train(folder) == sum(range(STEPS + 1)), f"killed before {done[number]} {number}"


def write(work: Path) -> Dict[str, Any]:
    (work / "weights.data").write_text("whole")
    return {}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_save_that_fails_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.prepare()
    saved, _ = folder.save(1, {}, write)

    def fail(work: Path) -> Dict[str, Any]:
        write(work)
        raise error

    for step in (1, 2):
        with pytest.raises(type(error)):
            folder.save(step, {}, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000001"]
    assert folder.newest() == saved


def test_a_step_that_is_saved_again_is_never_without_a_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with killed_at(10**6, monkeypatch) as done:
        folder = CheckpointFolder(tmp_path / "whole", keep=1)
        folder.prepare()
        folder.save(1, {}, write)
        first = len(done)
        folder.save(1, {}, write)
    for number in range(first, len(done)):
        folder = CheckpointFolder(tmp_path / str(number), keep=1)
        with killed_at(number, monkeypatch):
            folder.prepare()
            folder.save(1, {}, write)
            folder.save(1, {}, write)
        folder.prepare()
        assert folder.newest() == folder.at(1)


def test_a_damaged_checkpoint_is_passed_over_and_told(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.prepare()
    first, second = (folder.save(step, {}, write)[0] for step in (1, 2))
    (second / "weights.data").write_text("altered")
    told: List[str] = []
    assert folder.newest(told.append) == first and "step_00000002 is damaged" in told[0]
    with pytest.raises(ZooError, match="truncated or altered"):
        find_checkpoint(second)


@pytest.mark.parametrize(
    "text, told",
    [
        (None, "can't be read"),
        ("{", "can't be read as JSON"),
        ("[]", "of another program"),
        ('{"format": "other", "version": 1}', "of another program"),
        ('{"format": "training", "version": 99}', "newer version .format 99"),
    ],
)
def test_what_is_no_checkpoint_is_told(tmp_path: Path, text: Any, told: str) -> None:
    if text is not None:
        (tmp_path / checkpoints.STATE).write_text(text)
    with pytest.raises(ZooError, match=told):
        read_state(tmp_path)
