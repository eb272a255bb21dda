"""Readers of labelled images: CIFAR-10's batches, idx files, npz files; and their division."""

from __future__ import annotations

import gzip
import hashlib
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from common.core.errors import ZooError
from common.data.array_files import parse_idx, read_idx_folder, read_npz
from common.data.cifar10 import (
    FOLDER_NAME,
    PUBLISHED_MD5,
    find_folder,
    read_batches,
    read_cifar10,
)
from common.data.labelled_images import (
    LabelledImages,
    balanced_indices,
    split_off,
    stratified_indices,
)
from tests.cifar10_files import cifar10_pixels, python2_batch, write_cifar10

CATALOGUE = Path(__file__).resolve().parent.parent / "TensorFlow/protoattend/datasets.yaml"
GREY = np.random.RandomState(0).randint(1, 256, (6, 8, 8)).astype(np.uint8)
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)
IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def refusal(action) -> str:
    with pytest.raises(ZooError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


class RunsCode:
    """Unpickled by the standard library, this makes a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self):
        return os.mkdir, (str(self._path),)


# --- CIFAR-10


@pytest.fixture
def batches(tmp_path):
    """batches(name, content) reads a small CIFAR-10, one file's content replaced."""
    folder = tmp_path / FOLDER_NAME
    md5 = write_cifar10(folder)

    def read(name=None, content=b""):
        if name is None:
            return read_batches(folder, md5)
        (folder / name).write_bytes(content)
        return read_batches(folder, {**md5, name: hashlib.md5(content).hexdigest()})

    return read


def test_images_come_as_height_width_channels_with_labels_and_class_names(batches):
    read = batches()
    planes = cifar10_pixels(0, 4).reshape(4, 3, 32, 32)
    assert (read.train.images == planes.transpose(0, 2, 3, 1)).all()
    assert read.test.labels.tolist() == [0, 1, 0, 1] and read.classes == ("cat", "dog")


def _batch(labels=(0, 1), count=2):
    return python2_batch(cifar10_pixels(0, count), list(labels))


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_batch_that_runs_code_is_refused_and_nothing_runs(batches, tmp_path, protocol):
    hostile = pickle.dumps({"data": RunsCode(tmp_path / "trap")}, protocol=protocol)
    line = refusal(lambda: batches("data_batch_1", hostile))
    assert "data_batch_1: refused" in line and "mkdir" in line
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize(
    "content, told",
    [
        (b"", "data_batch_1"),
        (b"\x80\x02}(", "data_batch_1"),
        (b"not a pickle", "data_batch_1"),
        (b"\x80\x02N.", "holds no data with labels"),
        (_batch([0, 2]), "label 2 of image 1 is out of range"),
        (_batch([0, -1]), "label -1 of image 1 is out of range"),
        (_batch([0, 1, 0]), "don't fit together"),
    ],
)
def test_a_file_that_is_no_batch_is_one_line(batches, content, told):
    line = refusal(lambda: batches("data_batch_1", content))
    assert "data_batch_1" in line and told in line


def test_a_batch_that_is_altered_truncated_missing_or_a_folder_is_named(tmp_path):
    folder = tmp_path / FOLDER_NAME
    md5 = write_cifar10(folder)
    path, content = folder / "data_batch_1", (folder / "data_batch_1").read_bytes()
    for harmed in (content[:600] + b"?" + content[601:], content[:-100]):
        path.write_bytes(harmed)
        assert "data_batch_1: truncated or altered" in refusal(lambda: read_batches(folder, md5))
    path.unlink()
    assert "data_batch_1 missing" in refusal(lambda: read_batches(folder, md5))
    path.mkdir()
    assert "data_batch_1: can't be read" in refusal(lambda: read_batches(folder, md5))


@pytest.mark.parametrize(
    "make, told",
    [
        (lambda path: None, "data: no such folder"),
        (lambda path: path.mkdir(), "data: holds no CIFAR-10 python batches"),
        (lambda path: path.write_bytes(b""), "data: a file, not a folder"),
        (lambda path: (path / "cifar-10-batches-bin").mkdir(parents=True), "binary version"),
    ],
)
def test_a_wrong_path_says_what_to_give(tmp_path, make, told):
    make(tmp_path / "data")
    assert told in refusal(lambda: find_folder(str(tmp_path / "data")))
    assert "--data_path" in refusal(lambda: find_folder(None))


@pytest.mark.parametrize("archive", ["cifar-10-python.tar.gz", "cifar-10-batches-py.tar.xz"])
def test_an_archive_not_unpacked_is_told_with_the_command(tmp_path, archive):
    path = tmp_path / "my data" / archive
    path.parent.mkdir()
    path.write_bytes(b"")
    for named in (path, path.parent):
        line = refusal(lambda named=named: find_folder(str(named)))
        assert f"run 'tar xf '{path}' -C '{path.parent}''" in line


def test_the_published_files_give_ten_balanced_classes(zoo_data):
    read = read_cifar10(str(zoo_data(FOLDER_NAME)))
    assert read.train.images.shape == (50000, 32, 32, 3)
    assert np.bincount(read.train.labels).tolist() == [5000] * 10
    assert np.bincount(read.test.labels).tolist() == [1000] * 10
    assert read.classes[:3] == ("airplane", "automobile", "bird")
    assert read.manifest_sha256 == (
        "3971f136da7c6f975816a9661d04e11a6c59175105654264bb7710756e9579d7"
    )


# --- idx


def idx_bytes(values):
    head = struct.pack(">BBBB", 0, 0, 8, values.ndim)
    return head + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def labels_of(count):
    return (np.arange(count) % 10).astype(np.uint8)


def write_idx_folder(folder, packed=True):
    folder.mkdir(parents=True)
    arrays = GREY[:4], labels_of(4), GREY[4:], labels_of(2)
    for name, values in zip(IDX_NAMES, arrays):
        content = idx_bytes(values)
        path = folder / (name + ".gz" if packed else name)
        path.write_bytes(gzip.compress(content) if packed else content)
    return folder


def read_idx(folder, name="mnist"):
    return read_idx_folder(name, str(folder), CATALOGUE)


@pytest.mark.parametrize("packed", [True, False])
def test_idx_images_and_labels_are_read_packed_or_not(tmp_path, packed):
    source = read_idx(write_idx_folder(tmp_path / "data", packed))
    np.testing.assert_array_equal(source.train.images[..., 0], GREY[:4])
    np.testing.assert_array_equal(source.test.images[..., 0], GREY[4:])
    np.testing.assert_array_equal(source.test.labels, labels_of(2))


@pytest.mark.parametrize("below", ["fashion-mnist", "fashion_mnist", "FashionMNIST/raw", "raw"])
def test_the_idx_folder_or_its_parent_may_be_named(tmp_path, below):
    inside = read_idx(write_idx_folder(tmp_path / below), "fashion_mnist")
    assert inside.train.sha256() == read_idx(tmp_path, "fashion_mnist").train.sha256()


@pytest.mark.parametrize(
    "content, told",
    [
        (b"", "not an idx file"),
        (b"\x89PNG\r\n", "not an idx file"),
        (b"\0\0\x0d\x03" + bytes(12), "begins with 0x00000d03"),
        (idx_bytes(labels_of(3)), "images and labels may be exchanged"),
        (idx_bytes(GREY)[:9], "truncated or damaged"),
        (idx_bytes(GREY)[:-1], "its header states 6 x 8 x 8 values"),
        (idx_bytes(GREY) + b"x", "its header states 6 x 8 x 8 values"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "its header states 4294967295 x"),
        (idx_bytes(GREY[:0]), "its header states 0 x 8 x 8"),
        (gzip.compress(idx_bytes(GREY))[:-9], "truncated or damaged"),
        (gzip.compress(idx_bytes(GREY))[:-6] + bytes(6), "truncated or damaged"),
        # A header that lies reserves no memory for what it states.
        (b"\0\0\x08\x03\0\0\xff\xff\0\0\xff\0\0\0\0\1", "truncated"),
    ],
)
def test_a_file_that_is_no_whole_idx_file_is_one_line(content, told):
    for stored in (content, gzip.compress(content)):
        assert told in refusal(lambda stored=stored: parse_idx(stored, "a/file", 3))


def test_idx_files_that_do_not_belong_together_are_one_line(tmp_path):
    folder = write_idx_folder(tmp_path / "data", packed=False)
    (folder / IDX_NAMES[3]).write_bytes(idx_bytes(labels_of(9)))
    assert "test: 2 images with 9 labels" in refusal(lambda: read_idx(folder))
    (folder / IDX_NAMES[3]).write_bytes(idx_bytes(labels_of(2)))
    (folder / IDX_NAMES[2]).write_bytes(idx_bytes(GREY[:2, :7, :7]))
    assert "images are (8, 8, 1), test images (7, 7, 1)" in refusal(lambda: read_idx(folder))
    (folder / IDX_NAMES[1]).unlink()
    assert "no " + IDX_NAMES[1] in refusal(lambda: read_idx(folder))


def test_a_folder_without_idx_files_tells_how_to_fetch_them(tmp_path):
    assert "zoo data prepare mnist" in refusal(lambda: read_idx(tmp_path))
    for data_path in (None, "", "/nowhere/at/all"):
        line = refusal(lambda path=data_path: read_idx_folder("mnist", path, CATALOGUE))
        assert "--data_path" in line


def test_a_published_file_is_refused_as_another_dataset(zoo_data):
    folder = zoo_data("fashion-mnist")
    assert len(read_idx(folder, "fashion_mnist").train) == 60000
    assert "this is fashion_mnist's file, not mnist's" in refusal(lambda: read_idx(folder))


# --- npz


def save(path, **arrays):
    np.savez(str(path), **arrays)
    return str(path)


def test_npz_arrays_are_read_divided_or_whole_with_labels_in_a_column_too(tmp_path):
    whole = save(tmp_path / "a.npz", images=COLOUR, labels=np.arange(6).reshape(6, 1) % 3)
    for path in (whole, str(tmp_path)):
        source = read_npz(path)
        assert source.train.labels.tolist() == [0, 1, 2, 0, 1, 2] and source.test is None
        assert source.classes == ("0", "1", "2")
    names = ("x_train", "y_train", "x_test", "y_test")
    arrays = dict(zip(names, (GREY[:4], np.arange(4), GREY[4:], np.arange(2))))
    source = read_npz(save(tmp_path / "b.npz", **arrays))
    assert (len(source.train), len(source.test), len(source.classes)) == (4, 2, 4)
    assert "2 .npz files" in refusal(lambda: read_npz(str(tmp_path)))
    arrays["x_test"] = GREY[4:, :7]
    assert "test images (7, 8, 1)" in refusal(lambda: read_npz(save(tmp_path / "b.npz", **arrays)))


@pytest.mark.parametrize(
    "arrays, told",
    [
        ({"images": GREY}, "holds images: x_train"),
        ({"x_train": GREY, "y_train": np.arange(6), "x_test": GREY}, "y_test"),
        ({"images": GREY.astype(np.float32), "labels": np.arange(6)}, "images are float32"),
        ({"images": GREY, "labels": np.arange(5)}, "6 images with 5 labels"),
        ({"images": GREY, "labels": np.arange(6) - 1}, "labels from 0 to 65535"),
        ({"images": GREY, "labels": np.arange(6) + 2**40}, "labels from 0 to 65535"),
        ({"images": GREY, "labels": np.arange(6) / 2}, "labels are float64"),
        ({"images": GREY[:0], "labels": np.arange(0)}, "one at least"),
        ({"images": GREY[0], "labels": np.arange(8)}, "shape (8, 8)"),
        ({"images": COLOUR[..., :2], "labels": np.arange(6)}, "(N, H, W, 1 or 3)"),
    ],
)
def test_arrays_that_are_no_labelled_images_are_one_line(tmp_path, arrays, told):
    assert told in refusal(lambda: read_npz(save(tmp_path / "a.npz", **arrays)))


def test_a_file_that_is_no_whole_npz_is_one_line_and_never_unpickled(tmp_path):
    hostile = np.empty(1, object)
    hostile[0] = RunsCode(tmp_path / "trap")
    path = Path(save(tmp_path / "a.npz", images=GREY, labels=hostile))
    assert "not a readable .npz file" in refusal(lambda: read_npz(str(path)))
    assert not (tmp_path / "trap").exists()
    whole = Path(save(tmp_path / "a.npz", images=GREY, labels=np.arange(6))).read_bytes()
    for content in (b"", b"PK\x03\x04 not a zip", pickle.dumps([1, 2]), whole[:-40]):
        path.write_bytes(content)
        assert "not a readable .npz file" in refusal(lambda: read_npz(str(path)))
    np.save(str(tmp_path / "a.npy"), GREY)
    assert "one array" in refusal(lambda: read_npz(str(tmp_path / "a.npy")))


# --- labelled images and their division


@pytest.mark.parametrize("by_class", [True, False])
@pytest.mark.parametrize("count", [0, 1, 7, 100])
def test_a_part_is_split_off_without_repeats_in_order_and_the_same_each_time(by_class, count):
    images = np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1)
    whole = LabelledImages(images, np.arange(100) % 7)
    rest, part = split_off(whole, count, 3, by_class)
    numbers = [one.images.ravel().tolist() for one in (rest, part)]
    assert len(part) == count and sorted(numbers[0] + numbers[1]) == list(range(100))
    assert all(one == sorted(one) for one in numbers)
    assert (part.labels == part.images.ravel() % 7).all()
    assert split_off(whole, count, 3, by_class)[1].sha256() == part.sha256()


