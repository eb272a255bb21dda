"""The datasets by name, how they are divided, and what is refused before torch starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from training_helpers import SMALL

from common.core.command_line import exit_code_of
from common.core.errors import UsageError, ZooError
from common.data.labelled_images import LabelledImages
from residual_attention_net import train
from residual_attention_net.data.datasets import load_dataset

FEW = {"image_size": 8, "generated": (60, 20)}


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


def test_validation_images_are_a_tenth_or_as_many_as_asked_and_never_trained_on():
    assert load_dataset("synthetic", **FEW).counts["validation"] == 6
    splits = load_dataset("synthetic", **FEW, validation_count=20)
    assert splits.counts == {"train": 40, "validation": 20, "test": 20}
    assert not rows(splits.train) & rows(splits.validation)
    assert not rows(splits.train) & rows(splits.test)
    assert np.bincount(splits.validation.labels).tolist() == [2] * 10
    assert same(splits.test, load_dataset("synthetic", **FEW).test)


def test_a_limit_takes_equally_many_of_each_class_and_leaves_validation_as_it_is():
    splits = load_dataset("synthetic", **FEW, limit_train=30, limit_test=10)
    assert np.bincount(splits.train.labels).tolist() == [3] * 10
    assert np.bincount(splits.test.labels).tolist() == [1] * 10
    assert "limited to 30" in splits.predicate and "limited to 10" in splits.predicate
    assert same(splits.validation, load_dataset("synthetic", **FEW).validation)


@pytest.mark.parametrize(
    "asked, told",
    [
        ({"validation_count": 60}, "--validation_count"),
        ({"limit_train": 55}, "--limit_train"),
        ({"limit_test": 21}, "--limit_test"),
        ({"name": "cifar11"}, "'cifar11' is unknown: use one of cifar10, digits"),
    ],
)
def test_a_number_that_the_data_does_not_allow_names_its_flag(asked, told):
    with pytest.raises(UsageError, match=told) as caught:
        load_dataset(**{"name": "synthetic", **FEW, **asked})
    assert "\n" not in str(caught.value)


# What earlier records and baselines have: neither text nor checksum may change.
PREDICATE = (
    "train: {}, less the validation images; validation: {} of them, stratified by class, seed 0; "
    "test: {}"
)


DIGITS = "aa2f01f690eb731ed4808af859c6a74a760b80ac9999cd4a90ab7d74e403bdcd"
SYNTHETIC = "b803779a7d93905d8dfbc7b35feb82a4300119bf169c2298e126774c60f4ea77"
CIFAR10 = "3971f136da7c6f975816a9661d04e11a6c59175105654264bb7710756e9579d7"
GENERATED = ("1000 generated training images of 32x32", 100, "200 generated test images of 32x32")
WRITTEN = (
    "scikit-learn's digits without the test images",
    143,
    "359 of the 1797, stratified by class, the same for every seed",
)
BATCHES = ("data_batch_1 to data_batch_5", 5000, "the whole test_batch")


@pytest.mark.parametrize(
    "name, counts, digest, told",
    [
        ("synthetic", (900, 100, 200), SYNTHETIC, GENERATED),
        ("digits", (1295, 143, 359), DIGITS, WRITTEN),
        ("cifar10", (45000, 5000, 10000), CIFAR10, BATCHES),
    ],
)
def test_the_data_are_what_earlier_records_say(zoo_data, name, counts, digest, told):
    folder = str(zoo_data("cifar-10-batches-py")) if name == "cifar10" else None
    splits = load_dataset(name, folder)
    assert tuple(splits.counts.values()) == counts
    assert splits.train.images.shape[1:] == (32, 32, 3)
    assert (splits.manifest_sha256, splits.predicate) == (digest, PREDICATE.format(*told))


@pytest.mark.parametrize("name", ["image_folder", "images"])
def test_a_folder_of_class_folders_is_divided_under_both_names(tmp_path, name):
    splits = load_dataset(name, write_folder(tmp_path), 8)
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
    splits = load_dataset("image_folder", str(tmp_path), 8, validation_count=0)
    assert splits.counts == {"train": 20, "validation": 0, "test": 6}
    assert "the whole folder test at 8x8" in splits.predicate
    assert "extra is not looked at" in splits.notices[0]
    with pytest.raises(ZooError, match="no such folder"):
        load_dataset("image_folder", str(tmp_path / "none"), 8)


@pytest.mark.parametrize(
    "flags, told",
    [
        (["--train_batch_size", "65"], "--train_batch_size 65 on 1 rank(s) is larger than the 64"),
        (["--device_num", "8"], "--train_batch_size 16 on 8 rank(s) is larger.*at most 8"),
        (["--validation_count", "5000"], "5000 images for --validation_count"),
        (["--num_classes", "5"], "--num_classes 5 is less than the 10 classes"),
        (["--dataset", "digits"], "--network small_16input takes 16 x 16, digits has 32 x 32"),
    ],
)
def test_data_that_does_not_suffice_names_the_flag(tmp_path, capsys, flags, told):
    words = ["--output_path", str(tmp_path / "run"), *SMALL, *flags]
    assert exit_code_of(train.main, words) == 64
    (line,) = capsys.readouterr().err.splitlines()
    for part in told.split(".*"):
        assert part in line
    assert not (tmp_path / "run").exists()
