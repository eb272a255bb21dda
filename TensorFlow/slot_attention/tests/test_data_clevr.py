"""CLEVR as tensorflow-datasets prepares it and as its authors publish it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable, Dict

import data_files as files
import numpy as np
import pytest

from common.core.errors import ZooError
from slot_attention.data.clevr import find_clevr, index_split
from slot_attention.data.datasets import OpenOptions, open_dataset
from slot_attention.data.targets import MATERIALS, TARGET_WIDTH

SIZE = (24, 36)
TRAIN = 515  # three more than are held out
WRITERS: Dict[str, Callable[..., Path]] = {
    "prepared": files.write_clevr_prepared,
    "original": lambda folder, *counts: (
        files.write_clevr_original(folder / "CLEVR_v1.0", *counts).parent
    ),
}
both_kinds = pytest.mark.parametrize("kind", sorted(WRITERS))


@both_kinds
def test_the_images_of_a_split_come_in_the_order_of_the_files(kind: str, tmp_path: Path) -> None:
    images = index_split(find_clevr(WRITERS[kind](tmp_path, 5, 3)), "train")
    read = images.read(np.array([4, 0]), SIZE)
    assert len(images) == 5
    assert read == [files.png(files.clevr_image(4)), files.png(files.clevr_image(0))]


@both_kinds
def test_targets_follow_the_scene_descriptions(kind: str, tmp_path: Path) -> None:
    images = index_split(find_clevr(WRITERS[kind](tmp_path, 5, 3)), "validation")
    assert images.targets.shape == (3, 10, TARGET_WIDTH)
    assert images.object_counts.tolist() == [1, 2, 3]
    # Scene 2: three objects of rubber at x -1.5, -0.5, 0.5.
    np.testing.assert_allclose(images.targets[2, :3, 0], [0.25, 2.5 / 6, 3.5 / 6], rtol=1e-6)
    assert images.targets[2, :3, 5 + MATERIALS.index("rubber")].all()
    assert images.targets[2, :, 18].tolist() == [1, 1, 1] + [0] * 7


@both_kinds
def test_the_first_512_of_train_are_held_out(kind: str, tmp_path: Path) -> None:
    dataset = open_dataset("clevr", str(WRITERS[kind](tmp_path, TRAIN, 2)))
    assert dataset.counts == {"train": 3, "train_eval": 512, "validation": 2}
    first = dataset.split("train").read(np.array([0]), SIZE)
    assert first == [files.png(files.clevr_image(512))]
    assert not dataset.has_masks and dataset.has_targets
    assert (dataset.image_size, dataset.most_objects) == (SIZE, 3)


def test_the_filter_counts_the_described_objects(tmp_path: Path) -> None:
    # Scenes 512, 513, 514 have 3, 1 and 2 objects.
    folder = files.write_clevr_prepared(tmp_path, TRAIN, 3)
    dataset = open_dataset("clevr", str(folder), OpenOptions(max_objects=2))
    assert dataset.counts["train"] == 2 and dataset.counts["validation"] == 2
    assert dataset.predicate.startswith(
        "scenes whose number of objects (background not counted: objects in the scene "
        "description) <= 2; train: all but the first 512 of train"
    )


def test_too_few_images_to_hold_out_512_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="split train has no scene left"):
        open_dataset("clevr", str(files.write_clevr_prepared(tmp_path, 5, 2)))


@pytest.mark.parametrize("inside", ["", "clevr", "clevr/3.1.0"])
def test_data_path_may_be_any_folder_on_the_way(inside: str, tmp_path: Path) -> None:
    files.write_clevr_prepared(tmp_path, 2, 1)
    assert find_clevr(tmp_path / inside).prepared


def test_the_index_is_kept_for_the_next_time(tmp_path: Path) -> None:
    folder = files.write_clevr_prepared(tmp_path, TRAIN, 2)
    first = open_dataset("clevr", str(folder))
    assert len(list(first.cache_path.glob("index-*.npz"))) == 2
    again = open_dataset("clevr", str(folder))
    np.testing.assert_array_equal(first.split("train").targets, again.split("train").targets)
    assert again.split("train").read(np.array([2]), SIZE) == [files.png(files.clevr_image(514))]


def test_a_missing_record_file_is_named(tmp_path: Path) -> None:
    folder = files.write_clevr_prepared(tmp_path, 6, 2)
    (folder / "clevr/3.1.0/clevr-train.tfrecord-00001-of-00002").unlink()
    with pytest.raises(ZooError, match="lacks file.s. 1 of split train"):
        index_split(find_clevr(folder), "train")


def test_a_cut_off_record_file_is_named(tmp_path: Path) -> None:
    folder = files.write_clevr_prepared(tmp_path, 6, 2)
    path = folder / "clevr/3.1.0/clevr-train.tfrecord-00001-of-00002"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ZooError, match="record 2 is damaged or cut off"):
        index_split(find_clevr(folder), "train")


def test_a_compressed_record_file_is_named(tmp_path: Path) -> None:
    folder = files.write_clevr_prepared(tmp_path, 6, 2)
    path = folder / "clevr/3.1.0/clevr-train.tfrecord-00000-of-00002"
    files.write_gzip_records(path, [files.clevr_record(0)])
    with pytest.raises(ZooError, match="does not hold TFRecords .GZIP compressed"):
        index_split(find_clevr(folder), "train")


def test_a_record_without_coordinates_is_named(tmp_path: Path) -> None:
    folder = files.write_clevr_prepared(tmp_path, 2, 2)
    features = files.clevr_features(0)
    del features["objects/3d_coords"]
    path = folder / "clevr/3.1.0/clevr-train.tfrecord-00000-of-00002"
    path.write_bytes(files.framed(files.example(features)))
    with pytest.raises(ZooError, match="record 0 is not of clevr 3.1.0 .lacks objects/3d_coords"):
        index_split(find_clevr(folder), "train")


def test_images_and_descriptions_that_disagree_are_named(tmp_path: Path) -> None:
    folder = files.write_clevr_original(tmp_path, 3, 1)
    (folder / "images/train/CLEVR_train_000001.png").unlink()
    with pytest.raises(ZooError, match="has 2 images, its scenes file describes 3"):
        index_split(find_clevr(folder), "train")


def test_a_damaged_scenes_file_is_named(tmp_path: Path) -> None:
    folder = files.write_clevr_original(tmp_path, 3, 1)
    (folder / "scenes/CLEVR_train_scenes.json").write_text(json.dumps({"scene": []}))
    with pytest.raises(ZooError, match="is no CLEVR scenes file"):
        index_split(find_clevr(folder), "train")


def test_an_unknown_colour_is_named(tmp_path: Path) -> None:
    folder = files.write_clevr_original(tmp_path, 1, 1)
    path = folder / "scenes/CLEVR_train_scenes.json"
    path.write_text(path.read_text().replace("gray", "pink"))
    with pytest.raises(ZooError, match="scene CLEVR_train_000000.png of train"):
        index_split(find_clevr(folder), "train")


def test_an_image_of_another_size_is_named(tmp_path: Path) -> None:
    folder = files.write_clevr_original(tmp_path, 2, 1)
    path = folder / "images/train/CLEVR_train_000001.png"
    path.write_bytes(files.png(files.clevr_image(1, (20, 30))))
    images = index_split(find_clevr(folder), "train")
    with pytest.raises(ZooError, match="CLEVR_train_000001.png is 20x30, the others are 24x36"):
        images.read(np.array([0, 1]), SIZE)


def test_a_file_that_is_no_png_is_named(tmp_path: Path) -> None:
    folder = files.write_clevr_original(tmp_path, 1, 1)
    (folder / "images/train/CLEVR_train_000000.png").write_bytes(b"GIF89a")
    with pytest.raises(ZooError, match="CLEVR_train_000000.png is not a PNG image"):
        index_split(find_clevr(folder), "train").read(np.array([0]), SIZE)


def test_real_scene_descriptions_can_be_read(
    zoo_data: Callable[[str], Path], tmp_path: Path
) -> None:
    samples = zoo_data("clevr_samples") / "clevr_generator"
    scenes = [json.loads(path.read_text()) for path in sorted((samples / "scenes").iterdir())]
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes" / "CLEVR_train_scenes.json").write_text(json.dumps({"scenes": scenes}))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "train").symlink_to(samples / "images")
    images = index_split(find_clevr(tmp_path), "train")
    assert images.object_counts.tolist() == [len(scene["objects"]) for scene in scenes]
    assert images.image_size(0) == (240, 320)
