"""The datasets by name, divided into training, validation and test images; a user's own images."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

import attrs
import numpy as np

from common.core.errors import UsageError, ZooError
from common.data import dataset_name, readable_name
from common.data.array_files import read_idx_folder, read_npz
from common.data.arrays import manifest_sha256
from common.data.catalogue import FILE_NAME
from common.data.cifar10 import read_cifar10
from common.data.digits import read_digits
from common.data.image_files import KINDS, images_below, read_class_folders, read_image
from common.data.labelled_images import (
    DatasetSplits,
    LabelledImages,
    Source,
    check_count,
    numbered_names,
    split_off,
)
from protoattend.data.synthetic_shapes import DEFAULT_SIZE, load_synthetic_shapes

EMBEDDED = ("digits", "synthetic_shapes")
INNER_FOLDER = "dataset"  # where the original finds its data below --data_path
CATALOGUE = Path(__file__).resolve().parent.parent / FILE_NAME
# The same for every run, whatever its seed, so that results can be compared.
SPLIT_SEED = 0
_TEST_SHARE, _VALIDATION_SHARE, _VALIDATION_COUNT = 5, 10, 5000


def dataset_of(options: Any) -> DatasetSplits:
    """The dataset that an entry point's options ask for; see `open_dataset`."""
    return open_dataset(
        options.dataset,
        options.data_url,
        options.img_size,
        options.num_classes,
        options.validation_count,
        options.validation_is_test,
    )


def open_dataset(
    name: str,
    data_path: Optional[str] = None,
    image_size: Optional[int] = None,
    num_classes: Optional[int] = None,
    validation_count: Optional[int] = None,
    validation_is_test: bool = False,
) -> DatasetSplits:
    """Reads a dataset and divides it; the same arguments always give the same images.

    Args:
        name: one of DATASET_NAMES.
        data_path: its folder or file, the folder's parent, or what holds that as `dataset`; the
            EMBEDDED ones need none.
        image_size: pixels of a side; the dataset's own size when None (28 for digits).
        num_classes: the dataset's own when None; classes beyond those get their numbers as names.
        validation_count: images taken from the training images by a fixed permutation; 5,000, or
            a tenth of them where that is less, when None.
        validation_is_test: no image is taken away, the test images validate, as in the reference.

    Raises:
        UsageError: a number that the data doesn't allow.
        ZooError: data that is missing, damaged, or has labels that are none of the classes.
    """
    places = [data_path, str(Path(data_path) / INNER_FOLDER) if data_path else None]
    source = read_source(name, places, image_size)
    classes = source.classes
    if num_classes is not None:
        classes = (classes + numbered_names(num_classes)[len(classes) :])[:num_classes]

    def as_used(images: LabelledImages) -> LabelledImages:
        """With these classes, and labels in TensorFlow's type, in which checksums have them too."""
        return LabelledImages(images.images, images.labels.astype(np.int32), classes, images.names)

    try:
        source = source.changed(as_used)
    except ZooError as error:
        raise ZooError(f"{name}: {error}") from None
    splits, texts = _divide(source, validation_count, validation_is_test)
    sums = {split: images.sha256() for split, images in splits.items()}
    if image_size is not None:
        texts += ("as {}x{} pixels".format(*splits["train"].spatial_shape),)
    return DatasetSplits(
        name,
        predicate="; ".join(texts),
        manifest_sha256=manifest_sha256(sums),
        notices=source.notices,
        **splits,
    )


def read_source(
    name: str, places: Sequence[Optional[str]], image_size: Optional[int] = None
) -> Source:
    """Reads a whole dataset from the first place that has it, its images resized where asked.

    Raises:
        UsageError: an unknown name, or a size that nothing can be drawn in.
        ZooError: the first place has it not, and no later one; where one has, a notice tells why.
    """
    read = _READERS.get(dataset_name(name))
    if read is None:
        raise UsageError(f"dataset {name!r} is unknown: use one of {', '.join(DATASET_NAMES)}")
    first_error: Optional[ZooError] = None
    for place in places:
        if first_error is not None and not (place and Path(place).is_dir()):
            continue
        try:
            source = read(place, image_size)
            if first_error is None:
                return source
            told = f"{first_error}; {place} is read in its place"
            return attrs.evolve(source, notices=(told, *source.notices))
        except UsageError:
            raise
        except ZooError as error:
            first_error = first_error or error
    raise first_error or ValueError("no place to look at")


