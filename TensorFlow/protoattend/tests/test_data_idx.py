"""Fashion-MNIST, MNIST and data of one's own in idx files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from proto_data_files import (
    IDX_NAMES,
    idx_bytes,
    labels_of,
    random_pixels,
    refusal,
    write_idx_folder,
)

from protoattend.data.datasets import open_dataset
from protoattend.data.idx import parse_idx
from protoattend.data.idx_folder import CATALOGUE, load_idx_folder

PIXELS = random_pixels(3, 5)


@pytest.mark.parametrize("packed", [True, False])
def test_images_and_labels_are_read_packed_or_not(tmp_path: Path, packed: bool) -> None:
    train, test = write_idx_folder(tmp_path / "data", packed=packed)
    source = load_idx_folder("mnist", str(tmp_path / "data"))
    np.testing.assert_array_equal(source.train.images[..., 0], train)
    np.testing.assert_array_equal(source.test.images[..., 0], test)
    np.testing.assert_array_equal(source.test.labels, labels_of(10))


@pytest.mark.parametrize(
    "name, below",
    [
        ("fashion_mnist", "fashion-mnist"),
        ("fashion_mnist", "FashionMNIST/raw"),
        ("mnist", "MNIST/raw"),
        ("mnist", "mnist"),
    ],
)
def test_the_folder_or_its_parent_may_be_named(tmp_path: Path, name: str, below: str) -> None:
    write_idx_folder(tmp_path / below)
    inside = load_idx_folder(name, str(tmp_path / below))
    from_parent = load_idx_folder(name, str(tmp_path))
    assert inside.train.sha256() == from_parent.train.sha256()


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "not an idx file"),
        (b"\x89PNG\r\n", "not an idx file"),
        (b"\0\0\x0d\x03" + bytes(12), "values of type 0x0d"),
        (idx_bytes(labels_of(3)), "images and labels may be exchanged"),
        (idx_bytes(PIXELS)[:9], "truncated within its header"),
        (idx_bytes(PIXELS)[:-1], "truncated: its header states 3 x 5 x 5 values, it has 74"),
        (idx_bytes(PIXELS) + b"x", "too long"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "its header states 4294967295 x"),
        (idx_bytes(PIXELS[:0]), "its header states 0 x 5 x 5"),
    ],
)
def test_a_file_that_is_no_whole_idx_file_is_one_line(content: bytes, reason: str) -> None:
    for stored in (content, gzip.compress(content)):
        assert reason in refusal(lambda stored=stored: parse_idx(stored, "a/file", 3))


@pytest.mark.parametrize(
    "change",
    [
        lambda packed: packed[:-9],
        lambda packed: packed[:60],
        lambda packed: packed[:-6] + b"\0\0" + packed[-4:],
    ],
)
def test_a_damaged_packed_file_is_one_line(change) -> None:
    packed = gzip.compress(idx_bytes(random_pixels(9, 20)))
    assert refusal(lambda: parse_idx(change(packed), "a/file", 3)).startswith(
        "a/file: truncated or damaged"
    )


def test_a_header_that_lies_reserves_no_memory_for_it() -> None:
    lying = b"\0\0\x08\x03" + bytes((0, 0, 0xFF, 0xFF, 0, 0, 0xFF, 0, 0, 0, 0, 1))
    assert "truncated" in refusal(lambda: parse_idx(gzip.compress(lying), "a/file", 3))


def test_other_counts_of_images_and_labels_are_one_line(tmp_path: Path) -> None:
    write_idx_folder(tmp_path / "data", packed=False)
    (tmp_path / "data" / IDX_NAMES[3]).write_bytes(idx_bytes(labels_of(9)))
    assert "10 test images with 9 labels" in refusal(
        lambda: load_idx_folder("mnist", str(tmp_path / "data"))
    )


def test_other_image_sizes_in_test_than_in_training_are_one_line(tmp_path: Path) -> None:
    write_idx_folder(tmp_path / "data", packed=False)
    (tmp_path / "data" / IDX_NAMES[2]).write_bytes(idx_bytes(random_pixels(10, 7)))
    assert "training images of 6 x 6 pixels, test images of 7 x 7" in refusal(
        lambda: load_idx_folder("mnist", str(tmp_path / "data"))
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write_idx_folder(tmp_path / "data", packed=False)
    (tmp_path / "data" / IDX_NAMES[1]).unlink()
    assert "no " + IDX_NAMES[1] in refusal(
        lambda: load_idx_folder("mnist", str(tmp_path) + "/data")
    )


def test_an_empty_folder_tells_how_to_fetch_the_files(tmp_path: Path) -> None:
    assert "zoo data prepare fashion_mnist" in refusal(
        lambda: load_idx_folder("fashion_mnist", str(tmp_path))
    )


@pytest.mark.parametrize("data_path", [None, "", "/nowhere/at/all"])
def test_no_folder_asks_for_the_data_path(data_path) -> None:
    assert "--data_path" in refusal(lambda: load_idx_folder("mnist", data_path))


def test_a_label_beyond_the_classes_is_one_line(tmp_path: Path) -> None:
    write_idx_folder(tmp_path / "data", packed=False)
    labels = labels_of(30)
    labels[17] = 12
    (tmp_path / "data" / IDX_NAMES[1]).write_bytes(idx_bytes(labels))
    assert "label 12 of image 17 is out of range: 10 classes" in refusal(
        lambda: open_dataset("mnist", str(tmp_path / "data"))
    )
    assert open_dataset("mnist", str(tmp_path / "data"), num_classes=13).class_names[12] == "12"


def test_files_of_ones_own_are_read_and_told(tmp_path: Path) -> None:
    write_idx_folder(tmp_path / "fashion-mnist")
    notices = open_dataset("fashion_mnist", str(tmp_path)).notices
    assert len(notices) == 1 and "differ(s) from the published fashion_mnist" in notices[0]
    assert all(name in notices[0] for name in IDX_NAMES)


def test_the_real_fashion_mnist_is_read_without_a_notice(zoo_data) -> None:
    dataset = open_dataset("fashion_mnist", str(zoo_data("fashion-mnist")))
    assert dataset.notices == () and dataset.image_shape == (28, 28, 1)
    assert dataset.counts == {"train": 55000, "validation": 5000, "test": 10000}
    assert np.bincount(dataset.test.labels).tolist() == [1000] * 10
    assert dataset.class_names[dataset.test.labels[0]] == "Ankle boot"
    assert dataset.manifest_sha256 == (
        "662cfddee190a72f117335ae08c89fe8ec25bb22479e7c4f5a0ce2e8cc2fb164"
    )


def copy_of_real(zoo_data, folder: Path) -> Path:
    folder.mkdir()
    for path in zoo_data("fashion-mnist").glob("*.gz"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_truncated_download_of_a_known_file_says_where_to_get_it(
    zoo_data, tmp_path: Path
) -> None:
    folder = copy_of_real(zoo_data, tmp_path / "fashion-mnist")
    damaged = folder / "train-labels-idx1-ubyte.gz"
    damaged.write_bytes(damaged.read_bytes()[:-1000])
    line = refusal(lambda: load_idx_folder("fashion_mnist", str(folder)))
    assert str(damaged) in line and "truncated or damaged" in line
    assert "not the published file" in line and "zoo data prepare fashion_mnist" in line


def test_the_published_files_of_another_dataset_are_refused(zoo_data) -> None:
    line = refusal(lambda: load_idx_folder("mnist", str(zoo_data("fashion-mnist"))))
    assert "this is fashion_mnist's file" in line and "not mnist's" in line


def test_the_catalogue_that_checksums_are_taken_from_is_this_networks_own() -> None:
    assert CATALOGUE.parent.name == "protoattend" and CATALOGUE.is_file()
