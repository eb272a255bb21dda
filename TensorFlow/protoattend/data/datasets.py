"""The datasets by name, divided into training, validation and test images."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

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
from protoattend.data.streams import BatchPlan, check_candidates
from protoattend.data.synthetic_shapes import DEFAULT_SIZE, load_synthetic_shapes

EMBEDDED = ("digits", "synthetic_shapes")
INNER_FOLDER = "dataset"  # where the original finds its data below --data_path
CATALOGUE = Path(__file__).resolve().parent.parent / FILE_NAME
# The same for every run, whatever its seed, so that results can be compared.
SPLIT_SEED = 0
_TEST_SHARE = 5
_VALIDATION_SHARE = 10
_VALIDATION_COUNT = 5000


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


def check_images_suffice(options: Any, dataset: DatasetSplits) -> None:
    """Raises UsageError, with the flags to give, where a training needs more images than there are.

    For one rank: it is told before TensorFlow, which takes seconds, knows how many there are.
    """
    plan = BatchPlan(
        options.batch_size,
        options.example_cand_size,
        options.random_seed,
        exclude_queries=options.exclude_queries,
    )
    faults = []
    for check, asked in ((BatchPlan.check, plan), (check_candidates, options.eval_cand_size)):
        try:
            check(asked, len(dataset.train))
        except UsageError as error:
            faults.append(str(error))
    if faults:
        raise UsageError("; ".join(faults))


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
    source = read_source(name, [data_path, _inner(data_path)], image_size)
    classes = source.classes
    if num_classes is not None:
        if num_classes < 2:
            raise UsageError(f"--num_classes {num_classes}: at least 2 are needed")
        classes = (classes + numbered_names(num_classes)[len(classes) :])[:num_classes]
    try:
        source = source.changed(lambda images: _as_used(images, classes))
    except ZooError as error:
        raise ZooError(f"{name}: {error}") from None
    splits, texts = _divide(source, validation_count, validation_is_test)
    sums = {split: images.sha256() for split, images in splits.items()}
    if image_size is not None:
        texts += ("as {}x{} pixels".format(*splits["train"].spatial_shape),)
    return DatasetSplits(
        name,
        splits["train"],
        splits["validation"],
        splits["test"],
        "; ".join(texts),
        manifest_sha256(sums),
        source.notices,
    )


def _as_used(images: LabelledImages, classes: Tuple[str, ...]) -> LabelledImages:
    """With these classes, and labels in TensorFlow's type, in which checksums have them too."""
    return LabelledImages(images.images, images.labels.astype(np.int32), classes, images.names)


def read_source(name: str, places: List[Optional[str]], image_size: Optional[int] = None) -> Source:
    """Reads a whole dataset from the first place that has it, its images resized where asked."""
    name = dataset_name(name)
    if name not in _READERS:
        raise UsageError(
            "dataset {!r} is unknown: use one of {}".format(name, ", ".join(DATASET_NAMES))
        )
    if image_size is not None and image_size < 1:
        raise UsageError(f"--img_size {image_size}: at least 1 is needed")
    first_error: Optional[ZooError] = None
    for place in places[:1] + [place for place in places[1:] if place and Path(place).is_dir()]:
        try:
            return _READERS[name](place, image_size)
        except UsageError:
            raise
        except ZooError as error:
            first_error = first_error or error
    assert first_error is not None
    raise first_error


def _inner(data_path: Optional[str]) -> Optional[str]:
    return str(Path(data_path) / INNER_FOLDER) if data_path else None


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
    if validation_is_test:
        return {"train": train, "validation": test, "test": test}, (
            f"train: all {len(train):,} of {train_text}",
            "validation: the test images",
            "test: " + test_text,
        )
    whole = len(train)
    count = validation_count
    if count is None:
        count = min(_VALIDATION_COUNT, max(1, whole // _VALIDATION_SHARE))
    check_count("images for --validation_count", count, 1, whole - 1)
    rest, validation = split_off(train, count, SPLIT_SEED, by_class=False)
    return {"train": rest, "validation": validation, "test": test}, (
        f"train: {len(rest):,} of {whole:,} of {train_text}, split seed {SPLIT_SEED}",
        f"validation: the other {count:,}",
        "test: " + test_text,
    )


# --- readers ---------------------------------------------------------------------------------

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
    paths: List[str], image_shape: Tuple[int, int, int]
) -> Tuple[Tuple[str, ...], np.ndarray]:
    """Image files, and those below folders, in the shape of a network's input.

    Args:
        paths: files or folders; what is left out of a folder is told.
        image_shape: (H, W, C): resized to cover H x W, then the centre is cut out; grey (ITU-R
            601) where C is 1, else RGB.

    Returns:
        The files' names, N of them, and uint8 (N, H, W, C).

    Raises:
        ZooError: no files, or one that is missing, unreadable or damaged; the line names it.
    """
    files: List[Path] = []
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
    if not files:
        raise ZooError(f"no images given: name {KINDS} files, or folders of them")
    height, width, channels = image_shape
    images = np.empty((len(files),) + tuple(image_shape), np.uint8)
    for image, file in zip(images, files):
        image[...] = read_image(file, (height, width), channels)
    return tuple(map(readable_name, files)), images