def _divide(
    source: Source, validation_count: Optional[int], validation_is_test: bool
) -> Tuple[Dict[str, LabelledImages], Tuple[str, ...]]:
    """The splits by name, and how each was made."""
    train = source.train.named("train" if source.test is not None else "data")
    train_text = source.train_text
    if source.test is not None:
        test = source.test.named("test")
        test_text = f"all {len(test):,} of {source.test_text}"
    else:
        count, whole = len(train) // _TEST_SHARE, len(train)
        check_count("test images", count, 1, whole - 1)
        train, test = split_off(train, count, SPLIT_SEED, by_class=False)
        test_text = f"{count:,} of {whole:,} of {train_text}, split seed {SPLIT_SEED}"
        train_text += " less the test images"
    whole = len(train)
    if validation_is_test:
        validation, told = test, f"train: all {whole:,} of {train_text}"
        validation_text = "the test images"
    else:
        count = validation_count
        if count is None:
            count = min(_VALIDATION_COUNT, max(1, whole // _VALIDATION_SHARE))
        check_count("images for --validation_count", count, 1, whole - 1)
        train, validation = split_off(train, count, SPLIT_SEED, by_class=False)
        told = f"train: {len(train):,} of {whole:,} of {train_text}, split seed {SPLIT_SEED}"
        validation_text = f"the other {count:,}"
    return {"train": train, "validation": validation, "test": test}, (
        told,
        "validation: " + validation_text,
        "test: " + test_text,
    )


Reader = Callable[[Optional[str], Optional[int]], Source]


def _resized(read: Callable[[Optional[str]], Source]) -> Reader:
    def read_resized(data_path: Optional[str], size: Optional[int]) -> Source:
        source = read(data_path)
        return source if size is None else source.changed(lambda images: images.resized(size))

    return read_resized


_READERS: Dict[str, Reader] = {
    "fashion_mnist": _resized(lambda path: read_idx_folder("fashion_mnist", path, CATALOGUE)),
    "mnist": _resized(lambda path: read_idx_folder("mnist", path, CATALOGUE)),
    "cifar10": _resized(read_cifar10),
    "digits": lambda _path, size: read_digits(size or DEFAULT_SIZE, channels=1),
    "synthetic_shapes": lambda _path, size: load_synthetic_shapes(size or DEFAULT_SIZE),
    "image_folder": read_class_folders,
    "npz": _resized(read_npz),
}
DATASET_NAMES = tuple(_READERS)


# --- images to decide on ---------------------------------------------------------------------


def read_user_images(
    paths: Sequence[str], image_shape: Tuple[int, int, int]
) -> Tuple[Tuple[str, ...], np.ndarray]:
    """Image files, and those below folders, in the shape of a network's input.

    Args:
        paths: files or folders; what is left out of a folder is told.
        image_shape: (H, W, C): resized to cover H x W, then the centre is cut out; grey (ITU-R
            601) where C is 1, else RGB.

    Returns:
        The files' names, N of them, and uint8 (N, H, W, C).

    Raises:
        ZooError: a file or folder that is missing, unreadable, damaged or empty; the line names it.
    """
    files = []
    for path in map(Path, paths):
        if not path.is_dir():
            files.append(path)
            continue
        try:
            found = images_below(path)
        except OSError as error:
            name = readable_name(Path(error.filename or path))
            raise ZooError(f"{name}: can't be read ({error.strerror or error})") from None
        for notice in found.notices():
            print(f"note: {notice}", flush=True)
        if not found.files:
            raise ZooError(f"{readable_name(path)}: no {KINDS} files in it")
        files += found.files
    height, width, channels = image_shape
    images = [read_image(file, (height, width), channels) for file in files]
    return tuple(map(readable_name, files)), np.stack(images)
