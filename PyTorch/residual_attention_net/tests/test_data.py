"""The datasets by name, and how they are divided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.core.errors import UsageError, ZooError
from common.data.labelled_images import LabelledImages
from residual_attention_net.data.datasets import DATASET_NAMES, SourceOptions, load_dataset

SMALL = SourceOptions(image_size=8, class_count=3, train_count=60, test_count=12)


def same(first: LabelledImages, second: LabelledImages) -> bool:
    return first.sha256() == second.sha256()


def rows(images: LabelledImages) -> set:
    return {image.tobytes() for image in images.images}


def write_folder(root: Path, per_class: int = 10) -> str:
    image = pytest.importorskip("PIL.Image", reason="image folders need Pillow")
    for label, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for number in range(per_class):
            colour = (200 * label, number, 50)
            image.new("RGB", (12, 9), colour).save(str(root / name / f"{number}.png"))
    return str(root)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError, match=", ".join(DATASET_NAMES)):
        load_dataset("cifar11")


def test_validation_images_are_a_tenth_or_as_many_as_asked_and_never_trained_on():
    assert load_dataset("synthetic", options=SMALL).counts["validation"] == 6
    splits = load_dataset("synthetic", options=SMALL, validation_count=15)
    assert splits.counts == {"train": 45, "validation": 15, "test": 12}
    assert not rows(splits.train) & rows(splits.validation)
    assert not rows(splits.train) & rows(splits.test)
    assert np.bincount(splits.validation.labels).tolist() == [5, 5, 5]


def test_the_same_seed_divides_alike_and_another_does_not():
    first, again, other = (load_dataset("synthetic", options=SMALL, seed=n) for n in (1, 1, 2))
    assert same(first.validation, again.validation)
    assert not same(first.validation, other.validation)


def test_a_limit_takes_equally_many_of_each_class_and_leaves_validation_as_it_is():
    splits = load_dataset("synthetic", options=SMALL, limit_train=9, limit_test=6)
    assert np.bincount(splits.train.labels).tolist() == [3, 3, 3]
    assert np.bincount(splits.test.labels).tolist() == [2, 2, 2]
    assert "limited to 9" in splits.predicate and "limited to 6" in splits.predicate
    assert same(splits.validation, load_dataset("synthetic", options=SMALL).validation)


@pytest.mark.parametrize(
    "asked, flag",
    [
        ({"validation_count": 60}, "--validation_count"),
        ({"validation_count": -1}, "--validation_count"),
        ({"limit_train": 55}, "--limit_train"),
        ({"limit_train": 0}, "--limit_train"),
        ({"limit_test": 13}, "--limit_test"),
        ({"seed": -1}, "seed"),
        ({"options": SourceOptions(class_count=1)}, "at least 2 classes"),
        ({"options": SourceOptions(train_count=0)}, "at least"),
        ({"options": SourceOptions(test_count=0)}, "at least"),
        ({"options": SourceOptions(image_size=0)}, "at least"),
    ],
)
def test_a_number_that_the_data_does_not_allow_names_its_flag(asked, flag):
    with pytest.raises(UsageError, match=flag) as caught:
        load_dataset("synthetic", **{"options": SMALL, **asked})
    assert "\n" not in str(caught.value)


def test_synthetic_classes_can_be_told_apart_by_their_mean_image():
    splits = load_dataset("synthetic", options=SMALL)
    means = np.stack(
        [splits.train.images[splits.train.labels == label].mean(axis=0) for label in range(3)]
    )
    distances = ((splits.test.images[:, None] - means[None]) ** 2).sum(axis=(2, 3, 4))
    assert (distances.argmin(axis=1) == splits.test.labels).all()
    volumes = load_dataset("synthetic_volumes", options=SMALL).train
    assert volumes.images.shape == (54, 8, 8, 8, 3) and volumes.spatial_shape == (8, 8, 8)


# What earlier records and baselines have: neither text nor checksum may change.
PREDICATE = (
    "train: {}, less the validation images; validation: {} of them, stratified by class, seed 0; "
    "test: {}"
)


def test_synthetic_data_is_what_earlier_records_say():
    splits = load_dataset("synthetic")
    assert splits.manifest_sha256 == (
        "b803779a7d93905d8dfbc7b35feb82a4300119bf169c2298e126774c60f4ea77"
    )
    assert splits.predicate == PREDICATE.format(
        "1000 generated training images of 32x32", 100, "200 generated test images of 32x32"
    )


def test_digits_are_what_earlier_records_say_and_their_test_set_the_same_for_every_seed():
    pytest.importorskip("sklearn", reason="digits come with scikit-learn")
    splits = load_dataset("digits")
    assert splits.counts == {"train": 1295, "validation": 143, "test": 359}
    assert splits.train.images.shape[1:] == (32, 32, 3)
    assert splits.manifest_sha256 == (
        "aa2f01f690eb731ed4808af859c6a74a760b80ac9999cd4a90ab7d74e403bdcd"
    )
    assert splits.predicate == PREDICATE.format(
        "scikit-learn's digits without the test images",
        143,
        "359 of the 1797, stratified by class, the same for every seed",
    )
    assert same(splits.test, load_dataset("digits", seed=2).test)


def test_cifar10_is_what_earlier_records_say(zoo_data):
    splits = load_dataset("cifar10", str(zoo_data("cifar-10-batches-py")))
    assert splits.manifest_sha256 == (
        "3971f136da7c6f975816a9661d04e11a6c59175105654264bb7710756e9579d7"
    )
    assert splits.predicate == PREDICATE.format(
        "data_batch_1 to data_batch_5", 5000, "the whole test_batch"
    )


@pytest.mark.parametrize("name", ["image_folder", "images"])
def test_a_folder_of_class_folders_is_divided_under_both_names(tmp_path, name):
    splits = load_dataset(name, write_folder(tmp_path), options=SMALL)
    assert splits.name == "image_folder" and splits.class_names == ("cat", "dog")
    assert splits.counts == {"train": 15, "validation": 1, "test": 4}
    assert splits.train.images.shape == (15, 8, 8, 3)
    assert (splits.train.images[:, 0, 0, 0] == 200 * splits.train.labels).all()
    assert splits.predicate == PREDICATE.format(
        "all class folders at 8x8 without the test images",
        1,
        "4 of the 20, stratified by class, the same for every seed",
    )


def test_folders_train_and_test_are_taken_as_such_and_notices_passed_on(tmp_path):
    for part, count in (("train", 10), ("test", 3), ("extra", 1)):
        write_folder(tmp_path / part, count)
    splits = load_dataset("image_folder", str(tmp_path), options=SMALL, validation_count=0)
    assert splits.counts == {"train": 20, "validation": 0, "test": 6}
    assert "the whole folder test at 8x8" in splits.predicate
    assert "extra is not looked at" in splits.notices[0]


def test_a_bad_image_folder_is_one_line(tmp_path):
    with pytest.raises(ZooError, match="no such folder"):
        load_dataset("image_folder", str(tmp_path / "none"), options=SMALL)
