"""The multi_object_datasets files in their real formats, and what is said of damaged ones."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any, Callable, List, Optional

import data_files as files
import numpy as np
import pytest

from common.core.errors import UsageError, ZooError
from slot_attention.data import datasets
from slot_attention.data.arrays import prepare
from slot_attention.data.datasets import DATASET_NAMES, find_scenes
from slot_attention.data.geometry import mask_places
from slot_attention.data.multi_objects import RECORD_FILES
from slot_attention.data.records import BrokenExampleError, read_features, read_records
from slot_attention.data.scenes import SceneDataset

pytestmark = pytest.mark.tensorflow
TETROMINOES = RECORD_FILES["tetrominoes"].layout


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Four records train, two are held out twice; returns what makes it others."""

    def divided(train: int, held_out: int) -> None:
        monkeypatch.setattr(datasets, "HELD_OUT", held_out)
        for name, published in RECORD_FILES.items():
            count = published.train_records and train
            monkeypatch.setitem(RECORD_FILES, name, published._replace(train_records=count))

    divided(4, 2)
    return divided


def write(folder: Path, name: str, count: int = 8) -> Path:
    published = RECORD_FILES[name]
    path = folder / published.folder / published.file
    return files.write_records(path, files.scene_records(published.layout, count))


def opened(
    name: str, folder: Path, max_objects: Optional[int] = None, **geometry: Any
) -> SceneDataset:
    source = find_scenes(name, str(folder), max_objects)
    return prepare(source, source.facts.geometry(**geometry), False, None, 2)


def numbers_of(name: str, images: np.ndarray) -> List[int]:
    """Which scenes these are, by their images at the source's size."""
    layout = RECORD_FILES[name].layout
    known = {files.draw_image(layout, number).tobytes(): number for number in range(20)}
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
    dataset = opened(name, tmp_path)
    box, layout = dataset.geometry.box, RECORD_FILES[name].layout
    cut = np.s_[box.top : box.top + box.height, box.left : box.left + box.width]
    first, split = 4 if "train" in dataset.splits else 0, dataset.split("test")
    for place, number in enumerate((first, first + 1)):
        np.testing.assert_array_equal(split.images[place], files.draw_image(layout, number)[cut])
        np.testing.assert_array_equal(split.labels[place], files.draw_labels(layout, number)[cut])
        assert split.objects[place] == files.object_count(layout, number)


def test_splits_are_the_first_records_then_test_then_validation(tmp_path: Path) -> None:
    write(tmp_path, "tetrominoes", 9)
    dataset = opened("tetrominoes", tmp_path)
    numbers = {name: numbers_of("tetrominoes", one.images) for name, one in dataset.splits.items()}
    assert numbers == {"train": [0, 1, 2, 3], "test": [4, 5], "validation": [6, 7]}
    assert dataset.facts.predicate == (
        "all scenes; train: records 0 to 3; test: the first 2 from record 4 on; validation: the 2 "
        "after those"
    )


def test_the_filter_counts_visible_objects_without_the_background(
    tmp_path: Path, small: Callable[..., None]
) -> None:
    small(9, 2)
    name = "multi_dsprites_colored_on_colored"
    write(tmp_path, name, 18)
    dataset = opened(name, tmp_path, 2)
    # Scene number n has 1 + n % 4 objects.
    assert numbers_of(name, dataset.split("train").images) == [0, 1, 4, 5, 8]
    assert numbers_of(name, dataset.split("test").images) == [9, 12]
    assert numbers_of(name, dataset.split("validation").images) == [13, 16]
    assert dataset.most_objects == 2
    assert dataset.facts.predicate.startswith(
        "scenes whose number of objects (background not counted: entities after the background "
        "whose `visibility` is above 0) <= 2; train: records 0 to 8"
    )


def test_objects_without_visibility_are_counted_by_their_masks(
    tmp_path: Path, small: Callable[..., None]
) -> None:
    small(4, 1)
    write(tmp_path, "objects_room_train", 10)
    dataset = opened("objects_room_train", tmp_path, 1)
    assert numbers_of("objects_room_train", dataset.split("train").images) == [0, 3]
    assert dataset.facts.background_entities == 4


def test_a_filter_that_leaves_nothing_is_an_error(tmp_path: Path) -> None:
    records = files.scene_records(TETROMINOES, 6)
    path = tmp_path / "tetrominoes_train.tfrecords"
    files.write_records(path, [records[number] for number in (2, 5, 2, 5, 0, 0, 0, 0)])
    with pytest.raises(ZooError, match="split train has no scene left .* allow more objects"):
        opened("tetrominoes", tmp_path, 1)


def test_targets_follow_the_properties(tmp_path: Path) -> None:
    write(tmp_path, "clevr_with_masks")
    targets = opened("clevr_with_masks", tmp_path).split("train").targets
    assert targets is not None and targets[..., 18].sum(axis=1).tolist() == [1, 2, 3, 4]
    # The first object's bytes: size 2, material 1, shape 2, color 1.
    assert targets[0, 0, 3:].tolist() == [0, 1, 1, 0, 0, 1, 0] + [1] + [0] * 7 + [1]


