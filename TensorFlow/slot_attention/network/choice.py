"""Which network a run gets: by its flags, its dataset, or a checkpoint's description."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, Mapping, Optional, Tuple

from common.core.errors import ZooError
from slot_attention.network.architecture import (
    ARCHITECTURES,
    SET_STRIDES,
    Architecture,
    SlotSettings,
    architecture_of,
)
from slot_attention.options import DEFAULTS, OBJECT_DISCOVERY, SceneOptions

ITERATIONS = 3
SET_RESOLUTION = 128
_BY_DATASET = {  # by how its name begins
    "multi_dsprites": "multi_dsprites",
    "objects_room": "multi_dsprites",
    "tetrominoes": "tetrominoes",
    "synthetic_sprites": "small",
    "": "clevr",
}


@dataclasses.dataclass(frozen=True)
class NetworkChoice:
    """A network of one task: its module's settings, its sizes.

    architecture is None for set prediction, whose sizes depend on the resolution and the strides
    of its encoder alone.
    """

    slots: SlotSettings
    resolution: int
    architecture: Optional[Architecture]
    strides: Tuple[int, ...] = SET_STRIDES

    def described(self) -> Dict[str, Any]:
        """What a checkpoint says of the network it holds."""
        name = (
            "slot_attention_set_prediction"
            if self.architecture is None
            else "slot_attention_" + self.architecture.name
        )
        found = dict(dataclasses.asdict(self.slots), name=name, resolution=self.resolution)
        if self.strides != SET_STRIDES:
            found["strides"] = list(self.strides)
        return found


def chosen_network(
    options: SceneOptions,
    image_size: Optional[int] = None,
    known: Optional[Mapping[str, Any]] = None,
) -> NetworkChoice:
    """The network of a run.

    Args:
        image_size: of the dataset's square images, which the small architecture takes as they are.
        known: what a checkpoint says of its network; flags go before it.

    Raises:
        UsageError: an unknown architecture, or a resolution it can't have.
    """
    known = known or {}
    resolution = options.resolution or known.get("resolution")
    slots = _slot_settings(options, known)
    if options.task != OBJECT_DISCOVERY:
        strides = tuple(options.encoder_strides or known.get("strides") or SET_STRIDES)
        return NetworkChoice(slots, resolution or SET_RESOLUTION, None, strides)
    usual = [one for prefix, one in _BY_DATASET.items() if options.dataset.startswith(prefix)]
    stored = str(known.get("name", "")).replace("slot_attention_", "", 1)
    default = stored if stored in ARCHITECTURES else usual[0]
    name = options.architecture or default
    if resolution is None and name == "small":
        resolution = image_size
    architecture = architecture_of(name, resolution)
    return NetworkChoice(slots, architecture.resolution, architecture)


def _slot_settings(options: SceneOptions, known: Mapping[str, Any]) -> SlotSettings:
    settings = SlotSettings(
        count=options.num_slots or known.get("count") or DEFAULTS[options.task]["num_slots"],
        iterations=options.num_iterations or known.get("iterations") or ITERATIONS,
        initial=known.get("initial", options.initial_slots),
        implicit=options.implicit_differentiation,
    )
    if known.get("initial") == "learned" and settings.count != known.get("count"):
        raise ZooError(
            "--num_slots {} can't be had: this checkpoint has one learned vector for "
            "each of {} slots; leave --num_slots out".format(settings.count, known.get("count"))
        )
    return settings
