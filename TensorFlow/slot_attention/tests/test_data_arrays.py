"""Scenes prepared once: kept, made again when a source changes, never half there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Sequence

import numpy as np
import pytest

from common.core.errors import InfrastructureError, ZooError
from slot_attention.data.arrays import CACHE_NAME, MANIFEST, open_arrays, prepare
from slot_attention.data.datasets import find_scenes
from slot_attention.data.geometry import Geometry
from slot_attention.data.reading import ordered
from slot_attention.data.scenes import Scene, SceneDataset, SceneFacts, Scenes, SceneSource

FACTS = SceneFacts("scenes", (4, 6), 3, 2, 1, 1, True, "all scenes", "0" * 64)
COUNTS = {"train": 3, "test": 2}


class Drawn:
    """A source of a few scenes that tells which splits were read."""

    def __init__(self, folder: Path) -> None:
        (folder / "source").write_text("one")
        self.reads = []
        self.source = SceneSource(FACTS, COUNTS, [folder / "source"], folder, self._read)

    def _read(self, geometry: Geometry, workers: int, splits: Sequence[str]) -> Scenes:
        self.reads.append(list(splits))
        for split in splits:
            for number in range(COUNTS[split]):
                image = np.full((*geometry.resolution, 3), number, np.uint8)
                target = np.full((10, 19), number, np.float32)
                yield split, Scene(image, image[..., 0], target, number)

    def prepared(self, resolution: Any = None, **changes: Any) -> SceneDataset:
        """Prepares them, or finds them prepared."""
        return prepare(self.source, FACTS.geometry(resolution), **changes)


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    return Drawn(tmp_path)


def test_scenes_are_arrays_on_the_disk_in_numpys_own_format(drawn: Drawn, tmp_path: Path) -> None:
    dataset = drawn.prepared()
    split = dataset.split("train")
    assert isinstance(split.images, np.memmap) and split.images.shape == (3, 4, 6, 3)
    assert (split.images[:, 0, 0, 0].tolist(), split.objects.tolist()) == ([0, 1, 2], [0, 1, 2])
    assert split.labels.dtype == np.uint8 and split.targets.shape == (3, 10, 19)
    (folder,) = tmp_path.glob(f"{CACHE_NAME}/scenes-4x6-*")
    assert np.load(str(folder / "train" / "images.npy")).shape == (3, 4, 6, 3)
    assert (dataset.facts, dataset.counts) == (FACTS, COUNTS)


def test_a_split_alone_is_prepared_alone_unless_all_are_there(drawn: Drawn) -> None:
    for _ in range(2):
        assert drawn.prepared(splits=["test"]).counts == {"test": 2}
    assert drawn.prepared().counts == COUNTS
    assert drawn.prepared(splits=["test"]).counts == COUNTS
    assert drawn.reads == [["test"], ["train", "test"]]


def test_a_source_that_changed_is_prepared_again(drawn: Drawn, tmp_path: Path) -> None:
    drawn.prepared()
    os.utime(str(tmp_path / "source"), (1, 1))
    drawn.prepared()
    assert len(drawn.reads) == 2


def test_what_a_killed_preparation_left_is_made_anew(drawn: Drawn, tmp_path: Path) -> None:
    drawn.prepared()
    (folder,) = tmp_path.glob(f"{CACHE_NAME}/scenes-*")
    half = folder.with_name(".unfinished-" + folder.name)
    folder.rename(half)
    (half / MANIFEST).unlink()
    assert drawn.prepared().counts == COUNTS
    assert not half.exists()


def test_the_folder_is_the_chosen_one_one_beside_the_data_or_the_users_own(
    drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn.prepared(cache_path=str(tmp_path / "fast"))
    assert list((tmp_path / "fast").glob("scenes-*")) and not (tmp_path / CACHE_NAME).exists()
    with pytest.raises(ZooError, match="--cache_path"):
        drawn.prepared(cache_path=str(tmp_path / "source"))
    (tmp_path / CACHE_NAME).write_text("nothing can be made here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    drawn.prepared()
    assert list((tmp_path / "home").rglob("images.npy"))


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
    "damage",
    [
        lambda folder: (folder / MANIFEST).write_text("[]"),
        lambda folder: (folder / "train" / "images.npy").write_bytes(b"x" * 400),
        lambda folder: (folder / "train" / "labels.npy").unlink(),
        lambda folder: np.save(str(folder / "train" / "objects.npy"), np.zeros(2)),
    ],
)
def test_a_damaged_folder_is_one_line(damage: Any, drawn: Drawn, tmp_path: Path) -> None:
    drawn.prepared()
    (folder,) = tmp_path.glob(f"{CACHE_NAME}/scenes-*")
    damage(folder)
    with pytest.raises(ZooError, match="is damaged or of another version .* move it away") as told:
        open_arrays(folder)
    assert "\n" not in str(told.value)


def test_old_record_folders_and_another_sets_folder_are_named(drawn: Drawn, tmp_path: Path) -> None:
    described = {"schema_version": 1, "name": "synthetic_sprites", "splits": {}}
    (tmp_path / MANIFEST).write_text(json.dumps(described))
    with pytest.raises(ZooError, match="another version .* move it away and prepare"):
        find_scenes("synthetic_sprites", str(tmp_path))
    drawn.prepared()
    (folder,) = tmp_path.glob(f"{CACHE_NAME}/scenes-*")
    with pytest.raises(ZooError, match="holds scenes: give --dataset scenes"):
        find_scenes("synthetic_sprites", str(folder))


def negative(number: int) -> int:
    if number == 3:
        raise ZooError("three is bad")
    if number == 4:
        os._exit(9)
    return -number


def test_results_come_in_order_and_errors_and_deaths_of_workers_are_told() -> None:
    jobs = [5, 9, 7, 6, 8] * 30
    for workers in (1, 2):
        assert list(ordered(negative, iter(jobs), workers)) == [-job for job in jobs]
    with pytest.raises(ZooError, match="three is bad"):
        list(ordered(negative, [1, 2, 3, 5, 6, 7, 8, 9], 2))
    with pytest.raises(InfrastructureError, match="fewer --workers"):
        list(ordered(negative, [1, 4, 5], 2))
