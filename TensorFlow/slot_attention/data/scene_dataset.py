"""A dataset of scenes as training and evaluation see it: splits, counts, predicate, checksum."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple, Union

import numpy as np

from common.core.errors import UsageError
from slot_attention.data.encoded_images import EncodedImages
from slot_attention.data.geometry import Geometry, Size, crop_box
from slot_attention.data.layouts import Layout


@dataclass(frozen=True, eq=False)
class RecordSplit:
    """Some records of a GZIP record file.

    Attributes:
        path: the file.
        layout: of its records.
        numbers: int64, ascending: which records, counted from 0.
    """

    path: Path
    layout: Layout
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)


Split = Union[RecordSplit, EncodedImages]


@dataclass(frozen=True, eq=False)
class SceneDataset:
    """A dataset, opened.

    Attributes:
        name: one of datasets.DATASET_NAMES.
        image_size: (height, width) of the images in the files.
        channels: 1 or 3, in the files; batches always have 3.
        entities: masks per scene, the background's included; None without masks.
        background_entities: how many of the first entities are background.
        most_objects: objects in the fullest scene that passes the filter or that the format allows.
        has_targets: whether there are targets of set prediction.
        splits: where the scenes of each split lie.
        predicate: what is in each split, in words.
        manifest_sha256: which files it was: names, sizes, and of each the first and last MiB.
        default_crop: the crop that the published figures were made with.
        cache_path: where stores and counts are kept.
    """

    name: str
    image_size: Size
    channels: int
    entities: Optional[int]
    background_entities: int
    most_objects: int
    has_targets: bool
    splits: Mapping[str, Split]
    predicate: str
    manifest_sha256: str
    default_crop: str
    cache_path: Path

    @property
    def has_masks(self) -> bool:
        """Whether the scenes have masks, so that segmentations can be measured."""
        return self.entities is not None

    @property
    def counts(self) -> Dict[str, int]:
        """The number of scenes of each split."""
        return {name: len(split) for name, split in self.splits.items()}

    def split(self, name: str) -> Split:
        """Returns a split.

        Raises:
            UsageError: the dataset has no such split.
        """
        if name not in self.splits:
            raise UsageError(
                "{} has no split {!r}: use one of {}".format(
                    self.name, name, ", ".join(self.splits)
                )
            )
        return self.splits[name]

    def geometry(
        self,
        resolution: Optional[Size] = None,
        crop: Optional[str] = None,
        resize: str = "tf2",
        storage: str = "exact",
    ) -> Geometry:
        """Returns how images get to the network's size; see Geometry.

        Args:
            resolution: (height, width); that of the crop when None.
            crop: one of geometry.CROP_NAMES; the dataset's default when None.
        """
        crop = self.default_crop if crop is None else crop
        box = crop_box(crop, self.image_size)
        chosen: Tuple[int, int] = (box.height, box.width) if resolution is None else resolution
        return Geometry(self.image_size, crop, chosen, resize, storage)
