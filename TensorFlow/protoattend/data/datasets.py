"""The datasets by name, divided into training, validation and test images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Optional, Tuple

import numpy as np

from common.core.errors import UsageError
from common.data.manifest import manifest_sha256
from common.data.resize import resize_bilinear
from protoattend.data import digits, synthetic_shapes
from protoattend.data.cifar10 import load_cifar10
from protoattend.data.idx_folder import load_idx_folder
from protoattend.data.image_folder import load_image_folder
from protoattend.data.labelled_images import LabelledImages, check_labels
from protoattend.data.npz import load_npz
from protoattend.data.source import Source

__all__ = ["DATASET_NAMES", "EMBEDDED", "PrototypeDataset", "open_dataset", "read_source"]

EMBEDDED = ("digits", "synthetic_shapes")
# The same for every run, whatever its seed, so that results can be compared.
SPLIT_SEED = 0
_TEST_SHARE = 5
_VALIDATION_SHARE = 10
_VALIDATION_COUNT = 5000


@dataclass(frozen=True, eq=False)
class PrototypeDataset:
    """A dataset as a run uses it.

    Attributes:
        name: one of DATASET_NAMES.
        predicate: how each split was made, in words.
        class_names: one for every class, in the order of the labels.
        train: what is trained on, and what candidates come from.
        validation: what choices are made by.
        test: looked at once, at the end; whole.
        manifest_sha256: names the images, labels and their order in all splits.
        notices: what the user should be told about the data, a line each.
    """

    name: str
    predicate: str
    class_names: Tuple[str, ...]
    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    manifest_sha256: str
    notices: Tuple[str, ...] = ()

    @property
    def image_shape(self) -> Tuple[int, int, int]:
        """(height, width, channels), the same for all images."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    @property
    def counts(self) -> Dict[str, int]:
        """The number of images of each split."""
        return {
            "train": len(self.train),
            "validation": len(self.validation),
            "test": len(self.test),
        }


def open_dataset(
    name: str,
    data_path: Optional[str] = None,
    image_size: Optional[int] = None,
    num_classes: Optional[int] = None,
    validation_count: Optional[int] = None,
    validation_is_test: bool = False,
) -> PrototypeDataset:
    """Reads a dataset and divides it; the same arguments always give the same images.

    Args:
        name: one of DATASET_NAMES.
        data_path: its folder or file, or the folder's parent; the EMBEDDED ones need none.
        image_size: pixels of a side; the dataset's own size when None (28 for digits).
        num_classes: the dataset's own when None; classes beyond its own get their numbers as
            names.
        validation_count: images taken from the training images by a fixed permutation; 5,000,
            or a tenth of them where that is less, when None.
        validation_is_test: no image is taken away, the test images validate, as in the
            reference.

    Raises:
        UsageError: an unknown name, or a number that the data doesn't allow.
        ZooError: data that is missing, damaged, or has labels that are none of the classes.
    """
    source = read_source(name, data_path, image_size)
    class_names = _class_names(source.class_names, num_classes)
    check_labels(source.train.labels, class_names, name)
    if source.test is not None:
        check_labels(source.test.labels, class_names, name + "'s test set")
    splits = _divide(source, validation_count, validation_is_test)
    sums = {split: splits[split].sha256() for split in _SPLITS}
    return PrototypeDataset(
        name,
        "; ".join(splits.texts) + _size_in_words(splits["train"], image_size),
        class_names,
        splits["train"],
        splits["validation"],
        splits["test"],
        manifest_sha256(sums),
        source.notices,
    )


def read_source(name: str, data_path: Optional[str], image_size: Optional[int] = None) -> Source:
    """Reads a whole dataset, its images resized where `image_size` is given.

    Arguments and errors are those of open_dataset.
    """
    if name not in _READERS:
        raise UsageError(
            "dataset {!r} is unknown: use one of {}".format(name, ", ".join(DATASET_NAMES))
        )
    if image_size is not None and image_size < 1:
        raise UsageError(f"--img_size {image_size}: at least 1 is needed")
    return _READERS[name](data_path, image_size)


# --- division --------------------------------------------------------------------------------

_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class _Division:
    splits: Dict[str, LabelledImages]
    texts: Tuple[str, ...]

    def __getitem__(self, split: str) -> LabelledImages:
        return self.splits[split]


