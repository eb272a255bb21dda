"""Scenes prepared once: kept, made again when a source changes, never half there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator, Tuple

import numpy as np
import pytest

from common.core.errors import InfrastructureError, ZooError
from slot_attention.data import arrays
from slot_attention.data.arrays import (
    CACHE_NAME,
    MANIFEST,
    followed,
    open_arrays,
    ordered,
    prepare,
    write_splits,
)
from slot_attention.data.datasets import find_scenes
from slot_attention.data.geometry import Geometry
from slot_attention.data.scenes import Scene, SceneDataset, SceneFacts, SceneSource

FACTS = SceneFacts("scenes", (4, 6), 3, 2, 1, 1, True, "all scenes", "0" * 64)


class Drawn:
    """A source of a few scenes that counts how often it is read."""

    def __init__(self, folder: Path) -> None:
        (folder / "source").write_text("one")
        self.reads = 0
        self.source = SceneSource(FACTS, ["train"], [folder / "source"], folder, 3, self._read)

    def _read(self, geometry: Geometry, workers: int) -> Iterator[Tuple[str, Scene]]:
        self.reads += 1
        for number in range(3):
            image = np.full((*geometry.resolution, 3), number, np.uint8)
            target = np.full((10, 19), number, np.float32)
            yield "train", Scene(image, image[..., 0], target, number)

    def prepared(self, **changes: Any) -> SceneDataset:
        """Prepares them, or finds them prepared."""
        resolution = changes.pop("resolution", None)
        wanted = {"kept": True, "cache_path": None, "workers": 1, **changes}
        return prepare(self.source, FACTS.geometry(resolution), **wanted)


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    return Drawn(tmp_path)


def test_scenes_are_arrays_on_the_disk(drawn: Drawn, tmp_path: Path) -> None:
    dataset = drawn.prepared()
    split = dataset.split("train")
    assert isinstance(split.images, np.memmap) and split.images.shape == (3, 4, 6, 3)
    assert (split.images[:, 0, 0, 0].tolist(), split.objects.tolist()) == ([0, 1, 2], [0, 1, 2])
    assert split.labels.dtype == np.uint8 and split.targets.shape == (3, 10, 19)
    (folder,) = tmp_path.glob(f"{CACHE_NAME}/scenes-4x6-*")
    assert np.load(str(folder / "train" / "images.npy")).shape == (3, 4, 6, 3)
    assert (dataset.facts, dataset.counts) == (FACTS, {"train": 3})


def test_they_are_made_once_for_each_geometry(drawn: Drawn) -> None:
    for _ in range(2):
        assert drawn.prepared().geometry.resolution == (4, 6)
        assert drawn.prepared(resolution=(2, 2)).split("train").images.shape[1:] == (2, 2, 3)
    assert drawn.reads == 2


@pytest.mark.parametrize("change", ["content", "time"])
def test_a_source_that_changed_is_prepared_again(change: str, drawn: Drawn, tmp_path: Path) -> None:
    drawn.prepared()
    if change == "content":
        (tmp_path / "source").write_text("another")
    os.utime(str(tmp_path / "source"), (1, 1))
    drawn.prepared()
    assert drawn.reads == 2


def test_what_a_killed_preparation_left_is_made_anew(drawn: Drawn, tmp_path: Path) -> None:
    drawn.prepared()
    (folder,) = tmp_path.glob(f"{CACHE_NAME}/scenes-*")
    half = folder.with_name(".unfinished-" + folder.name)
    folder.rename(half)
    (half / MANIFEST).unlink()
    assert drawn.prepared().counts == {"train": 3}
    assert not half.exists()


def test_a_failed_preparation_leaves_nothing(drawn: Drawn, tmp_path: Path) -> None:
    def failing(geometry: Geometry, workers: int) -> Iterator[Tuple[str, Scene]]:
        yield "train", Scene(np.zeros((4, 6, 3), np.uint8))
        raise ZooError("the second is damaged")

    source = SceneSource(FACTS, ["train"], [], tmp_path, 3, failing)
    with pytest.raises(ZooError, match="the second is damaged"):
        prepare(source, FACTS.geometry(), True, None, 1)
    assert [path.name for path in (tmp_path / CACHE_NAME).iterdir()] == [".lock"]


def test_in_memory_nothing_is_kept(drawn: Drawn, tmp_path: Path) -> None:
    split = drawn.prepared(kept=False).split("train")
    assert not isinstance(split.images, np.memmap) and split.images[2].max() == 2
    assert not (tmp_path / CACHE_NAME).exists()


def test_the_folder_can_be_chosen_and_must_be_writable(drawn: Drawn, tmp_path: Path) -> None:
    drawn.prepared(cache_path=str(tmp_path / "fast"))
    assert list((tmp_path / "fast").glob("scenes-*")) and not (tmp_path / CACHE_NAME).exists()
    with pytest.raises(ZooError, match="--cache_path"):
        drawn.prepared(cache_path=str(tmp_path / "source"))


def test_beside_data_that_is_read_only_the_users_own_folder_is_taken(
    drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / CACHE_NAME).write_text("nothing can be made here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    drawn.prepared()
    assert list((tmp_path / "home").rglob("images.npy"))


def test_too_little_room_is_said_before(drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=10)
    monkeypatch.setattr(arrays.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ZooError, match="0.0 GB free: free some, or give another --cache_path"):
        drawn.prepared()
    assert drawn.reads == 0


def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from slot_attention.data import arrays\n"
        "with arrays.waited_for(Path(sys.argv[1])): print('in', flush=True); input()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    first = subprocess.Popen(command, universal_newlines=True, **pipes)
    assert first.stdout.readline() == "in\n"
    second = subprocess.Popen(command, universal_newlines=True, **pipes)
    assert second.stdout.readline().startswith(f"waiting for process {first.pid}")
    assert [first.communicate("\n")[0], second.communicate("\n")[0]] == ["", "in\n"]


@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda folder: (folder / MANIFEST).write_text("[]"), "can't be understood"),
        (lambda folder: (folder / MANIFEST).unlink(), "can't be understood"),
        (lambda folder: (folder / MANIFEST).write_text('{"schema_version": 1}'), "another version"),
        (lambda folder: (folder / "train" / "images.npy").write_bytes(b"x" * 400), "move it away"),
        (lambda folder: shutil.rmtree(str(folder / "train")), "move it away"),
    ],
)
def test_a_damaged_folder_is_one_line(damage: Any, said: str, drawn: Drawn, tmp_path: Path) -> None:
    drawn.prepared()
    (folder,) = tmp_path.glob(f"{CACHE_NAME}/scenes-*")
    damage(folder)
    with pytest.raises(ZooError, match=said):
        open_arrays(folder)


def test_the_files_are_numpys_own_format(tmp_path: Path) -> None:
    rows = [Scene(np.full((2, 3, 1), number % 256, np.uint8)) for number in range(1000)]
    assert write_splits(tmp_path, (("train", row) for row in rows)) == {"train": 1000}
    images = np.load(str(tmp_path / "train" / "images.npy"), mmap_mode="r")
    assert images.shape == (1000, 2, 3, 1) and images[999].max() == 999 % 256
    assert not (tmp_path / "train" / "labels.npy").exists()


def test_old_record_folders_are_named(tmp_path: Path) -> None:
    described = {"schema_version": 1, "name": "synthetic_sprites", "splits": {}}
    (tmp_path / MANIFEST).write_text(json.dumps(described))
    with pytest.raises(ZooError, match="another version .* move it away and prepare"):
        find_scenes("synthetic_sprites", str(tmp_path))


def negative(number: int) -> int:
    if number == 3:
        raise ZooError("three is bad")
    if number == 4:
        os._exit(9)
    return -number


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers: int) -> None:
    jobs = [5, 9, 7, 6, 8] * 30
    assert list(ordered(negative, iter(jobs), workers)) == [-job for job in jobs]


def test_errors_and_deaths_of_workers_are_told() -> None:
    with pytest.raises(ZooError, match="three is bad"):
        list(ordered(negative, [1, 2, 3, 5, 6, 7, 8, 9], 2))
    with pytest.raises(InfrastructureError, match="fewer --workers"):
        list(ordered(negative, [1, 4, 5], 2))


def test_a_long_preparation_tells_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    moments = iter([0.0, 5.0, 20.0, 21.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    assert list(followed("abc", "preparing x", 100)) == ["a", "b", "c"]
    assert capsys.readouterr().out == ("preparing x: 2 of 100 scenes (2 %), 0/s, 16:20 left\n")
