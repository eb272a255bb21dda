"""The multi_object_datasets files in their real formats, and what is said of damaged ones."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Dict

import data_files as files
import numpy as np
import pytest

from common.core.errors import UsageError, ZooError
from slot_attention.data.datasets import DATASET_NAMES, OpenOptions, open_dataset
from slot_attention.data.geometry import Geometry
from slot_attention.data.layouts import (
    CLEVR_WITH_MASKS,
    MULTI_DSPRITES,
    OBJECTS_ROOM,
    TETROMINOES,
    Layout,
)
from slot_attention.data.multi_objects import SceneReader
from slot_attention.data.scene_dataset import SceneDataset
from slot_attention.data.stores import open_store

LAYOUTS: Dict[str, Layout] = {
    "multi_dsprites_binarized": MULTI_DSPRITES["binarized"],
    "multi_dsprites_colored_on_grayscale": MULTI_DSPRITES["colored_on_grayscale"],
    "multi_dsprites_colored_on_colored": MULTI_DSPRITES["colored_on_colored"],
    "tetrominoes": TETROMINOES,
    "clevr_with_masks": CLEVR_WITH_MASKS,
    "objects_room_train": OBJECTS_ROOM["train"],
    "objects_room_six_objects": OBJECTS_ROOM["six_objects"],
}
FILES = {
    "clevr_with_masks": "clevr_with_masks/clevr_with_masks_train.tfrecords",
    "tetrominoes": "tetrominoes/tetrominoes_train.tfrecords",
    "objects_room_train": "objects_room/objects_room_train.tfrecords",
    "objects_room_six_objects": "objects_room/objects_room_test_six_objects.tfrecords",
}
SMALL = OpenOptions(train_records=4, held_out=2)


def write(folder: Path, name: str, count: int = 8) -> Path:
    path = folder / FILES.get(name, f"multi_dsprites/{name}.tfrecords")
    return files.write_gzip_records(path, files.scene_records(LAYOUTS[name], count))


def rows_of(dataset: SceneDataset, split: str, with_targets: bool = False):
    store = open_store(dataset, split, dataset.geometry(), "none", with_targets)
    return store.rows(np.arange(len(store)))


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_images_and_masks_come_out_as_they_went_in(name: str, tmp_path: Path) -> None:
    write(tmp_path, name)
    dataset = open_dataset(name, str(tmp_path), SMALL)
    rows = rows_of(dataset, "test")
    first = 4 if "train" in dataset.splits else 0
    box = dataset.geometry().box
    for place, number in enumerate((first, first + 1)):
        layout = LAYOUTS[name]
        cut = np.s_[box.top : box.top + box.height, box.left : box.left + box.width]
        labels = files.draw_labels(layout, files.object_count(layout, number))
        np.testing.assert_array_equal(rows.images[place], files.draw_image(layout, number)[cut])
        np.testing.assert_array_equal(rows.labels[place], labels[cut])


def test_splits_are_the_first_records_then_test_then_validation(tmp_path: Path) -> None:
    write(tmp_path, "tetrominoes", 9)
    dataset = open_dataset("tetrominoes", str(tmp_path), SMALL)
    numbers = {name: split.numbers.tolist() for name, split in dataset.splits.items()}
    assert numbers == {"train": [0, 1, 2, 3], "test": [4, 5], "validation": [6, 7]}
    assert dataset.predicate == (
        "all scenes; train: records 0 to 3; test: the first 2 from record "
        "4 on; validation: the 2 after those"
    )


def test_the_published_number_of_training_records_is_the_default(tmp_path: Path) -> None:
    write(tmp_path, "tetrominoes", 1)
    assert open_dataset("tetrominoes", str(tmp_path)).counts == {
        "train": 60000,
        "test": 320,
        "validation": 320,
    }


def test_the_filter_counts_visible_objects_without_the_background(tmp_path: Path) -> None:
    write(tmp_path, "multi_dsprites_colored_on_colored", 18)
    options = OpenOptions(max_objects=2, train_records=9, held_out=2)
    dataset = open_dataset("multi_dsprites_colored_on_colored", str(tmp_path), options)
    # Scene number n has 1 + n % 4 objects.
    assert dataset.split("train").numbers.tolist() == [0, 1, 4, 5, 8]
    assert dataset.split("test").numbers.tolist() == [9, 12]
    assert dataset.split("validation").numbers.tolist() == [13, 16]
    assert dataset.most_objects == 2
    assert dataset.predicate.startswith(
        "scenes whose number of objects (background not counted: entities after the background "
        "whose `visibility` is above 0) <= 2; train: records 0 to 8"
    )


def test_objects_without_visibility_are_counted_by_their_masks(tmp_path: Path) -> None:
    write(tmp_path, "objects_room_train", 10)
    options = OpenOptions(max_objects=1, train_records=4, held_out=1)
    dataset = open_dataset("objects_room_train", str(tmp_path), options)
    assert dataset.split("train").numbers.tolist() == [0, 3]
    assert dataset.background_entities == 4


def test_counts_are_kept_for_the_next_time(tmp_path: Path) -> None:
    path = write(tmp_path, "tetrominoes", 8)
    options = OpenOptions(max_objects=3, train_records=4, held_out=2)
    first = open_dataset("tetrominoes", str(tmp_path), options)
    kept = list((path.parent / ".slot_attention_cache").glob("objects-*.npy"))
    assert len(kept) == 1
    np.save(str(kept[0]), np.array([3, 9, 3, 3, 3, 3, 3, 3]))
    again = open_dataset("tetrominoes", str(tmp_path), options)
    assert first.counts["train"] == 4 and again.counts["train"] == 3


def test_a_filter_that_leaves_nothing_is_an_error(tmp_path: Path) -> None:
    records = [files.scene_record(TETROMINOES, number) for number in (2, 5, 2, 5, 0, 0)]
    files.write_gzip_records(tmp_path / "tetrominoes_train.tfrecords", records)
    options = OpenOptions(max_objects=1, train_records=4, held_out=1)
    with pytest.raises(ZooError, match="split train has no scene left"):
        open_dataset("tetrominoes", str(tmp_path), options)


def test_targets_follow_the_properties(tmp_path: Path) -> None:
    write(tmp_path, "clevr_with_masks", 4)
    options = OpenOptions(train_records=2, held_out=1)
    dataset = open_dataset("clevr_with_masks", str(tmp_path), options)
    targets = rows_of(dataset, "train", with_targets=True).targets
    assert targets[..., 18].sum(axis=1).tolist() == [1, 2]
    # The first object's bytes: size 2, material 1, shape 2, color 1.
    assert targets[0, 0, 3:].tolist() == [0, 1, 1, 0, 0, 1, 0] + [1] + [0] * 7 + [1]


def test_masks_are_resized_by_nearest_neighbour() -> None:
    geometry = Geometry((64, 64), "none", (32, 32))
    layout = MULTI_DSPRITES["colored_on_colored"]
    scene = SceneReader(layout, geometry, "here").scene(files.scene_record(layout, 2), 2)
    np.testing.assert_array_equal(scene.labels, files.draw_labels(layout, 3)[1::2, 1::2])


@pytest.mark.parametrize("place", ["the file's folder", "the folder above", "the file"])
def test_data_path_may_be(place: str, tmp_path: Path) -> None:
    path = write(tmp_path, "tetrominoes")
    paths = {"the file's folder": path.parent, "the folder above": tmp_path, "the file": path}
    assert open_dataset("tetrominoes", str(paths[place]), SMALL).counts["train"] == 4


def test_the_checksum_tells_files_apart(tmp_path: Path) -> None:
    sums = set()
    for count in (8, 9):
        write(tmp_path / str(count), "tetrominoes", count)
        sums.add(open_dataset("tetrominoes", str(tmp_path / str(count)), SMALL).manifest_sha256)
    assert len(sums) == 2


def test_every_name_of_the_register_opens_or_says_where_it_looked(tmp_path: Path) -> None:
    for name in DATASET_NAMES:
        with pytest.raises(ZooError, match="^no "):
            open_dataset(name, str(tmp_path))


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'clever' is unknown: use one of clevr,"):
        open_dataset("clever", str(tmp_path))


def refusal(folder: Path, content: bytes) -> str:
    """What is said of a tetrominoes file with this content; one line."""
    (folder / "tetrominoes_train.tfrecords").write_bytes(content)
    with pytest.raises(ZooError) as raised:
        dataset = open_dataset("tetrominoes", str(folder), SMALL)
        rows_of(dataset, "validation")
    assert "\n" not in str(raised.value)
    return str(raised.value)


def records_with(**features: bytes) -> bytes:
    """A file of scenes with some features in place of the right ones."""
    right = files.record_features(TETROMINOES, 0)
    right.update(features)
    kept = {name: value for name, value in right.items() if value}
    return gzip.compress(files.framed(files.example(kept)) * 8)


def test_a_file_that_is_not_gzip_is_named(tmp_path: Path) -> None:
    assert "is not a GZIP TFRecord file" in refusal(tmp_path, b"PK\x03\x04 is a zip archive")
    assert "it is empty" in refusal(tmp_path, b"")


def test_a_record_file_that_is_not_compressed_is_named(tmp_path: Path) -> None:
    plain = files.framed(files.scene_record(TETROMINOES, 0))
    assert "isn't GZIP compressed" in refusal(tmp_path, plain)


def test_a_gzip_file_without_records_is_named(tmp_path: Path) -> None:
    assert "does not hold TFRecords" in refusal(tmp_path, gzip.compress(b"some text" * 9))
    assert "holds no record" in refusal(tmp_path, gzip.compress(b""))


def test_a_truncated_record_is_named_with_its_number(tmp_path: Path) -> None:
    whole = b"".join(files.framed(record) for record in files.scene_records(TETROMINOES, 8))
    said = refusal(tmp_path, gzip.compress(whole[: len(whole) * 6 // 8 - 100], 1))
    assert "record 5 is damaged or cut off (the data ends early)" in said


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole", "tetrominoes").read_bytes()
    assert "is damaged or cut off (Compressed file ended" in refusal(tmp_path, whole[:-2000])


def test_a_damaged_stream_is_named(tmp_path: Path) -> None:
    whole = bytearray(write(tmp_path / "whole", "tetrominoes").read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 200] = bytes(200)
    assert "is damaged or cut off" in refusal(tmp_path, bytes(whole))


def test_a_file_with_fewer_scenes_than_stated_is_named(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole", "tetrominoes", 5).read_bytes()
    assert "ends before record 6" in refusal(tmp_path, whole)


def test_missing_features_are_named(tmp_path: Path) -> None:
    assert "lacks mask, visibility; it has color, image" in refusal(
        tmp_path, records_with(mask=b"", visibility=b"")
    )


def test_an_image_of_another_size_is_named(tmp_path: Path) -> None:
    image = files.single_bytes(np.zeros((64, 64, 3)))
    assert "image has 12288 values where 35x35x3 are expected" in refusal(
        tmp_path, records_with(image=image)
    )


def test_an_image_stored_as_one_string_is_named(tmp_path: Path) -> None:
    assert "not one byte each" in refusal(tmp_path, records_with(image=files.one_string(b"abc")))


def test_a_feature_of_another_type_is_named(tmp_path: Path) -> None:
    assert "a list of float instead of bytes" in refusal(
        tmp_path, records_with(image=files.floats(np.zeros(35 * 35 * 3)))
    )


def test_records_that_are_no_examples_are_named(tmp_path: Path) -> None:
    assert "is no tf.train.Example" in refusal(tmp_path, gzip.compress(files.framed(b"\xff" * 50)))


@pytest.mark.parametrize(
    "value, said",
    [(0, "1 pixels in no entity, 0 in several"), (255, "0 pixels in no entity, 1 in several")],
)
def test_masks_that_do_not_add_up_are_named(value: int, said: str, tmp_path: Path) -> None:
    labels = files.draw_labels(TETROMINOES, 1)
    masks = np.stack([labels == entity for entity in range(4)]).astype(np.uint8) * 255
    masks[0 if value == 0 else 3, 0, 0] = value
    assert said in refusal(tmp_path, records_with(mask=files.single_bytes(masks)))


@pytest.mark.parametrize(
    "options", [OpenOptions(max_objects=0), OpenOptions(train_records=0), OpenOptions(held_out=-1)]
)
def test_numbers_out_of_range_are_refused(options: OpenOptions, tmp_path: Path) -> None:
    write(tmp_path, "tetrominoes", 1)
    with pytest.raises(UsageError, match="at least 1 is needed"):
        open_dataset("tetrominoes", str(tmp_path), options)
