"""Reading CIFAR-10's python batches."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from common.core.errors import ZooError
from common.data.cifar10 import FOLDER_NAME, PUBLISHED_MD5, find_folder
from residual_attention_net.data.cifar10 import Cifar10, load_cifar10, read_cifar10
from residual_attention_net.tests.data_helpers import (
    cifar10_pixels,
    python2_batch,
    write_cifar10,
)


class _RunsCode:
    """Unpickled by the standard library, this makes a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self):
        return os.mkdir, (str(self._path),)


def _read_with(folder: Path, md5: dict[str, str], name: str, content: bytes) -> Cifar10:
    """Reads after one file's content was replaced, its md5 being accepted."""
    (folder / name).write_bytes(content)
    return read_cifar10(folder, {**md5, name: hashlib.md5(content).hexdigest()})


def _one_line(caught) -> str:
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_images_come_as_height_width_channels(tmp_path):
    md5 = write_cifar10(tmp_path / FOLDER_NAME)
    read = read_cifar10(tmp_path / FOLDER_NAME, md5)
    planes = cifar10_pixels(0, 4).reshape(4, 3, 32, 32)
    for image in range(4):
        for channel in range(3):
            assert (read.train.images[image, :, :, channel] == planes[image, channel]).all()


def test_labels_and_class_names_come_with_the_images(tmp_path):
    md5 = write_cifar10(tmp_path / FOLDER_NAME)
    read = read_cifar10(tmp_path / FOLDER_NAME, md5)
    assert read.test.labels.tolist() == [0, 1, 0, 1]
    assert read.test.classes == ("cat", "dog")


def test_a_batch_pickled_by_this_python_is_read_as_well(tmp_path):
    md5 = write_cifar10(tmp_path / FOLDER_NAME)
    batch = {"data": cifar10_pixels(5, 2), "labels": [1, 0]}
    for protocol in range(2, pickle.HIGHEST_PROTOCOL):
        content = pickle.dumps(batch, protocol=protocol)
        read = _read_with(tmp_path / FOLDER_NAME, md5, "test_batch", content)
        planes = cifar10_pixels(5, 2).reshape(2, 3, 32, 32)
        assert (read.test.images == planes.transpose(0, 2, 3, 1)).all()


@pytest.mark.parametrize("inside", [True, False])
def test_the_folder_or_its_parent_may_be_named(tmp_path, inside):
    write_cifar10(tmp_path / FOLDER_NAME)
    named = tmp_path / FOLDER_NAME if inside else tmp_path
    assert find_folder(str(named)) == tmp_path / FOLDER_NAME


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_runs_code_is_refused_and_nothing_runs(tmp_path, protocol):
    md5 = write_cifar10(tmp_path / FOLDER_NAME)
    trap = tmp_path / "trap"
    hostile = pickle.dumps({"data": _RunsCode(trap)}, protocol=protocol)
    assert (b"\x93" in hostile) == (protocol == 4)  # STACK_GLOBAL
    with pytest.raises(ZooError, match="refused.*mkdir") as caught:
        _read_with(tmp_path / FOLDER_NAME, md5, "data_batch_1", hostile)
    assert "data_batch_1" in _one_line(caught)
    assert not trap.exists()


def test_an_altered_byte_is_found_by_its_md5(tmp_path):
    md5 = write_cifar10(tmp_path / FOLDER_NAME)
    path = tmp_path / FOLDER_NAME / "data_batch_1"
    content = bytearray(path.read_bytes())
    content[600] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ZooError, match="data_batch_1: truncated or altered") as caught:
        read_cifar10(tmp_path / FOLDER_NAME, md5)
    _one_line(caught)


def test_a_truncated_file_is_found_by_its_md5(tmp_path):
    md5 = write_cifar10(tmp_path / FOLDER_NAME)
    path = tmp_path / FOLDER_NAME / "test_batch"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ZooError, match="test_batch: truncated or altered"):
        read_cifar10(tmp_path / FOLDER_NAME, md5)


@pytest.mark.parametrize("content", [b"", b"\x80\x02}(", b"not a pickle", b"\x80\x02N."])
def test_a_file_that_is_no_batch_is_one_line(tmp_path, content):
    md5 = write_cifar10(tmp_path / FOLDER_NAME)
    with pytest.raises(ZooError, match="data_batch_1") as caught:
        _read_with(tmp_path / FOLDER_NAME, md5, "data_batch_1", content)
    _one_line(caught)