def _divide(source: Source, validation_count: Optional[int], validation_is_test: bool) -> _Division:
    train = source.train.named("train" if source.test is not None else "data")
    test = None if source.test is None else source.test.named("test")
    train_text, test_text = (
        source.train_text,
        f"all {0 if test is None else len(test):,} of {source.test_text}",
    )
    if test is None:
        count, whole = len(train) // _TEST_SHARE, len(train)
        _check_count("test", count, whole)
        train, test = _split_off(train, count)
        test_text = f"{count:,} of {whole:,} of {source.train_text}, split seed {SPLIT_SEED}"
        train_text = source.train_text + " less the test images"
    if validation_is_test:
        texts = (
            f"train: all {len(train):,} of {train_text}",
            "validation: the test images",
            "test: " + test_text,
        )
        return _Division({"train": train, "validation": test, "test": test}, texts)
    count, whole = _validation_count(validation_count, len(train)), len(train)
    rest, validation = _split_off(train, count)
    texts = (
        f"train: {len(rest):,} of {whole:,} of {train_text}, split seed {SPLIT_SEED}",
        f"validation: the other {count:,}",
        "test: " + test_text,
    )
    return _Division({"train": rest, "validation": validation, "test": test}, texts)


def _validation_count(asked: Optional[int], whole: int) -> int:
    if asked is None:
        asked = min(_VALIDATION_COUNT, max(1, whole // _VALIDATION_SHARE))
    _check_count("validation", asked, whole)
    return asked


def _check_count(what: str, count: int, whole: int) -> None:
    if not 1 <= count < whole:
        raise UsageError(
            f"{count} {what} images out of {whole}: 1 to {whole - 1} are possible; give more "
            "data or another "
            "number"
        )


def _split_off(whole: LabelledImages, count: int) -> Tuple[LabelledImages, LabelledImages]:
    """The others and `count` chosen ones, each in the order of the data."""
    order = np.random.RandomState(SPLIT_SEED).permutation(len(whole))
    return whole.take(np.sort(order[count:])), whole.take(np.sort(order[:count]))


def _class_names(own: Tuple[str, ...], num_classes: Optional[int]) -> Tuple[str, ...]:
    if num_classes is None:
        return own
    if num_classes < 2:
        raise UsageError(f"--num_classes {num_classes}: at least 2 are needed")
    return own[:num_classes] + tuple(str(number) for number in range(len(own), num_classes))


def _size_in_words(images: LabelledImages, image_size: Optional[int]) -> str:
    height, width = images.images.shape[1:3]
    return f"; as {height}x{width} pixels" if image_size is not None else ""


# --- readers ---------------------------------------------------------------------------------


def _idx(name: str) -> Callable[[Optional[str], Optional[int]], Source]:
    def read(data_path: Optional[str], image_size: Optional[int]) -> Source:
        return _resized(load_idx_folder(name, data_path), image_size)

    return read


def _cifar10(data_path: Optional[str], image_size: Optional[int]) -> Source:
    return _resized(load_cifar10(data_path), image_size)


def _npz(data_path: Optional[str], image_size: Optional[int]) -> Source:
    return _resized(load_npz(data_path), image_size)


def _digits(_data_path: Optional[str], image_size: Optional[int]) -> Source:
    return digits.load_digits(image_size or digits.DEFAULT_SIZE)


def _synthetic_shapes(_data_path: Optional[str], image_size: Optional[int]) -> Source:
    return synthetic_shapes.load_synthetic_shapes(image_size or synthetic_shapes.DEFAULT_SIZE)


def _resized(source: Source, image_size: Optional[int]) -> Source:
    """Every image as image_size x image_size; one that is no square is squeezed."""
    if image_size is None or source.train.images.shape[1:3] == (image_size, image_size):
        return source
    test = None if source.test is None else _resized_images(source.test, image_size)
    return Source(
        _resized_images(source.train, image_size),
        test,
        source.class_names,
        source.train_text,
        source.test_text,
        source.notices,
    )


def _resized_images(images: LabelledImages, size: int) -> LabelledImages:
    return LabelledImages(resize_bilinear(images.images, size, size), images.labels)


_READERS: Dict[str, Callable[[Optional[str], Optional[int]], Source]] = {
    "fashion_mnist": _idx("fashion_mnist"),
    "mnist": _idx("mnist"),
    "cifar10": _cifar10,
    "digits": _digits,
    "synthetic_shapes": _synthetic_shapes,
    "image_folder": load_image_folder,
    "npz": _npz,
}
DATASET_NAMES = tuple(_READERS)
