"""The synthetic datasets, as they are written, read again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from common.core.errors import ZooError
from common.core.terminal import Terminal
from slot_attention.data.datasets import OpenOptions, open_dataset
from slot_attention.data.scene_dataset import SceneDataset
from slot_attention.data.stores import Rows, open_store
from slot_attention.data.targets import COLORS, SHAPES
from slot_attention.synthetic.scene_layout import SceneSettings
from slot_attention.synthetic.scenes import draw_scene
from slot_attention.synthetic.sprites import SpriteSettings, draw_sprite_scene
from slot_attention.synthetic.writer import Request, write_records

SPRITES = SpriteSettings(image_size=(24, 32), objects=(1, 3))
SCENES = SceneSettings(image_size=(48, 64), objects=(1, 2), smallest=1)
COUNTS = {"train": 6, "validation": 2, "test": 2}


def write(folder: Path, name: str) -> Path:
    settings = SPRITES if name == "synthetic_sprites" else SCENES
    write_records(folder, Request(name, settings, COUNTS, seed=3, workers=1), Terminal())
    return folder / name


def rows_of(dataset: SceneDataset, split: str, with_targets: bool = False) -> Rows:
    store = open_store(dataset, split, dataset.geometry(), "none", with_targets)
    return store.rows(np.arange(len(store)))


@pytest.fixture(scope="module")
def sprites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data"), "synthetic_sprites")


def test_sprites_come_out_as_they_were_drawn(sprites: Path) -> None:
    dataset = open_dataset("synthetic_sprites", str(sprites))
    rows = rows_of(dataset, "test")
    assert dataset.counts == COUNTS and dataset.entities == 4
    for place in range(2):
        drawn = draw_sprite_scene(3, "test", place, SPRITES)
        np.testing.assert_array_equal(rows.images[place], drawn.image)
        np.testing.assert_array_equal(rows.labels[place], drawn.masks.argmax(axis=0))


def test_the_filter_of_sprites_counts_objects(sprites: Path) -> None:
    dataset = open_dataset("synthetic_sprites", str(sprites), OpenOptions(max_objects=2))
    passing = [
        number
        for number in range(6)
        if draw_sprite_scene(3, "train", number, SPRITES).visibility[1:].sum() <= 2
    ]
    assert dataset.split("train").numbers.tolist() == passing and len(passing) < 6


def test_scenes_come_out_with_targets(tmp_path: Path) -> None:
    dataset = open_dataset("synthetic_scenes", str(write(tmp_path, "synthetic_scenes").parent))
    rows = rows_of(dataset, "train", with_targets=True)
    for place in range(6):
        drawn = draw_scene(3, "train", place, SCENES)
        np.testing.assert_array_equal(rows.images[place], drawn.image)
        np.testing.assert_array_equal(rows.labels[place], drawn.masks.argmax(axis=0))
        target = rows.targets[place]
        assert target[:, 18].sum() == len(drawn.objects)
        for row, thing in zip(target, drawn.objects):
            np.testing.assert_allclose(row[:3] * 6 - 3, [thing.x, thing.y, thing.z], atol=1e-5)
            assert SHAPES[row[7:10].argmax()] == thing.shape
            assert COLORS[row[10:18].argmax()] == thing.color


def test_an_unknown_format_is_named(sprites: Path, tmp_path: Path) -> None:
    described = json.loads((sprites / "dataset.json").read_text())
    described["format"] = "pictures"
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    with pytest.raises(ZooError, match="format 'pictures' is unknown"):
        open_dataset("synthetic_sprites", str(tmp_path))


@pytest.mark.parametrize("content", ["{}", "[]", "no JSON", '{"image_size": 3}'])
def test_a_description_that_makes_no_sense_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(ZooError, match="dataset.json can't be understood"):
        open_dataset("synthetic_sprites", str(tmp_path))


def test_a_missing_file_is_named(sprites: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text((sprites / "dataset.json").read_text())
    with pytest.raises(ZooError, match="tfrecords can't be read: No such file"):
        open_dataset("synthetic_sprites", str(tmp_path))


def test_a_split_without_scenes_is_left_out(tmp_path: Path) -> None:
    counts = {"train": 2, "validation": 0, "test": 0}
    write_records(
        tmp_path, Request("synthetic_sprites", SPRITES, counts, seed=3, workers=1), Terminal()
    )
    assert open_dataset("synthetic_sprites", str(tmp_path)).counts == {"train": 2}
