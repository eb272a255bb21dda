"""What scenes and datasets of them are: arrays, targets of set prediction, facts; numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Iterator, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from common.core.errors import UsageError
from slot_attention.data.geometry import Geometry, Size, crop_box

TARGET_COUNT = 10
# Names in the order of the numbers, as tensorflow-datasets has them.
PROPERTIES: Dict[str, Tuple[str, ...]] = {
    "size": ("small", "large"),
    "material": ("rubber", "metal"),
    "shape": ("cube", "sphere", "cylinder"),
    "color": ("gray", "blue", "brown", "yellow", "red", "green", "purple", "cyan"),
}
# The columns of a target or a prediction: each property one-hot, between coordinates and REAL.
COORDINATES, SCENE_SIZE = slice(0, 3), 6  # a coordinate of 0..1 stands for -3..3
COLUMNS = {
    "size": slice(3, 5),
    "material": slice(5, 7),
    "shape": slice(7, 10),
    "color": slice(10, 18),
}
REAL = 18  # whether there is an object; of a prediction its confidence


def encode_targets(coordinates: np.ndarray, codes: Mapping[str, np.ndarray]) -> np.ndarray:
    """The float32 (10, 19) target of a scene; rows beyond its objects are zero.

    Source: google-research slot_attention/data.py, the paper's section 4.2.

    Args:
        coordinates: (objects, 3) in [-3, 3]; at most 10 objects, else ValueError.
        codes: for each property whole numbers (objects,), places in PROPERTIES.
    """
    count = len(codes["size"])
    if count > TARGET_COUNT:
        raise ValueError(f"{count} objects in a scene, {TARGET_COUNT} at most")
    rows = np.zeros((TARGET_COUNT, REAL + 1), np.float32)
    places = np.asarray(coordinates, np.float32).reshape(count, 3)
    rows[:count, COORDINATES] = (places + np.float32(3)) / np.float32(6)
    for name, names in PROPERTIES.items():
        values = np.asarray(codes[name], np.int64)
        if count and not 0 <= values.min() <= values.max() < len(names):
            raise ValueError("an object of no known kind")
        rows[np.arange(count), COLUMNS[name].start + values] = 1
    rows[:count, REAL] = 1
    return rows


class Scene(NamedTuple):
    """A scene as it is stored.

    image: uint8 (height, width, 1 or 3). labels: uint8 (height, width), the entity each pixel
    belongs to, or None. target: float32 (10, 19), or None. objects: how many there are.
    """

    image: np.ndarray
    labels: Optional[np.ndarray] = None
    target: Optional[np.ndarray] = None
    objects: int = 0


class Split(NamedTuple):
    """The scenes of a split as arrays whose first axis counts them; what there is not is None."""

    images: np.ndarray
    labels: Optional[np.ndarray]
    targets: Optional[np.ndarray]
    objects: np.ndarray


@dataclass(frozen=True)
class SceneFacts:
    """What is known of a dataset before its scenes are prepared.

    Attributes:
        name: one of datasets.DATASET_NAMES.
        image_size: (height, width) of the images in the files.
        channels: 1 or 3, in the files; batches always have 3.
        entities: masks per scene, the background's included; None without masks.
        background_entities: how many of the first entities are background.
        most_objects: of any scene; None where only the prepared scenes tell.
        has_targets: whether there are targets of set prediction.
        predicate: what is in each split, in words.
        manifest_sha256: which files it was.
        default_crop: the crop that the published figures were made with.
    """

    name: str
    image_size: Size
    channels: int
    entities: Optional[int]
    background_entities: int
    most_objects: Optional[int]
    has_targets: bool
    predicate: str
    manifest_sha256: str
    default_crop: str = "none"

    @property
    def has_masks(self) -> bool:
        """Whether the scenes have masks, so that segmentations can be measured."""
        return self.entities is not None

    def geometry(
        self, resolution: Optional[Size] = None, crop: Optional[str] = None, resize: str = "tf2"
    ) -> Geometry:
        """How images get to the network's size; by default the dataset's crop, not resized."""
        crop = self.default_crop if crop is None else crop
        box = crop_box(crop, self.image_size)
        return Geometry(self.image_size, crop, resolution or (box.height, box.width), resize)


@dataclass(frozen=True)
class SceneDataset:
    """A dataset whose scenes are prepared: facts and arrays."""

    facts: SceneFacts
    geometry: Geometry
    splits: Mapping[str, Split]

    @property
    def counts(self) -> Dict[str, int]:
        """The number of scenes of each split."""
        return {name: len(split.images) for name, split in self.splits.items()}

    @property
    def most_objects(self) -> int:
        """Objects in the fullest scene there may be."""
        if self.facts.most_objects is not None:
            return self.facts.most_objects
        return max(int(split.objects.max()) for split in self.splits.values())

    def split(self, name: str) -> Split:
        """A split; UsageError where there is no such."""
        if name not in self.splits:
            raise UsageError(
                f"{self.facts.name} has no split {name!r}: use one of {', '.join(self.splits)}"
            )
        return self.splits[name]


Scenes = Iterator[Tuple[str, Scene]]  # each with its split


@dataclass(frozen=True)
class SceneSource:
    """Where scenes come from, to be prepared.

    Attributes:
        facts: what is known already.
        counts: of each split about how many scenes will be read; none may be left empty.
        files: whose name, size and time decide whether an earlier preparation still holds.
        folder: of the data; the prepared arrays go below it.
        read: from geometry, worker processes and the splits that are wanted to the scenes.
        prepared: arrays that can be used as they are where the geometry leaves them alone.
    """

    facts: SceneFacts
    counts: Mapping[str, int]
    files: Sequence[Path]
    folder: Path
    read: Callable[[Geometry, int, Sequence[str]], Scenes]
    prepared: Optional[SceneDataset] = None
