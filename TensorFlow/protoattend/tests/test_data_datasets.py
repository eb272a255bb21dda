"""Datasets by name and how they are divided; images to decide on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from proto_data_files import (
    numbered_images,
    random_pixels,
    refusal,
    write_idx_folder,
    write_image,
)

from common.core.errors import ZooError
from common.data.labelled_images import LabelledImages
from protoattend.data.datasets import (
    open_dataset,
    read_user_images,
)


@pytest.fixture
def numbered(tmp_path: Path) -> str:
    """An npz of 60 training and 9 test images, each told by its pixels."""
    whole = numbered_images(69)
    path = tmp_path / "numbered.npz"
    np.savez(
        str(path),
        x_train=whole.images[:60],
        y_train=whole.labels[:60],
        x_test=whole.images[60:],
        y_test=whole.labels[60:],
    )
    return str(path)


def numbers(images: LabelledImages) -> list:
    return images.images[:, 0, 0, 0].tolist()


def test_splits_make_up_the_data_and_labels_stay_with_their_images(numbered: str) -> None:
    dataset = open_dataset("npz", numbered, validation_count=20)
    assert dataset.counts == {"train": 40, "validation": 20, "test": 9}
    assert sorted(numbers(dataset.train) + numbers(dataset.validation)) == list(range(1, 61))
    assert numbers(dataset.test) == list(range(61, 70))
    for split in (dataset.train, dataset.validation, dataset.test):
        assert split.labels.tolist() == [(number - 1) % 3 for number in numbers(split)]
        assert split.labels.dtype == np.int32


def test_a_tenth_validates_by_a_permutation_that_never_changes(numbered: str) -> None:
    dataset = open_dataset("npz", numbered, image_size=4)
    assert numbers(dataset.validation) == [3, 12, 27, 29, 36, 60]
    assert dataset.predicate == (
        "train: 54 of 60 of x_train, split seed 0; validation: the other 6; "
        "test: all 9 of x_test; as 4x4 pixels"
    )
    other = open_dataset("npz", numbered, validation_count=7)
    assert dataset.manifest_sha256 != other.manifest_sha256


def test_the_reference_validates_on_the_test_images_and_trains_on_all(numbered: str) -> None:
    dataset = open_dataset("npz", numbered, validation_is_test=True)
    assert numbers(dataset.train) == list(range(1, 61))
    assert numbers(dataset.validation) == numbers(dataset.test)


def test_images_are_resized_and_classes_numbered_where_it_is_asked_for(tmp_path: Path) -> None:
    folder = str(write_idx_folder(tmp_path / "data"))
    assert open_dataset("mnist", folder).image_shape == (6, 6, 1)
    wanted = open_dataset("mnist", folder, image_size=9, num_classes=13)
    assert wanted.image_shape == (9, 9, 1) and wanted.class_names[12] == "12"
    line = refusal(lambda: open_dataset("mnist", folder, num_classes=2))
    assert "mnist: label 2 of image 2 is out of range: 2 classes allow 0 to 1" in line


def test_damaged_data_beside_a_folder_dataset_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write_idx_folder(folder)
    write_idx_folder(folder / "dataset")
    damaged = next(folder.glob("train-images*"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    notice = open_dataset("mnist", str(folder)).notices[0]
    assert damaged.name in notice and f"{folder / 'dataset'} is read in its place" in notice


def test_digits_are_what_earlier_records_say() -> None:
    pytest.importorskip("sklearn", reason="digits come with scikit-learn")
    dataset = open_dataset("digits")
    assert dataset.counts == {"train": 1295, "validation": 143, "test": 359}
    assert dataset.image_shape == (28, 28, 1)
    assert dataset.manifest_sha256 == (
        "2eecc69f23bfafb45f35eb6871cab5604560188e46d090d372bdc4062815bbf2"
    )
    assert dataset.predicate == (
        "train: 1,295 of 1,438 of scikit-learn's digits less the test images, split seed 0; "
        "validation: the other 143; test: 359 of 1,797 of scikit-learn's digits, split seed 0"
    )


def test_synthetic_shapes_are_the_same_on_every_stack_and_named_by_their_rows() -> None:
    dataset = open_dataset("synthetic_shapes")
    assert dataset.image_shape == (28, 28, 1) and len(dataset.class_names) == 10
    assert dataset.manifest_sha256 == (
        "b1bc288981f2debfaedca063438c95f5735e593c07af08187f99f67121c4aff4"
    )
    names = dataset.train.names
    assert len(set(names)) == len(names) and str(names[0]).startswith("train row ")


def test_the_real_cifar10_and_fashion_mnist_are_what_earlier_records_say(zoo_data) -> None:
    dataset = open_dataset("fashion_mnist", str(zoo_data("fashion-mnist")))
    assert dataset.counts == {"train": 55000, "validation": 5000, "test": 10000}
    assert dataset.class_names[dataset.test.labels[0]] == "Ankle boot" and dataset.notices == ()
    assert dataset.manifest_sha256 == (
        "662cfddee190a72f117335ae08c89fe8ec25bb22479e7c4f5a0ce2e8cc2fb164"
    )
    assert dataset.predicate == (
        "train: 55,000 of 60,000 of the train files, split seed 0; validation: the other 5,000; "
        "test: all 10,000 of the t10k files"
    )
    dataset = open_dataset("cifar10", str(zoo_data("cifar-10-batches-py")))
    assert dataset.image_shape == (32, 32, 3) and dataset.class_names[3] == "cat"
    assert dataset.counts == {"train": 45000, "validation": 5000, "test": 10000}


# --- images to decide on ---------------------------------------------------------------------


def test_files_and_folders_are_read_in_the_networks_shape_and_the_rest_told(
    tmp_path: Path, capsys
) -> None:
    pixels = random_pixels(2, 8)
    write_image(tmp_path / "one.png", pixels[0])
    write_image(tmp_path / "folder" / "deep" / "two.png", pixels[1])
    (tmp_path / "folder" / "b.gif").write_bytes(b"?")
    paths = [str(tmp_path / "one.png"), str(tmp_path / "folder")]
    names, images = read_user_images(paths, (8, 8, 1))
    assert names == (paths[0], str(tmp_path / "folder" / "deep" / "two.png"))
    np.testing.assert_array_equal(images[..., 0], pixels)
    assert "left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    "make, told",
    [
        (lambda path: path.write_bytes(b"not an image"), "not a readable PNG"),
        (lambda path: None, "can't be read"),
        (lambda path: path.mkdir(), "no PNG, JPEG, BMP or WebP files"),
    ],
)
def test_a_file_that_is_no_image_is_named(tmp_path: Path, make, told: str) -> None:
    make(tmp_path / "mine.png")
    line = refusal(lambda: read_user_images([str(tmp_path / "mine.png")], (8, 8, 1)), ZooError)
    assert "mine.png" in line and told in line
