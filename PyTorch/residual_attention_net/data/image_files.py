"""The samples to look at: image files, or test samples of a dataset, with their names."""

from __future__ import annotations

import argparse
import dataclasses
import io
import sys
from pathlib import Path
from typing import Callable, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from common.core.command_line import number_in
from common.core.errors import UsageError, ZooError
from common.data.cifar10 import META_FILE, PUBLISHED_MD5, TEST_FILE, TRAIN_FILES
from common.data.image_files import images_below
from residual_attention_net.data.cifar10 import read_cifar10
from residual_attention_net.data.datasets import SourceOptions, load_dataset
from residual_attention_net.data.image_folder import read_image
from residual_attention_net.data.labelled_images import LabelledImages
from residual_attention_net.options import DATASETS, NEEDS_FILES

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
GENERATED_SAMPLES = 100


@dataclasses.dataclass(frozen=True, eq=False)
class Samples:
    """Images or volumes with a name each.

    Attributes:
        images: uint8, (N, H, W, C) or (N, D, H, W, C).
        names: N names: a file's path, or the place in a dataset.
        truths: N class numbers, None where the class is not known.
        resized: of the first file that had another size, its name with the size; else "".
    """

    images: np.ndarray
    names: Tuple[str, ...]
    truths: Tuple[Optional[int], ...]
    resized: str = ""

    def __len__(self) -> int:
        return len(self.names)


def add_image_flags(parser: argparse.ArgumentParser, count: int) -> None:
    """Adds --images, --dataset, --data_path and --count (default `count`)."""
    group = parser.add_argument_group("images")
    group.add_argument(
        "--images", nargs="+", metavar="PATH", help="PNG or JPEG files, or folders of them"
    )
    group.add_argument(
        "--dataset",
        choices=DATASETS,
        help="test images of this dataset; with --images, its class names only",
    )
    group.add_argument("--data_path", help="folder of the dataset, or one CIFAR-10 batch file")
    group.add_argument(
        "--count",
        type=number_in(int, 1),
        default=count,
        help="how many of the dataset, evenly spread over its test set",
    )


def check_image_flags(arguments: argparse.Namespace) -> None:
    """Raises UsageError, or ZooError for a missing --data_path, before anything is opened."""
    if not arguments.images and not arguments.dataset:
        raise UsageError("no images: give --images FILE_OR_FOLDER, or --dataset with --data_path")
    if not arguments.images and arguments.dataset in NEEDS_FILES and not arguments.data_path:
        raise ZooError(f"--data_path is missing: give the folder of {arguments.dataset}")


# --- files -----------------------------------------------------------------------------------


def image_paths(given: Sequence[str], complain: Callable[[str], None]) -> List[Path]:
    """The files among `given`, and the PNG and JPEG files below its folders, sorted in each.

    A folder that can't be read, or has no image, is told to `complain` in one line.
    """
    found: List[Path] = []
    for path in map(Path, given):
        if not path.is_dir():
            found.append(path)
            continue
        try:
            below = images_below(path, _note)
        except OSError as error:
            complain(f"{error.filename or path}: can't be read ({error.strerror})")
            continue
        if not below:
            complain(f"{path}: no PNG or JPEG files in it")
        found.extend(below)
    return found


def _note(line: str) -> None:
    print(f"note: {line}", file=sys.stderr, flush=True)


def read_in_batches(
    paths: Sequence[Path], size: int, batch_size: int, complain: Callable[[str], None]
) -> Iterator[Samples]:
    """Reads image files as (size, size, 3) in RGB, `batch_size` at a time.

    Shorter side to `size`, then the centre, as for training. An unreadable file is told to
    `complain` in one line and left out.
    """
    for first in range(0, len(paths), batch_size):
        batch = _read_readable(paths[first : first + batch_size], size, complain)
        if len(batch):
            yield batch


def _read_readable(paths: Sequence[Path], size: int, complain: Callable[[str], None]) -> Samples:
    images, names, resized = [], [], ""
    for path in paths:
        try:
            image, original = read_image_file(path, size)
        except ZooError as error:
            complain(str(error))
            continue
        images.append(image)
        names.append(str(path))
        if original != (size, size) and not resized:
            resized = "{} ({} x {})".format(path, *original)
    stacked = np.stack(images) if images else np.zeros((0, size, size, 3), np.uint8)
    return Samples(stacked, tuple(names), (None,) * len(names), resized)


def read_image_file(path: Path, size: int) -> Tuple[np.ndarray, Tuple[int, int]]:
    """One PNG or JPEG of any mode as uint8 (size, size, 3), and its own (width, height).

    Raises:
        ZooError: missing, unreadable or damaged; or Pillow is not installed.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ZooError(f"{path}: can't be read ({error.strerror or error})") from None
    return read_image(content, str(path), size), _size(content)


def _size(content: bytes) -> Tuple[int, int]:
    """(width, height); (0, 0) where the content is no image."""
    try:
        from PIL import Image

        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as opened:
            return opened.size
    except Exception:
        return 0, 0


# --- datasets --------------------------------------------------------------------------------


def dataset_samples(
    name: str, data_path: Optional[str], count: int, size: int
) -> Tuple[Samples, Tuple[str, ...]]:
    """`count` samples, evenly spread over a dataset's test set, and the names of its classes.

    Args:
        data_path: its folder; for cifar10 also one of the batch files.
        size: pixels a side, for datasets that are generated or resized.

    Raises:
        UsageError: more asked for than there are.
        ZooError: data that is missing or damaged.
    """
    whole, origin = _test_images(name, data_path, size)
    if count > len(whole):
        raise UsageError(f"--count {count}: {origin} has {len(whole)} images; give at most as many")
    return spread_samples(whole, origin, count), whole.classes


def spread_samples(images: LabelledImages, origin: str, count: int) -> Samples:
    """So many of the images, or all, evenly spread, named by their origin and their place in it."""
    count = min(count, len(images))
    chosen = (np.arange(count, dtype=np.int64) * len(images)) // max(count, 1)
    names = tuple(f"{origin} {index}" for index in chosen)
    truths = tuple(int(label) for label in images.labels[chosen])
    return Samples(images.images[chosen], names, truths)


def _test_images(name: str, data_path: Optional[str], size: int) -> Tuple[LabelledImages, str]:
    if (
        name == "cifar10"
        and data_path
        and Path(data_path).is_file()
        and Path(data_path).name in TRAIN_FILES + (TEST_FILE,)
    ):
        return _one_batch_file(Path(data_path)), f"{name} {Path(data_path).name}"
    options = (
        SourceOptions()
        if name in ("cifar10", "digits")
        else SourceOptions(
            image_size=size, train_count=GENERATED_SAMPLES, test_count=GENERATED_SAMPLES
        )
    )
    return load_dataset(name, data_path, validation_count=0, options=options).test, name + " test"


def _one_batch_file(path: Path) -> LabelledImages:
    train = path.name if path.name in TRAIN_FILES else TRAIN_FILES[0]
    read = read_cifar10(
        path.parent, {name: PUBLISHED_MD5[name] for name in (META_FILE, TEST_FILE, train)}
    )
    return read.test if path.name == TEST_FILE else read.train


def class_names(dataset: str, data_path: Optional[str], size: int) -> Tuple[str, ...]:
    """The names of a dataset's classes; cifar10's are known without its files."""
    if dataset == "cifar10":
        return CIFAR10_CLASSES
    return dataset_samples(dataset, data_path, 1, size)[1]
