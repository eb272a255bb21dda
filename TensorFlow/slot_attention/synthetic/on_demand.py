"""Synthetic data for a run that names no folder: made once, in the run's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, NamedTuple, Tuple

from common.core.terminal import Terminal
from slot_attention.synthetic.records import SCENES, SPRITES
from slot_attention.synthetic.scene_layout import SceneSettings
from slot_attention.synthetic.sprites import SpriteSettings
from slot_attention.synthetic.writer import SPLITS, Request, write_records


class _Small(NamedTuple):
    """A dataset that is made in seconds."""

    settings: Any
    counts: Tuple[int, int, int]


_SMALL: Dict[str, _Small] = {
    SPRITES: _Small(
        SpriteSettings(objects=(3, 3), overlap=False, scale=(0.25, 0.4)), (20000, 320, 320)
    ),
    SCENES: _Small(SceneSettings(image_size=(64, 64), objects=(2, 4)), (1024, 64, 64)),
}
ON_DEMAND = tuple(_SMALL)


def make_on_demand(name: str, folder: Path) -> Path:
    """Makes a small dataset below folder, or finds it made; returns the --data_path it is at."""
    wanted = _SMALL[name]
    write_records(
        folder,
        Request(
            name=name,
            settings=wanted.settings,
            seed=0,
            workers=1,
            counts=dict(zip(SPLITS, wanted.counts)),
        ),
        Terminal(),
    )
    return folder
