"""Files are written whole or not at all, and nothing is deleted."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.core import files
from common.core.errors import ZooError


def test_a_file_is_replaced_in_one_go_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    files.write_atomically(path, "one")
    files.write_atomically(path, "zwei\n")

    def fail(stream: object) -> None:
        raise OSError("full")

    with pytest.raises(OSError):
        files.save_atomically(path, fail)
    assert (path.read_text(), os.listdir(str(tmp_path))) == ("zwei\n", ["a.txt"])
    (tmp_path / "b").write_text("x")
    assert path.stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_file_that_the_disk_can_not_take_is_told(tmp_path: Path, monkeypatch) -> None:
    def fails(handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    path = tmp_path / "weights"
    path.write_bytes(b"new")
    monkeypatch.setattr(files.os, "fsync", fails)
    with pytest.raises(OSError, match="weights"):
        files.sync_file(path)


def test_folders_moved_aside_keep_their_content_under_names_of_their_own(tmp_path: Path) -> None:
    moved = set()
    for number in range(3):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "weights").write_text(str(number))
        moved.add(files.move_aside(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    assert {(path / "weights").read_text() for path in moved} == {"0", "1", "2"}
    assert all(path.name.startswith("run.2") for path in moved)


def test_a_folder_that_can_not_be_written_is_told_by_its_flag(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ZooError, match="--output_path .*/file/run can't be written"):
        files.make_folder(tmp_path / "file" / "run", "--output_path")


def test_a_lock_is_held_by_one_who_is_named_until_he_ends_however(tmp_path: Path) -> None:
    first, second = files.FolderLock(tmp_path), files.FolderLock(tmp_path)
    assert first.acquire() and not second.acquire()
    assert second.holder() == str(os.getpid())
    first.release()
    code = (
        "import sys, os, signal; from pathlib import Path; from common.core.files "
        "import FolderLock;"
        "lock = FolderLock(Path(sys.argv[1])); assert lock.acquire();"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = str(Path(files.__file__).parents[2])
    environment = dict(os.environ, PYTHONPATH=root)
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment)
    assert killed.returncode == -9 and second.acquire()
    second.release()


def test_digests_are_those_of_the_whole_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * (1 << 20))
    assert files.sha256_of(tmp_path / "a") == hashlib.sha256(b"abc" * (1 << 20)).hexdigest()
    assert files.digest_of(tmp_path / "a", "md5") == hashlib.md5(b"abc" * (1 << 20)).hexdigest()
