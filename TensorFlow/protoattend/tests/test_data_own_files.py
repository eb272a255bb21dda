"""Folders of images and npz files of the user's own."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from proto_data_files import numbered_images, random_pixels, refusal, write_image

from common.core.errors import ZooError
from protoattend.data.datasets import open_dataset
from protoattend.data.image_folder import load_image_folder
from protoattend.data.npz import load_npz
from protoattend.data.user_images import read_user_images

GREY = random_pixels(6, 8)
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)


# --- folders of images -----------------------------------------------------------------------


def write_classes(folder: Path, count: int = 3) -> Path:
    for label, name in enumerate(("apple", "pear")):
        for number in range(count):
            write_image(folder / name / f"{number}.png", GREY[label * count + number])
    return folder


def test_folders_are_classes_and_pixels_are_kept(tmp_path: Path) -> None:
    source = load_image_folder(str(write_classes(tmp_path)), None)
    np.testing.assert_array_equal(source.train.images[..., 0], GREY)
    assert source.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert source.class_names == ("apple", "pear") and source.test is None


def test_images_are_named_by_their_files_whatever_split_they_are_in(tmp_path: Path) -> None:
    dataset = open_dataset("image_folder", str(write_classes(tmp_path)))
    named = {
        str(name): image
        for split in (dataset.train, dataset.validation, dataset.test)
        for name, image in zip(split.names, split.images)
    }
    assert set(named) == {f"{kind}/{n}.png" for kind in ("apple", "pear") for n in range(3)}
    np.testing.assert_array_equal(named["pear/1.png"][..., 0], GREY[4])


def test_images_without_files_are_named_by_their_rows() -> None:
    train = open_dataset("synthetic_shapes").train
    assert len(set(train.names)) == len(train) and str(train.names[0]).startswith("train row ")


def test_train_and_test_folders_are_training_and_test_images(tmp_path: Path) -> None:
    write_classes(tmp_path / "train")
    write_classes(tmp_path / "test", 1)
    source = load_image_folder(str(tmp_path), None)
    assert (len(source.train), len(source.test)) == (6, 2) and source.notices == ()


def test_one_folder_is_split_by_a_seeded_permutation(tmp_path: Path) -> None:
    dataset = open_dataset("image_folder", str(write_classes(tmp_path)))
    assert dataset.counts == {"train": 4, "validation": 1, "test": 1}


def test_a_folder_that_is_not_looked_at_is_told(tmp_path: Path) -> None:
    for part in ("train", "test", "extra"):
        write_classes(tmp_path / part)
    assert "extra is not looked at" in load_image_folder(str(tmp_path), None).notices[0]


def test_one_colour_file_makes_all_of_them_rgb(tmp_path: Path) -> None:
    write_image(write_classes(tmp_path) / "pear" / "9.png", COLOUR[0])
    images = load_image_folder(str(tmp_path), None).train.images
    assert images.shape == (7, 8, 8, 3)
    np.testing.assert_array_equal(images[6], COLOUR[0])
    np.testing.assert_array_equal(images[0], np.repeat(GREY[0][..., None], 3, axis=-1))


def test_sizes_that_differ_are_one_line_with_both_files(tmp_path: Path) -> None:
    write_image(write_classes(tmp_path) / "pear" / "9.png", random_pixels(1, 10)[0, :, :9])
    line = refusal(lambda: load_image_folder(str(tmp_path), None))
    assert "9.png has 9 x 10 pixels" in line and "0.png has 8 x 8" in line
    assert "--img_size" in line


def test_sizes_that_differ_are_resized_where_a_size_is_given(tmp_path: Path) -> None:
    write_image(write_classes(tmp_path) / "pear" / "9.png", random_pixels(1, 10)[0, :, :9])
    assert load_image_folder(str(tmp_path), 12).train.images.shape == (7, 12, 12, 1)


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    (write_classes(tmp_path) / "quince").mkdir()
    assert "quince: no PNG or JPEG files" in refusal(lambda: load_image_folder(str(tmp_path), None))


def test_an_empty_folder_tells_the_layout(tmp_path: Path) -> None:
    assert "CLASS/IMAGE.png" in refusal(lambda: load_image_folder(str(tmp_path), None))


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    damaged = write_classes(tmp_path) / "pear" / "1.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    assert str(damaged) in refusal(lambda: load_image_folder(str(tmp_path), None))


def test_other_classes_in_test_than_in_training_are_named(tmp_path: Path) -> None:
    write_classes(tmp_path / "train")
    write_image(write_classes(tmp_path / "test") / "quince" / "0.png", GREY[0])
    assert "(quince)" in refusal(lambda: load_image_folder(str(tmp_path), None))


@pytest.mark.parametrize("data_path", [None, "/nowhere/at/all", __file__])
def test_no_folder_of_images_is_one_line(data_path) -> None:
    refusal(lambda: load_image_folder(data_path, None))


# --- npz -------------------------------------------------------------------------------------


def save(path: Path, **arrays: np.ndarray) -> str:
    np.savez(str(path), **arrays)
    return str(path)


def test_an_npz_of_images_and_labels_is_split(tmp_path: Path) -> None:
    save(tmp_path / "a.npz", images=GREY, labels=np.arange(6) % 2, other=np.zeros(3))
    dataset = open_dataset("npz", str(tmp_path))
    assert dataset.counts == {"train": 4, "validation": 1, "test": 1}
    assert dataset.class_names == ("0", "1") and dataset.image_shape == (8, 8, 1)


def test_labels_may_be_a_column(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", images=COLOUR, labels=np.arange(6).reshape(6, 1) % 3)
    assert load_npz(path).train.labels.tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    "arrays, reason",
    [
        ({"images": GREY}, "holds images: x_train"),
        ({"x_train": GREY, "y_train": np.arange(6), "x_test": GREY}, "y_test"),
        ({"images": GREY.astype(np.float32), "labels": np.arange(6)}, "images are float32"),
        ({"images": GREY, "labels": np.arange(5)}, "6 images with 5 labels"),
        ({"images": GREY, "labels": np.arange(6) - 1}, "the label -1"),
        ({"images": GREY, "labels": np.arange(6) + 2**40}, "the label 1099511627781"),
        ({"images": GREY, "labels": np.arange(6) / 2}, "labels is float64"),
        ({"images": GREY[:0], "labels": np.arange(0)}, "labels is empty"),
        ({"images": GREY[0], "labels": np.arange(8)}, "shape (8, 8)"),
    ],
)
def test_arrays_that_are_no_labelled_images_are_one_line(tmp_path, arrays, reason) -> None:
    assert reason in refusal(lambda: load_npz(save(tmp_path / "a.npz", **arrays)))


def test_images_of_another_shape_in_test_are_one_line(tmp_path: Path) -> None:
    train, test = numbered_images(6), numbered_images(6, size=5)
    path = save(
        tmp_path / "a.npz",
        x_train=train.images,
        y_train=train.labels,
        x_test=test.images,
        y_test=test.labels,
    )
    assert "one shape is needed" in refusal(lambda: load_npz(path))


class _RunsCode:
    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self):
        return os.mkdir, (self._path,)


def test_pickled_objects_in_an_npz_are_refused_and_nothing_runs(tmp_path: Path) -> None:
    trap = str(tmp_path / "trap")
    hostile = np.empty(1, object)
    hostile[0] = _RunsCode(trap)
    path = save(tmp_path / "a.npz", images=GREY, labels=hostile)
    assert "not a readable .npz file" in refusal(lambda: load_npz(path))
    assert not os.path.exists(trap)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", pickle.dumps([1, 2])])
def test_a_file_that_is_no_npz_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    assert "not a readable .npz file" in refusal(lambda: load_npz(str(tmp_path / "a.npz")))


def test_a_truncated_npz_is_one_line(tmp_path: Path) -> None:
    path = Path(save(tmp_path / "a.npz", images=GREY, labels=np.arange(6)))
    path.write_bytes(path.read_bytes()[:-40])
    assert "not a readable .npz file" in refusal(lambda: load_npz(str(path)))


def test_a_single_array_is_no_npz(tmp_path: Path) -> None:
    np.save(str(tmp_path / "a.npy"), GREY)
    assert "one array" in refusal(lambda: load_npz(str(tmp_path / "a.npy")))


def test_two_npz_files_in_a_folder_are_one_too_many(tmp_path: Path) -> None:
    for name in "ab":
        save(tmp_path / (name + ".npz"), images=GREY, labels=np.arange(6))
    assert "2 .npz files" in refusal(lambda: load_npz(str(tmp_path)))


# --- images to explain -----------------------------------------------------------------------


def test_files_and_folders_are_read_in_the_networks_shape(tmp_path: Path) -> None:
    write_classes(tmp_path / "folder")
    write_image(tmp_path / "colour.png", COLOUR[0])
    paths = [str(tmp_path / "colour.png"), str(tmp_path / "folder")]
    names, images = read_user_images(paths, (8, 8, 1))
    assert images.shape == (7, 8, 8, 1) and names[0] == paths[0]
    assert names[1] == str(tmp_path / "folder" / "apple" / "0.png")
    np.testing.assert_array_equal(images[1:, :, :, 0], GREY)


def test_colour_becomes_grey_by_the_weights_of_itu_r_601(tmp_path: Path) -> None:
    write_image(tmp_path / "colour.png", COLOUR[0])
    _, images = read_user_images([str(tmp_path / "colour.png")], (8, 8, 1))
    expected = COLOUR[0] @ np.array([0.299, 0.587, 0.114])
    assert np.abs(images[0, :, :, 0] - expected).max() <= 1


def test_a_wide_image_is_cut_to_its_centre(tmp_path: Path) -> None:
    wide = np.zeros((8, 24), np.uint8)
    wide[:, 8:16] = 200
    write_image(tmp_path / "wide.png", wide)
    _, images = read_user_images([str(tmp_path / "wide.png")], (8, 8, 3))
    assert images.shape == (1, 8, 8, 3) and (images == 200).all()


@pytest.mark.parametrize(
    "make, reason",
    [
        (lambda path: path.write_bytes(b"not an image"), "not a readable PNG or JPEG"),
        (lambda path: None, "can't be read"),
        (lambda path: path.mkdir(), "no PNG or JPEG files"),
    ],
)
def test_a_file_that_is_no_image_is_named(tmp_path: Path, make, reason: str) -> None:
    make(tmp_path / "mine.png")
    line = refusal(lambda: read_user_images([str(tmp_path / "mine.png")], (8, 8, 1)), ZooError)
    assert "mine.png" in line and reason in line


def test_no_images_at_all_is_one_line() -> None:
    assert "no images given" in refusal(lambda: read_user_images([], (8, 8, 1)))


def test_files_of_other_kinds_are_told_by_their_number(tmp_path: Path, capsys) -> None:
    write_image(tmp_path / "photos" / "a.jfif", GREY[0])
    for name in ("b.bmp", "c.webp", "d.bmp", ".hidden.bmp"):
        (tmp_path / "photos" / name).write_bytes(b"?")
    names, _ = read_user_images([str(tmp_path / "photos")], (8, 8, 1))
    assert [Path(name).name for name in names] == ["a.jfif"]
    assert "left out: 2 .bmp, 1 .webp" in capsys.readouterr().out
