"""How each kind of multi_object_datasets record is laid out; sizes may differ from the published.

Source: github.com/deepmind/multi_object_datasets, the reader of each dataset.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Tuple

from slot_attention.data.geometry import Size


@dataclass(frozen=True)
class Layout:
    """One record: an image, a mask per entity, and properties per entity.

    Attributes:
        format: whose layout it is: "multi_dsprites", "clevr_with_masks", ….
        size: (height, width) of image and masks.
        channels: 1 or 3.
        entities: N, with the background.
        background_entities: how many of the first entities are background.
        masks_last: masks lie as (height, width, N, 1) and not as (N, height, width, 1).
        floats: names of float32 features of (N,) or (N, width), each with its width.
        letters: names of features of (N,) single bytes.
    """

    format: str
    size: Size
    channels: int
    entities: int
    background_entities: int = 1
    masks_last: bool = False
    floats: Tuple[Tuple[str, int], ...] = ()
    letters: Tuple[str, ...] = ()

    @property
    def has_visibility(self) -> bool:
        """Whether records say which of the N entities are in the scene."""
        return "visibility" in dict(self.floats)

    @property
    def has_targets(self) -> bool:
        """Whether records have the properties that set prediction learns."""
        return bool(self.letters)

    def resized(self, size: Size, entities: int) -> Layout:
        """The same layout with images and entities as dataset.json says."""
        return replace(self, size=size, entities=entities)


def _sprites(entities: int, channels: int) -> Layout:
    floats = tuple(
        (name, 1) for name in ("x", "y", "shape", "visibility", "orientation", "scale")
    ) + (("color", channels),)
    return Layout("multi_dsprites", (64, 64), channels, entities, masks_last=True, floats=floats)


MULTI_DSPRITES = {
    "binarized": _sprites(4, 1),
    "colored_on_grayscale": _sprites(6, 3),
    "colored_on_colored": _sprites(5, 3),
}
TETROMINOES = Layout(
    "tetrominoes",
    (35, 35),
    3,
    4,
    floats=(("x", 1), ("y", 1), ("shape", 1), ("visibility", 1), ("color", 3)),
)
CLEVR_WITH_MASKS = Layout(
    "clevr_with_masks",
    (240, 320),
    3,
    11,
    floats=(("x", 1), ("y", 1), ("z", 1), ("rotation", 1), ("visibility", 1), ("pixel_coords", 3)),
    letters=("size", "material", "shape", "color"),
)
OBJECTS_ROOM = {
    "train": Layout("objects_room", (64, 64), 3, 7, background_entities=4),
    "six_objects": Layout("objects_room", (64, 64), 3, 10, background_entities=4),
    "identical_color": Layout("objects_room", (64, 64), 3, 10, background_entities=4),
    "empty_room": Layout("objects_room", (64, 64), 3, 4, background_entities=4),
}