def test_shares_follow_uneven_classes_and_balanced_counts_take_what_small_ones_lack():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    assert np.bincount(labels[stratified_indices(labels, 10, 0)]).tolist() == [6, 3, 1]
    labels = np.repeat([0, 1, 2], [60, 30, 2])
    assert np.bincount(labels[balanced_indices(labels, 20, 0)]).tolist() == [9, 9, 2]


def test_the_published_md5_are_checked_and_the_folder_or_its_parent_may_be_named(tmp_path):
    write_cifar10(tmp_path / FOLDER_NAME)
    for number in range(2, 6):
        (tmp_path / FOLDER_NAME / f"data_batch_{number}").write_bytes(b"")
    for named in (tmp_path, tmp_path / FOLDER_NAME):
        assert PUBLISHED_MD5["batches.meta"] in refusal(
            lambda named=named: read_cifar10(str(named))
        )


@pytest.mark.parametrize(
    "images, labels, told",
    [
        (COLOUR.astype(np.float32), np.arange(6) % 2, "uint8"),
        (COLOUR[..., [0, 1, 2, 0, 1]], np.arange(6) % 2, "5 channels"),
        (COLOUR, np.arange(6) / 2, "labels are float64"),
        (COLOUR, np.arange(5) % 2, "6 images with 5 labels"),
        (COLOUR, np.arange(6), "label 2 of image 2 is out of range"),
    ],
)
def test_images_and_labels_that_do_not_fit_are_refused(images, labels, told):
    assert told in refusal(lambda: LabelledImages(images, labels, ("cat", "dog")))


def test_one_changed_label_changes_the_checksum():
    images = LabelledImages(COLOUR, np.arange(6))
    assert images.sha256() == LabelledImages(COLOUR, np.arange(6)).sha256()
    assert images.sha256() != LabelledImages(COLOUR, np.arange(6) % 5).sha256()
