"""The multi_object_datasets files in their real formats, and what is said of damaged ones."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any, Callable, List, Optional

import data_files as files
import numpy as np
import pytest

from common.core.errors import ZooError
from slot_attention.data import multi_objects
from slot_attention.data.arrays import prepare
from slot_attention.data.datasets import find_scenes
from slot_attention.data.multi_objects import RECORD_FILES
from slot_attention.data.scenes import SceneDataset

pytestmark = pytest.mark.tensorflow
TETROMINOES = RECORD_FILES["tetrominoes"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Four records train, two are held out twice; returns what makes it others."""

    def divided(train: int, held_out: int) -> None:
        monkeypatch.setattr(multi_objects, "HELD_OUT", held_out)
        for name, published in RECORD_FILES.items():
            count = published.train_records and train
            monkeypatch.setitem(RECORD_FILES, name, published._replace(train_records=count))

    divided(4, 2)
    return divided


def write(folder: Path, name: str, count: int = 8) -> Path:
    records = files.scene_records(RECORD_FILES[name], count)
    return files.write_records(folder / RECORD_FILES[name].path, records)


def opened(
    name: str, folder: Path, max_objects: Optional[int] = None, splits: Any = None, **geometry: Any
) -> SceneDataset:
    source = find_scenes(name, str(folder), max_objects)
    return prepare(source, source.facts.geometry(**geometry), False, None, 2, splits)


def numbers_of(name: str, images: np.ndarray) -> List[int]:
    """Which scenes these are, by their images at the source's size."""
    known = {files.draw_image(RECORD_FILES[name], one).tobytes(): one for one in range(20)}
    return [known[np.ascontiguousarray(image).tobytes()] for image in images]


@pytest.mark.parametrize(
    "name",
    [
        "multi_dsprites_binarized",
        "multi_dsprites_colored_on_grayscale",
        "tetrominoes",
        "clevr_with_masks",
        "objects_room_train",
        "objects_room_six_objects",
    ],
)
def test_images_and_masks_come_out_as_they_went_in(name: str, tmp_path: Path) -> None:
    write(tmp_path, name)
    dataset, published = opened(name, tmp_path), RECORD_FILES[name]
    box = dataset.geometry.box
    cut = np.s_[box.top : box.top + box.height, box.left : box.left + box.width]
    first, split = 4 if "train" in dataset.splits else 0, dataset.split("test")
    for place, number in enumerate((first, first + 1)):
        np.testing.assert_array_equal(split.images[place], files.draw_image(published, number)[cut])
        labels = files.draw_labels(published, number)[cut]
        np.testing.assert_array_equal(split.labels[place], labels)
        assert split.objects[place] == files.object_count(published, number)


@pytest.mark.parametrize("splits", [None, ["test"]])
def test_splits_are_the_first_records_then_test_then_validation(
    splits: Any, tmp_path: Path
) -> None:
    write(tmp_path, "tetrominoes", 9)
    dataset = opened("tetrominoes", tmp_path, splits=splits)
    expected = {"train": [0, 1, 2, 3], "test": [4, 5], "validation": [6, 7]}
    for name in splits or expected:
        images = dataset.split(name).images
        assert numbers_of("tetrominoes", images) == expected[name]
    assert len(dataset.splits) == len(splits or expected)
    assert dataset.facts.predicate == (
        "all scenes; train: records 0 to 3; test: the first 2 from record 4 on; validation: the 2 "
        "after those"
    )


@pytest.mark.parametrize(
    "name, counted, expected",
    [
        (  # scene number n has 1 + n % 4 objects
            "multi_dsprites_colored_on_colored",
            "entities after the background whose `visibility` is above 0",
            {"train": [0, 1, 4, 5, 8], "test": [9, 12], "validation": [13, 16]},
        ),
        (  # 1 + n % 3 objects
            "objects_room_train",
            "masks after the 4 of the background that have a pixel",
            {"train": [0, 1, 3, 4, 6, 7], "test": [9, 10], "validation": [12, 13]},
        ),
    ],
)
def test_the_filter_counts_objects_without_the_background(
    name: str, counted: str, expected: Any, tmp_path: Path, small: Callable[..., None]
) -> None:
    small(9, 2)
    write(tmp_path, name, 18)
    dataset = opened(name, tmp_path, 2)
    found = {split: numbers_of(name, one.images) for split, one in dataset.splits.items()}
    assert found == expected and dataset.most_objects == 2
    assert f"(background not counted: {counted}) <= 2; train: records 0" in dataset.facts.predicate