@pytest.mark.parametrize("labels", [[0, 2], [0, -1]])
def test_a_label_out_of_range_is_one_line(tmp_path, labels):
    md5 = write_cifar10(tmp_path / FOLDER_NAME)
    content = python2_batch(cifar10_pixels(0, 2), labels)
    with pytest.raises(ZooError, match="test_batch: label .* of image 1 is out of range"):
        _read_with(tmp_path / FOLDER_NAME, md5, "test_batch", content)


def test_more_labels_than_images_is_one_line(tmp_path):
    md5 = write_cifar10(tmp_path / FOLDER_NAME)
    content = python2_batch(cifar10_pixels(0, 2), [0, 1, 0])
    with pytest.raises(ZooError, match="don't fit together"):
        _read_with(tmp_path / FOLDER_NAME, md5, "test_batch", content)


def test_a_missing_batch_is_named(tmp_path):
    md5 = write_cifar10(tmp_path / FOLDER_NAME)
    (tmp_path / FOLDER_NAME / "data_batch_1").unlink()
    with pytest.raises(ZooError, match="data_batch_1 missing"):
        read_cifar10(tmp_path / FOLDER_NAME, md5)


def test_an_unreadable_batch_is_one_line(tmp_path):
    md5 = write_cifar10(tmp_path / FOLDER_NAME)
    (tmp_path / FOLDER_NAME / "data_batch_1").unlink()
    (tmp_path / FOLDER_NAME / "data_batch_1").mkdir()
    with pytest.raises(ZooError, match="data_batch_1: can't be read"):
        read_cifar10(tmp_path / FOLDER_NAME, md5)


def test_the_published_md5_are_checked(tmp_path):
    write_cifar10(tmp_path / FOLDER_NAME)
    for number in range(2, 6):
        (tmp_path / FOLDER_NAME / f"data_batch_{number}").write_bytes(b"")
    with pytest.raises(ZooError, match=PUBLISHED_MD5["batches.meta"]):
        load_cifar10(str(tmp_path))


@pytest.mark.parametrize(
    "make, expected",
    [
        (lambda path: None, "no such folder"),
        (lambda path: path.mkdir(), "is empty"),
        (lambda path: path.write_bytes(b""), "a file, not a folder"),
    ],
)
def test_a_wrong_path_says_what_to_give(tmp_path, make, expected):
    path = tmp_path / "data"
    make(path)
    with pytest.raises(ZooError, match=f"data: {expected}.*{FOLDER_NAME}") as caught:
        find_folder(str(path))
    _one_line(caught)


def test_no_path_at_all_names_the_flag():
    with pytest.raises(ZooError, match="--data_path"):
        find_folder(None)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(ZooError, match="holds no CIFAR-10 python batches"):
        find_folder(str(tmp_path))


def test_the_binary_version_is_recognised(tmp_path):
    (tmp_path / "data_batch_1.bin").write_bytes(b"")
    with pytest.raises(ZooError, match="binary version"):
        find_folder(str(tmp_path))


@pytest.mark.parametrize("named", ["the archive", "its folder"])
@pytest.mark.parametrize("archive", ["cifar-10-python.tar.gz", "cifar-10-batches-py.tar.xz"])
def test_an_archive_not_unpacked_is_told_with_the_command(tmp_path, archive, named):
    path = tmp_path / "my data" / archive
    path.parent.mkdir()
    path.write_bytes(b"")
    with pytest.raises(ZooError) as caught:
        find_folder(str(path if named == "the archive" else path.parent))
    assert f"run 'tar xf '{path}' -C '{path.parent}''" in _one_line(caught)


def test_the_manifest_changes_with_any_file(tmp_path):
    md5 = write_cifar10(tmp_path / FOLDER_NAME)
    before = read_cifar10(tmp_path / FOLDER_NAME, md5).manifest_sha256
    content = python2_batch(cifar10_pixels(9, 2), [0, 1])
    after = _read_with(tmp_path / FOLDER_NAME, md5, "test_batch", content).manifest_sha256
    assert before != after


def test_the_published_files_give_ten_balanced_classes(zoo_data):
    read = load_cifar10(str(zoo_data(FOLDER_NAME)))
    assert read.train.images.shape == (50000, 32, 32, 3)
    assert np.bincount(read.train.labels).tolist() == [5000] * 10
    assert np.bincount(read.test.labels).tolist() == [1000] * 10
    assert read.train.classes[:3] == ("airplane", "automobile", "bird")
    assert read.manifest_sha256 == (
        "3971f136da7c6f975816a9661d04e11a6c59175105654264bb7710756e9579d7"
    )
