"""Datasets by name and how they are divided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from proto_data_files import numbered_images, refusal, write_idx_folder

from common.core.errors import UsageError, ZooError
from protoattend.data.candidates import candidate_database, missing_classes_warning
from protoattend.data.datasets import DATASET_NAMES, EMBEDDED, PrototypeDataset, open_dataset
from protoattend.data.labelled_images import LabelledImages


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


def test_the_names_are_those_of_the_flags() -> None:
    assert DATASET_NAMES == (
        "fashion_mnist",
        "mnist",
        "cifar10",
        "digits",
        "synthetic_shapes",
        "image_folder",
        "npz",
    )
    assert set(EMBEDDED) < set(DATASET_NAMES)


def test_an_unknown_name_lists_the_known_ones() -> None:
    assert ", ".join(DATASET_NAMES) in refusal(lambda: open_dataset("svhn"), UsageError)


def test_training_and_validation_images_make_up_the_training_set(numbered: str) -> None:
    dataset = open_dataset("npz", numbered, validation_count=20)
    assert dataset.counts == {"train": 40, "validation": 20, "test": 9}
    assert sorted(numbers(dataset.train) + numbers(dataset.validation)) == list(range(1, 61))


def test_the_test_set_is_used_whole_and_in_order(numbered: str) -> None:
    assert numbers(open_dataset("npz", numbered).test) == list(range(61, 70))


def test_a_tenth_of_a_small_training_set_validates(numbered: str) -> None:
    assert open_dataset("npz", numbered).counts["validation"] == 6


def test_the_split_is_by_a_permutation_that_never_changes(numbered: str) -> None:
    assert numbers(open_dataset("npz", numbered).validation) == [3, 12, 27, 29, 36, 60]


def test_labels_stay_with_their_images(numbered: str) -> None:
    dataset = open_dataset("npz", numbered, validation_count=20)
    for split in (dataset.train, dataset.validation, dataset.test):
        assert split.labels.tolist() == [(number - 1) % 3 for number in numbers(split)]


def test_the_reference_validates_on_the_test_images_and_trains_on_all(numbered: str) -> None:
    dataset = open_dataset("npz", numbered, validation_is_test=True)
    assert numbers(dataset.train) == list(range(1, 61))
    assert numbers(dataset.validation) == numbers(dataset.test)


@pytest.mark.parametrize("count", [0, 60, -1])
def test_a_validation_count_beyond_the_data_is_refused(numbered: str, count: int) -> None:
    assert "1 to 59 are possible" in refusal(
        lambda: open_dataset("npz", numbered, validation_count=count), UsageError
    )


def test_the_predicate_tells_how_each_split_was_made(numbered: str) -> None:
    assert open_dataset("npz", numbered, image_size=8).predicate == (
        "train: 54 of 60 of x_train, split seed 0; validation: the other 6; "
        "test: all 9 of x_test; as 8x8 pixels"
    )


def test_the_manifest_names_the_images_and_the_split(numbered: str) -> None:
    first, again = (open_dataset("npz", numbered).manifest_sha256 for _ in range(2))
    other = open_dataset("npz", numbered, validation_count=7).manifest_sha256
    assert first == again != other


def test_one_changed_label_changes_the_checksum_of_the_images() -> None:
    images = numbered_images(5)
    labels = images.labels.copy()
    labels[4] = 0
    assert images.sha256() != LabelledImages(images.images, labels).sha256()
    assert images.sha256() == numbered_images(5).sha256()


def test_images_are_resized_where_a_size_is_given(tmp_path: Path) -> None:
    write_idx_folder(tmp_path / "data")
    assert open_dataset("mnist", str(tmp_path / "data")).image_shape == (6, 6, 1)
    assert open_dataset("mnist", str(tmp_path / "data"), image_size=9).image_shape == (9, 9, 1)


def test_fewer_classes_than_the_labels_have_is_one_line(numbered: str) -> None:
    line = refusal(lambda: open_dataset("npz", numbered, num_classes=2))
    assert "label 2 of image 2 is out of range: 2 classes allow 0 to 1" in line


@pytest.mark.parametrize(
    "name, changes",
    [
        ("synthetic_shapes", {"num_classes": 1}),
        ("synthetic_shapes", {"image_size": 0}),
        ("synthetic_shapes", {"image_size": 5}),
    ],
)
def test_a_number_that_the_data_does_not_allow_is_a_usage_error(name: str, changes) -> None:
    refusal(lambda: open_dataset(name, **changes), UsageError)


def test_digits_are_real_and_the_same_on_every_stack() -> None:
    pytest.importorskip("sklearn", reason="digits come with scikit-learn")
    dataset = open_dataset("digits")
    assert dataset.counts == {"train": 1295, "validation": 143, "test": 359}
    assert dataset.image_shape == (28, 28, 1)
    assert dataset.manifest_sha256 == (
        "2eecc69f23bfafb45f35eb6871cab5604560188e46d090d372bdc4062815bbf2"
    )


def test_synthetic_shapes_are_the_same_on_every_stack() -> None:
    dataset = open_dataset("synthetic_shapes")
    assert dataset.image_shape == (28, 28, 1) and len(dataset.class_names) == 10
    assert dataset.manifest_sha256 == (
        "b1bc288981f2debfaedca063438c95f5735e593c07af08187f99f67121c4aff4"
    )


def test_every_synthetic_shape_is_as_frequent_as_the_others() -> None:
    dataset = open_dataset("synthetic_shapes", image_size=16)
    assert np.bincount(dataset.test.labels).tolist() == [100] * 10


def test_synthetic_shapes_can_be_told_apart_by_their_nearest_neighbour() -> None:
    dataset = open_dataset("synthetic_shapes", image_size=16)
    train, test = (
        split.images.reshape(len(split), -1).astype(np.float64)
        for split in (dataset.train, dataset.test.take(np.arange(200)))
    )
    distances = (train**2).sum(axis=1) - 2 * test @ train.T
    nearest = dataset.train.labels[distances.argmin(axis=1)]
    assert (nearest == dataset.test.labels[:200]).mean() > 0.6


def test_the_real_cifar10_is_read(zoo_data) -> None:
    dataset = open_dataset("cifar10", str(zoo_data("cifar-10-batches-py")))
    assert dataset.image_shape == (32, 32, 3) and dataset.class_names[3] == "cat"
    assert dataset.counts == {"train": 45000, "validation": 5000, "test": 10000}
    assert np.bincount(dataset.test.labels).tolist() == [1000] * 10


def test_cifar10_without_its_files_is_one_line(tmp_path: Path) -> None:
    assert "--data_path" in refusal(lambda: open_dataset("cifar10", str(tmp_path)))


@pytest.mark.parametrize(
    "images, labels, reason",
    [
        (np.zeros((2, 4, 4, 1), np.float32), np.zeros(2, np.int32), "images are float32"),
        (np.zeros((2, 4, 4, 2), np.uint8), np.zeros(2, np.int32), "C 1 or 3"),
        (np.zeros((2, 4, 4, 1), np.uint8), np.zeros(2, np.int64), "labels are int64"),
        (np.zeros((2, 4, 4, 1), np.uint8), np.zeros(3, np.int32), "2 images with 3 labels"),
    ],
)
def test_arrays_that_do_not_fit_together_are_one_line(images, labels, reason: str) -> None:
    assert reason in refusal(lambda: LabelledImages(images, labels))


# --- candidates ------------------------------------------------------------------------------


def test_a_candidate_database_is_a_seeded_choice_without_replacement() -> None:
    split = numbered_images(50)
    chosen = [numbers(candidate_database(split, 20, seed)) for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(set(chosen[0])) == 20


def test_the_references_candidates_are_the_first_images() -> None:
    assert numbers(candidate_database(numbered_images(50), 4, shuffle=False)) == [1, 2, 3, 4]


def test_fewer_candidates_than_asked_for_is_one_line() -> None:
    assert "51 candidates asked for, there are 50" in refusal(
        lambda: candidate_database(numbered_images(50), 51), UsageError
    )


def test_classes_missing_among_the_candidates_are_named() -> None:
    warning = missing_classes_warning(np.array([0, 2, 2], np.int32), ("cat", "dog", "frog", "ox"))
    assert warning is not None and warning.startswith(
        "2 of 4 classes are missing among the 3 candidates (dog, ox)"
    )


def test_no_warning_where_every_class_has_a_candidate() -> None:
    assert missing_classes_warning(np.array([1, 0, 1], np.int32), ("cat", "dog")) is None


def test_a_dataset_tells_its_shape_and_counts() -> None:
    split = numbered_images(5, size=4, channels=3)
    dataset = PrototypeDataset("npz", "", ("a", "b", "c"), split, split, split, "0")
    assert dataset.image_shape == (4, 4, 3)
    assert dataset.counts == {"train": 5, "validation": 5, "test": 5}


def test_missing_scikit_learn_names_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    assert "pip install scikit-learn" in refusal(lambda: open_dataset("digits"), ZooError)