def test_targets_follow_the_properties(tmp_path: Path) -> None:
    write(tmp_path, "clevr_with_masks")
    targets = opened("clevr_with_masks", tmp_path).split("train").targets
    assert targets is not None and targets[..., 18].sum(axis=1).tolist() == [1, 2, 3, 4]
    # The first object's bytes: size 2, material 1, shape 2, color 1.
    assert targets[0, 0, 3:].tolist() == [0, 1, 1, 0, 0, 1, 0] + [1] + [0] * 7 + [1]


def refusal(folder: Path, content: bytes) -> str:
    """What is said of a tetrominoes file with this content; one line."""
    (folder / "tetrominoes_train.tfrecords").write_bytes(content)
    with pytest.raises(ZooError) as raised:
        opened("tetrominoes", folder)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_what_is_no_gzip_record_file_is_named(tmp_path: Path) -> None:
    plain = files.write_records(tmp_path / "plain", files.scene_records(TETROMINOES, 1), False)
    for content in (
        b"PK\x03\x04 is a zip archive",
        plain.read_bytes(),
        gzip.compress(b"\xff" * 99),
    ):
        assert "is no GZIP compressed TFRecord file" in refusal(tmp_path, content)
    for empty in (b"", gzip.compress(b"")):
        assert "holds no record" in refusal(tmp_path, empty)


def test_a_file_that_is_cut_off_or_damaged_is_named_with_the_record(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole", "tetrominoes").read_bytes()
    assert "record 7 is damaged or cut off" in refusal(tmp_path, whole[:-2000])
    inside = gzip.decompress(whole)
    cut = gzip.compress(inside[: len(inside) * 6 // 8 - 100], 1)
    assert "record 5 is damaged or cut off (the file ends early)" in refusal(tmp_path, cut)
    middle = len(whole) // 2
    damaged = whole[:middle] + bytes(200) + whole[middle + 200 :]
    # What the damage unpacks to differs by zlib: no gzip, a damaged record, or one of other data.
    assert re.search(r"download the file again", refusal(tmp_path, damaged))
    few = write(tmp_path / "few", "tetrominoes", 5).read_bytes()
    assert "ends before record 5" in refusal(tmp_path, few)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"mask": None}, "no feature mask; there are color, image, visibility, x,"),
        ({"image": np.zeros((64, 64, 3), np.uint8)}, "has 12288 values where 35x35x3 are expected"),
        ({"image": b"abc"}, "feature image has values of another type"),
        ({"image": np.zeros((35, 35, 3), np.float32)}, "feature image has values of another type"),
    ],
)
def test_a_feature_that_lacks_or_is_another_is_named(
    changes: Any, said: str, tmp_path: Path
) -> None:
    features = {**files.record_features(TETROMINOES, 0), **changes}
    kept = {name: value for name, value in features.items() if value is not None}
    path = files.write_records(tmp_path / "changed", [files.example(kept)] * 8)
    assert said in refusal(tmp_path, path.read_bytes())


@pytest.mark.parametrize(  # the second one: a feature without a name
    "message", [b"\xff" * 50, bytes([10, 4, 10, 2, 18, 0]), b"\n\x05abc"]
)
def test_records_that_are_no_examples_are_named(message: bytes, tmp_path: Path) -> None:
    path = files.write_records(tmp_path / "broken", [message])
    assert "record 0: no tf.train.Example" in refusal(tmp_path, path.read_bytes())


@pytest.mark.parametrize(
    "value, said",
    [(0, "1 pixels in no entity, 0 in several"), (255, "0 pixels in no entity, 1 in several")],
)
def test_masks_that_do_not_add_up_are_named(value: int, said: str, tmp_path: Path) -> None:
    features = files.record_features(TETROMINOES, 0)
    features["mask"][0 if value == 0 else 3, 0, 0] = value
    path = files.write_records(tmp_path / "changed", [files.example(features)] * 8)
    assert said in refusal(tmp_path, path.read_bytes())