def test_masks_are_resized_by_nearest_neighbour(tmp_path: Path) -> None:
    write(tmp_path, "tetrominoes")
    dataset = opened("tetrominoes", tmp_path, resolution=(20, 12))
    labels = dataset.split("train").labels
    assert labels is not None
    expected = files.draw_labels(TETROMINOES, 2)[mask_places(dataset.geometry)]
    np.testing.assert_array_equal(labels[2], expected)


@pytest.mark.parametrize("place", ["", "tetrominoes", "tetrominoes/tetrominoes_train.tfrecords"])
def test_data_path_may_be_the_file_its_folder_or_the_one_above(place: str, tmp_path: Path) -> None:
    write(tmp_path, "tetrominoes")
    assert opened("tetrominoes", tmp_path / place).counts["train"] == 4


def test_the_checksum_tells_files_apart(tmp_path: Path) -> None:
    sums = set()
    for count in (8, 9):
        write(tmp_path / str(count), "tetrominoes", count)
        source = find_scenes("tetrominoes", str(tmp_path / str(count)))
        sums.add(source.facts.manifest_sha256)
    assert len(sums) == 2


@pytest.mark.parametrize("name", DATASET_NAMES)
def test_every_name_says_where_it_looked(name: str, tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="^no |has 0 images"):
        find_scenes(name, str(tmp_path))


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'clever' is unknown: use one of clevr,"):
        find_scenes("clever", str(tmp_path))


def test_the_published_division_is_that_of_the_published_evaluations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    trained = {name: published.train_records for name, published in RECORD_FILES.items()}
    assert datasets.HELD_OUT == 320 and trained.pop("clevr_with_masks") == 70000
    assert set(trained.values()) == {60000, 0}


def refusal(folder: Path, content: bytes) -> str:
    """What is said of a tetrominoes file with this content; one line."""
    (folder / "tetrominoes_train.tfrecords").write_bytes(content)
    with pytest.raises(ZooError) as raised:
        opened("tetrominoes", folder)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_what_is_no_gzip_record_file_is_named(tmp_path: Path) -> None:
    plain = files.write_records(tmp_path / "plain", files.scene_records(TETROMINOES, 1), False)
    for content in (b"PK\x03\x04 is a zip archive", plain.read_bytes()):
        assert "is no GZIP compressed TFRecord file" in refusal(tmp_path, content)
    assert "is no GZIP" in refusal(tmp_path, gzip.compress(b"\xff" * 99))
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
    assert re.search(r"download the file again|record \d+ feature", refusal(tmp_path, damaged))


def test_a_file_with_fewer_scenes_than_stated_is_named(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole", "tetrominoes", 5).read_bytes()
    assert "ends before record 5" in refusal(tmp_path, whole)


@pytest.mark.parametrize(
    "changes, said",
    [
        (
            {"mask": None, "visibility": None},
            "lacks mask, visibility; it has color, image, x,",
        ),
        ({"image": np.zeros((64, 64, 3), np.uint8)}, "has 12288 values where 35x35x3 are expected"),
        ({"image": b"abc"}, "not one byte each"),
        ({"image": np.zeros((35, 35, 3), np.float32)}, "a list of float instead of bytes"),
    ],
)
def test_a_feature_that_lacks_or_is_another_is_named(
    changes: Any, said: str, tmp_path: Path
) -> None:
    features = {**files.record_features(TETROMINOES, 0), **changes}
    kept = {name: value for name, value in features.items() if value is not None}
    path = files.write_records(tmp_path / "changed", [files.example(kept)] * 8)
    assert said in refusal(tmp_path, path.read_bytes())


@pytest.mark.parametrize("message", [b"\xff" * 50, bytes([10, 4, 10, 2, 18, 0]), b"\n\x05abc"])
def test_records_that_are_no_examples_are_named(message: bytes, tmp_path: Path) -> None:
    with pytest.raises(BrokenExampleError):  # the second one: a feature without a name
        read_features(memoryview(message))
    path = files.write_records(tmp_path / "broken", [message])
    assert "is no tf.train.Example" in refusal(tmp_path, path.read_bytes())


@pytest.mark.parametrize(
    "value, said",
    [(0, "1 pixels in no entity, 0 in several"), (255, "0 pixels in no entity, 1 in several")],
)
def test_masks_that_do_not_add_up_are_named(value: int, said: str, tmp_path: Path) -> None:
    features = files.record_features(TETROMINOES, 0)
    features["mask"][0 if value == 0 else 3, 0, 0] = value
    path = files.write_records(tmp_path / "changed", [files.example(features)] * 8)
    assert said in refusal(tmp_path, path.read_bytes())


def test_features_of_every_type_and_plain_files_are_read(tmp_path: Path) -> None:
    numbers, floats = np.array([0, 300, -5]), np.array([0.5, -2], np.float32)
    features = {"numbers": numbers, "floats": floats, "text": b"one", "none": np.zeros(0, np.int64)}
    path = files.write_records(tmp_path / "plain", [files.example(features)] * 2, False)
    for record in read_records(path, compressed=False):
        found = read_features(record)
        assert found["numbers"].integers().tolist() == [0, 300, -5]
        assert found["floats"].floats().tolist() == [0.5, -2]
        assert [bytes(text) for text in found["text"].strings()] == [b"one"]
        assert found["none"].integers().tolist() == []
