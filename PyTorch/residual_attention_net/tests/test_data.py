"""The datasets by name, and how they are divided."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from common.core.errors import UsageError, ZooError
from residual_attention_net.data.datasets import DATASET_NAMES, SourceOptions, load_dataset
from residual_attention_net.data.embedded import enlarge_digits
from residual_attention_net.data.labelled_images import LabelledImages
from residual_attention_net.data.selection import balanced_indices, stratified_indices

SMALL = SourceOptions(image_size=8, class_count=3, train_count=60, test_count=12)


def _same(first: LabelledImages, second: LabelledImages) -> bool:
    return np.array_equal(first.images, second.images) and np.array_equal(
        first.labels, second.labels
    )


def _rows(images: LabelledImages) -> set[bytes]:
    return {image.tobytes() for image in images.images}


def _write_image(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (12, 9)) -> None:
    image = pytest.importorskip("PIL.Image", reason="image folders need Pillow")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.new("RGB", size, colour).save(str(path))


def _write_folder(root: Path, per_class: int = 10) -> None:
    for label, name in enumerate(("cat", "dog")):
        for number in range(per_class):
            _write_image(root / name / f"{number}.png", (200 * label, number, 50))


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError, match="digits"):
        load_dataset("cifar11")
    assert set(DATASET_NAMES) == {"cifar10", "digits", "images", "synthetic", "synthetic_volumes"}


def test_validation_images_are_not_trained_on():
    splits = load_dataset("synthetic", options=SMALL, validation_count=15)
    assert splits.counts == {"train": 45, "validation": 15, "test": 12}
    assert not _rows(splits.train) & _rows(splits.validation)
    assert not _rows(splits.train) & _rows(splits.test)


def test_validation_keeps_the_class_shares():
    splits = load_dataset("synthetic", options=SMALL, validation_count=15)
    assert np.bincount(splits.validation.labels).tolist() == [5, 5, 5]


def test_a_tenth_is_validation_unless_a_count_is_given():
    assert load_dataset("synthetic", options=SMALL).counts["validation"] == 6


def test_the_same_seed_divides_alike_and_another_does_not():
    first = load_dataset("synthetic", options=SMALL, seed=1)
    assert _same(first.validation, load_dataset("synthetic", options=SMALL, seed=1).validation)
    assert not _same(first.validation, load_dataset("synthetic", options=SMALL, seed=2).validation)


def test_a_limit_takes_equally_many_of_each_class_and_is_told():
    splits = load_dataset("synthetic", options=SMALL, limit_train=9, limit_test=6)
    assert np.bincount(splits.train.labels).tolist() == [3, 3, 3]
    assert np.bincount(splits.test.labels).tolist() == [2, 2, 2]
    assert "limited to 9" in splits.predicate
    assert "limited to 6" in splits.predicate


def test_a_limit_leaves_validation_as_it_is():
    limited = load_dataset("synthetic", options=SMALL, limit_train=9)
    assert _same(limited.validation, load_dataset("synthetic", options=SMALL).validation)


@pytest.mark.parametrize(
    "asked",
    [
        {"validation_count": 60},
        {"validation_count": -1},
        {"limit_train": 55},
        {"limit_train": 0},
        {"limit_test": 13},
        {"seed": -1},
    ],
)
def test_a_count_beyond_the_data_is_a_usage_error_of_one_line(asked):
    with pytest.raises(UsageError) as caught:
        load_dataset("synthetic", options=SMALL, **asked)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options", [{"class_count": 1}, {"train_count": 0}, {"test_count": 0}, {"image_size": 0}]
)
def test_synthetic_data_of_no_use_is_a_usage_error(options):
    with pytest.raises(UsageError, match="at least"):
        load_dataset("synthetic", options=SourceOptions(**options))


def test_synthetic_classes_can_be_told_apart_by_their_mean_image():
    splits = load_dataset("synthetic", options=SMALL)
    means = np.stack(
        [splits.train.images[splits.train.labels == label].mean(axis=0) for label in range(3)]
    )
    distances = ((splits.test.images[:, None] - means[None]) ** 2).sum(axis=(2, 3, 4))
    assert (distances.argmin(axis=1) == splits.test.labels).all()


def test_synthetic_bytes_are_the_same_on_every_stack():
    splits = load_dataset("synthetic")
    assert splits.manifest_sha256 == (
        "b803779a7d93905d8dfbc7b35feb82a4300119bf169c2298e126774c60f4ea77"
    )


def test_synthetic_volumes_have_three_spatial_dimensions():
    splits = load_dataset("synthetic_volumes", options=SMALL)
    assert splits.train.images.shape == (54, 8, 8, 8, 3)
    assert splits.train.spatial_shape == (8, 8, 8)


def test_digits_are_real_and_the_same_on_every_stack():
    pytest.importorskip("sklearn", reason="digits come with scikit-learn")
    splits = load_dataset("digits")
    assert sum(splits.counts.values()) == 1797
    assert splits.train.images.shape[1:] == (32, 32, 3)
    assert splits.manifest_sha256 == (
        "aa2f01f690eb731ed4808af859c6a74a760b80ac9999cd4a90ab7d74e403bdcd"
    )


def test_the_test_digits_are_the_same_for_every_seed():
    pytest.importorskip("sklearn", reason="digits come with scikit-learn")
    assert _same(load_dataset("digits", seed=1).test, load_dataset("digits", seed=2).test)


def test_an_enlarged_digit_is_its_bilinear_interpolation():
    digit = np.random.RandomState(0).randint(0, 17, (1, 8, 8))
    places = (np.arange(32) + 0.5) / 4 - 0.5
    rows = np.stack([np.interp(places, np.arange(8), row) for row in digit[0]])
    both = np.stack([np.interp(places, np.arange(8), column) for column in rows.T]).T
    assert np.abs(enlarge_digits(digit)[0] - both * 255 / 16).max() <= 0.5


def test_missing_scikit_learn_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ZooError, match="pip install scikit-learn"):
        load_dataset("digits")


@pytest.mark.parametrize("name", ["digits", "cifar10"])
def test_a_size_of_images_that_have_their_own_is_a_usage_error(name):
    with pytest.raises(UsageError, match="32x32"):
        load_dataset(name, options=SourceOptions(image_size=224))


def test_a_folder_of_class_folders_is_divided(tmp_path):
    _write_folder(tmp_path)
    splits = load_dataset("images", str(tmp_path), options=SMALL)
    assert splits.train.classes == ("cat", "dog")
    assert splits.train.images.shape == (15, 8, 8, 3)
    assert splits.counts == {"train": 15, "validation": 1, "test": 4}


def test_folders_train_and_test_are_taken_as_such(tmp_path):
    _write_folder(tmp_path / "train")
    _write_folder(tmp_path / "test", per_class=3)
    splits = load_dataset("images", str(tmp_path), options=SMALL, validation_count=0)
    assert splits.counts == {"train": 20, "validation": 0, "test": 6}
    assert "the whole folder test" in splits.predicate


def test_an_image_keeps_its_colours_and_its_label(tmp_path):
    _write_folder(tmp_path)
    splits = load_dataset("images", str(tmp_path), options=SMALL)
    assert (splits.train.images[:, 0, 0, 0] == 200 * splits.train.labels).all()


def test_an_image_is_cut_to_its_centre(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="image folders need Pillow")
    _write_folder(tmp_path)
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = 255
    image.fromarray(wide).save(str(tmp_path / "cat" / "0.png"))
    splits = load_dataset("images", str(tmp_path), options=SMALL, validation_count=0)
    everything = np.concatenate([splits.train.images, splits.test.images])
    assert (everything == 255).all(axis=(1, 2, 3)).sum() == 1


def test_a_folder_beside_train_and_test_is_not_taken_for_a_class(tmp_path):
    for part in ("train", "test", "extra"):
        _write_folder(tmp_path / part)
    splits = load_dataset("images", str(tmp_path), options=SMALL, validation_count=0)
    assert "extra not looked at" in splits.predicate
    assert splits.train.classes == ("cat", "dog")


def test_hidden_files_are_no_images(tmp_path):
    _write_folder(tmp_path)
    (tmp_path / "cat" / "._0.png").write_bytes(b"an archive's leftover")
    load_dataset("images", str(tmp_path), options=SMALL)


@pytest.mark.parametrize(
    "make, expected",
    [
        (lambda root: None, "no such folder"),
        (lambda root: root.mkdir(), "0 class folders"),
        (lambda root: root.write_bytes(b""), "a file, not a folder"),
        (lambda root: [(root / c).mkdir(parents=True) for c in "ab"], "no PNG or JPEG"),
        (lambda root: (_write_folder(root), (root / "cat" / "x.png").write_bytes(b"?")), "x.png"),
        (lambda root: (_write_folder(root), (root / "cat" / "x.png").mkdir()), "can't be read"),
    ],
)
def test_a_bad_image_folder_is_one_line(tmp_path, make, expected):
    make(tmp_path / "root")
    with pytest.raises(ZooError, match=expected) as caught:
        load_dataset("images", str(tmp_path / "root"), options=SMALL)
    assert "\n" not in str(caught.value)


def test_a_truncated_image_is_named(tmp_path):
    _write_folder(tmp_path)
    path = tmp_path / "dog" / "3.png"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ZooError, match=r"3\.png: not a readable PNG or JPEG"):
        load_dataset("images", str(tmp_path), options=SMALL)


def test_other_classes_for_testing_are_refused(tmp_path):
    _write_folder(tmp_path / "train")
    _write_folder(tmp_path / "test")
    _write_image(tmp_path / "test" / "bird" / "0.png", (0, 0, 0))
    with pytest.raises(ZooError, match="bird"):
        load_dataset("images", str(tmp_path), options=SMALL)


def test_missing_pillow_names_what_to_install(tmp_path, monkeypatch):
    _write_folder(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ZooError, match="pip install Pillow"):
        load_dataset("images", str(tmp_path), options=SMALL)


def test_the_manifest_changes_with_a_file_name_or_content(tmp_path):
    _write_folder(tmp_path)
    first = load_dataset("images", str(tmp_path), options=SMALL).manifest_sha256
    (tmp_path / "cat" / "0.png").rename(tmp_path / "cat" / "00.png")
    second = load_dataset("images", str(tmp_path), options=SMALL).manifest_sha256
    _write_image(tmp_path / "cat" / "1.png", (9, 9, 9))
    third = load_dataset("images", str(tmp_path), options=SMALL).manifest_sha256
    assert len({first, second, third}) == 3


@pytest.mark.parametrize(
    "images, labels, expected",
    [
        (np.zeros((2, 4, 4, 3), np.float32), np.zeros(2, np.int64), "uint8"),
        (np.zeros((2, 4, 4), np.uint8), np.zeros(2, np.int64), "N, H, W, C"),
        (np.zeros((2, 4, 4, 5), np.uint8), np.zeros(2, np.int64), "5 channels"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.zeros(3, np.int64), "2 images"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.array([0, 2]), "label 2 of image 1"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.array([-1, 0]), "label -1 of image 0"),
    ],
)
def test_images_and_labels_that_do_not_fit_are_refused(images, labels, expected):
    with pytest.raises(ZooError, match=expected):
        LabelledImages(images, labels, ("cat", "dog"))


def test_stratified_counts_follow_uneven_classes():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    assert np.bincount(labels[stratified_indices(labels, 10, 0)]).tolist() == [6, 3, 1]


def test_balanced_counts_take_from_large_classes_what_small_ones_lack():
    labels = np.repeat([0, 1, 2], [60, 30, 2])
    assert np.bincount(labels[balanced_indices(labels, 20, 0)]).tolist() == [9, 9, 2]


@pytest.mark.parametrize("count", [0, 1, 7, 100])
@pytest.mark.parametrize("choose", [stratified_indices, balanced_indices])
def test_a_choice_has_the_asked_count_without_repeats(choose, count):
    labels = np.arange(100) % 7
    assert len(set(choose(labels, count, 3).tolist())) == count
