"""The samples to look at: image files, or test samples of a dataset, and the flags that say so."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

import numpy as np

from common.core.errors import UsageError, ZooError
from common.core.flags import Flags, path, unrecorded, whole
from common.core.flags import count as counted
from common.data import dataset_name, readable_name
from common.data.image_files import KINDS, images_below, read_image
from common.data.labelled_images import LabelledImages
from common.machine.devices import REQUESTS
from residual_attention_net.data.datasets import load_dataset
from residual_attention_net.network.networks import DEFAULT_NETWORK, NETWORKS
from residual_attention_net.options import DATASETS, NEEDS_FILES

_CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
CIFAR10_CLASSES = tuple(_CIFAR10.split())
GENERATED_SAMPLES = 100
UNKNOWN = -1  # the label of an image whose class is not known


@dataclasses.dataclass(frozen=True)
class WeightFlags(Flags):
    """The weights of a program that shows or exports a network."""

    pth_path: Optional[str] = unrecorded(
        "weights: a checkpoint, or a state_dict as published",
        kind=path,
        names=("--checkpoint",),
        group="weights",
    )
    network: Optional[str] = unrecorded(
        f"what a state_dict is of, one of {', '.join(NETWORKS)} (default: {DEFAULT_NETWORK}); "
        "a checkpoint knows",
        choices=list(NETWORKS),
        metavar="NAME",
    )

    def check_weights(self) -> None:
        """Raises UsageError where none are named."""
        if self.pth_path is None:
            raise UsageError("--pth_path is missing: give a checkpoint or a state_dict")


@dataclasses.dataclass(frozen=True)
class SampleFlags(WeightFlags):
    """And the images that it is shown, and the device."""

    images: Optional[Sequence[str]] = unrecorded(
        f"{KINDS} files, or folders of them", nargs="+", metavar="PATH", group="images"
    )
    dataset: Optional[str] = unrecorded(
        "test images of this dataset; with --images, its class names only",
        kind=dataset_name,
        choices=DATASETS,
    )
    data_path: Optional[str] = unrecorded("folder of the dataset", kind=path)
    count: int = unrecorded(
        "how many of the dataset, evenly spread over its test set", 10, kind=counted
    )
    device_type: str = unrecorded(
        "what to compute on",
        "auto",
        choices=REQUESTS,
        names=("--device",),
        group="device",
    )
    device_id: int = unrecorded("which one", 0, kind=whole)
    precision_mode: Optional[str] = unrecorded("see docs/precision.md (default: by device)")
    batch_size: int = unrecorded("images at a time", 64, kind=counted)

    def check(self) -> None:
        """Raises UsageError, or ZooError for a missing --data_path, before anything is opened."""
        self.check_weights()
        if not self.images and not self.dataset:
            raise UsageError(
                "no images: give --images FILE_OR_FOLDER, or --dataset with --data_path"
            )
        if not self.images and self.dataset in NEEDS_FILES and not self.data_path:
            raise ZooError(f"--data_path is missing: give the folder of {self.dataset}")


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


def image_paths(given: Sequence[str], complaints: Complaints) -> List[Path]:
    """The files among `given`, and the image files below its folders, sorted in each.

    What is left out of a folder is noted; one that can't be read, or has no image, is told.
    """
    paths: List[Path] = []
    for one in map(Path, given):
        if not one.is_dir():
            paths.append(one)
            continue
        try:
            found = images_below(one)
        except OSError as error:
            name = readable_name(Path(error.filename or one))
            complaints.add(f"{name}: can't be read ({error.strerror})")
            continue
        for notice in found.notices():
            note(notice)
        if not found.files:
            complaints.add(f"{readable_name(one)}: no {KINDS} files in it")
        paths += found.files
    return paths


def read_in_batches(
    paths: Sequence[Path], size: int, batch_size: int, complaints: Complaints
) -> Iterator[LabelledImages]:
    """Reads image files as (size, size, 3) in RGB, `batch_size` at a time.

    Shorter side to `size`, then the centre, as for training. An unreadable file is told and left
    out.
    """
    for first in range(0, len(paths), batch_size):
        images, names = [], []
        for one in paths[first : first + batch_size]:
            try:
                images.append(read_image(one, (size, size), channels=3))
                names.append(readable_name(one))
            except ZooError as error:
                complaints.add(str(error))
        if images:
            labels = np.full(len(names), UNKNOWN)
            yield LabelledImages(np.stack(images), labels, names=np.array(names))


# --- datasets --------------------------------------------------------------------------------


def dataset_samples(name: str, data_path: Optional[str], count: int, size: int) -> LabelledImages:
    """`count` images, evenly spread over a dataset's test set.

    Args:
        data_path: its folder.
        size: pixels a side, for datasets that are generated or resized.

    Raises:
        UsageError: more asked for than there are.
        ZooError: data that is missing or damaged.
    """
    generated = (GENERATED_SAMPLES, GENERATED_SAMPLES)
    whole = load_dataset(name, data_path, size, validation_count=0, generated=generated).test
    if count > len(whole):
        raise UsageError(
            f"--count {count}: {name} test has {len(whole)} images; give at most as many"
        )
    return spread_samples(whole, name + " test", count)


def spread_samples(images: LabelledImages, origin: str, count: int) -> LabelledImages:
    """So many of the images, or all, evenly spread; named by their files, or origin and row."""
    count = min(count, len(images))
    chosen = (np.arange(count, dtype=np.int64) * len(images)) // max(count, 1)
    return images.named(origin).take(chosen)


def class_names(
    dataset: Optional[str], data_path: Optional[str], size: int
) -> Optional[Tuple[str, ...]]:
    """The names of a dataset's classes; None where its files are not known to be anywhere."""
    if dataset is None or dataset == "cifar10":
        return CIFAR10_CLASSES if dataset else None
    if dataset in NEEDS_FILES and not data_path:
        return None
    return dataset_samples(dataset, data_path, 1, size).classes


def class_name(classes: Sequence[str], number: int) -> str:
    """A class's name, or its number where it has none."""
    return classes[number] if number < len(classes) else str(number)
