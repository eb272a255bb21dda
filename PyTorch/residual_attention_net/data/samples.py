"""The samples to look at: image files, or test samples of a dataset, with their names."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Callable, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from common.core.command_line import number_in
from common.core.errors import UsageError, ZooError
from common.data import dataset_name
from common.data.image_files import KINDS, images_below, read_image, readable_name
from common.data.labelled_images import LabelledImages
from residual_attention_net.data.datasets import SourceOptions, load_dataset
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
    """

    images: np.ndarray
    names: Tuple[str, ...]
    truths: Tuple[Optional[int], ...]

    def __len__(self) -> int:
        return len(self.names)


def add_image_flags(parser: argparse.ArgumentParser, count: int) -> None:
    """Adds --images, --dataset, --data_path and --count (default `count`)."""
    group = parser.add_argument_group("images")
    group.add_argument(
        "--images", nargs="+", metavar="PATH", help=f"{KINDS} files, or folders of them"
    )
    group.add_argument(
        "--dataset",
        type=dataset_name,
        choices=DATASETS,
        help="test images of this dataset; with --images, its class names only",
    )
    group.add_argument("--data_path", help="folder of the dataset")
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


def note(line: str) -> None:
    """Tells something beside the result, on standard error."""
    print("note: " + line, file=sys.stderr, flush=True)


class Complaints:
    """The files that can't be read: told as they come, kept for the exit code."""

    def __init__(self) -> None:
        self.lines: List[str] = []

    def add(self, line: str) -> None:
        """Tells one of them, in one line."""
        self.lines.append(" ".join(line.split()))
        sys.stdout.flush()
        print("error: " + self.lines[-1], file=sys.stderr, flush=True)


def image_paths(given: Sequence[str], complain: Callable[[str], None]) -> List[Path]:
    """The files among `given`, and the image files below its folders, sorted in each.

    What is left out of a folder is noted. A folder that can't be read, or has no image, is told
    to `complain` in one line.
    """
    paths: List[Path] = []
    for path in map(Path, given):
        if not path.is_dir():
            paths.append(path)
            continue
        try:
            found = images_below(path)
        except OSError as error:
            name = readable_name(Path(error.filename or path))
            complain(f"{name}: can't be read ({error.strerror})")
            continue
        for notice in found.notices():
            note(notice)
        if not found.files:
            complain(f"{readable_name(path)}: no {KINDS} files in it")
        paths += found.files
    return paths


def read_in_batches(
    paths: Sequence[Path], size: int, batch_size: int, complain: Callable[[str], None]
) -> Iterator[Samples]:
    """Reads image files as (size, size, 3) in RGB, `batch_size` at a time.

    Shorter side to `size`, then the centre, as for training. An unreadable file is told to
    `complain` in one line and left out.
    """
    for first in range(0, len(paths), batch_size):
        images, names = [], []
        for path in paths[first : first + batch_size]:
            try:
                images.append(read_image(path, (size, size), channels=3))
                names.append(readable_name(path))
            except ZooError as error:
                complain(str(error))
        if images:
            yield Samples(np.stack(images), tuple(names), (None,) * len(names))


# --- datasets --------------------------------------------------------------------------------


def dataset_samples(
    name: str, data_path: Optional[str], count: int, size: int
) -> Tuple[Samples, Tuple[str, ...]]:
    """`count` samples, evenly spread over a dataset's test set, and the names of its classes.

    Args:
        data_path: its folder.
        size: pixels a side, for datasets that are generated or resized.

    Raises:
        UsageError: more asked for than there are.
        ZooError: data that is missing or damaged.
    """
    options = SourceOptions(size, train_count=GENERATED_SAMPLES, test_count=GENERATED_SAMPLES)
    whole = load_dataset(name, data_path, validation_count=0, options=options).test
    if count > len(whole):
        raise UsageError(
            f"--count {count}: {name} test has {len(whole)} images; give at most as many"
        )
    return spread_samples(whole, name + " test", count), whole.classes


def spread_samples(images: LabelledImages, origin: str, count: int) -> Samples:
    """So many of the images, or all, evenly spread, named by their origin and their place in it."""
    count = min(count, len(images))
    chosen = (np.arange(count, dtype=np.int64) * len(images)) // max(count, 1)
    names = tuple(f"{origin} {index}" for index in chosen)
    truths = tuple(int(label) for label in images.labels[chosen])
    return Samples(images.images[chosen], names, truths)


def class_names(dataset: str, data_path: Optional[str], size: int) -> Tuple[str, ...]:
    """The names of a dataset's classes; cifar10's are known without its files."""
    if dataset == "cifar10":
        return CIFAR10_CLASSES
    return dataset_samples(dataset, data_path, 1, size)[1]


def class_name(classes: Sequence[str], number: int) -> str:
    """A class's name, or its number where it has none."""
    return classes[number] if number < len(classes) else str(number)
