"""The datasets of records: what scenes of each look like as features of multi_object_datasets."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Type

import numpy as np

from slot_attention.synthetic.example_encoding import encode_examples, frame_records
from slot_attention.synthetic.gzip_pieces import Piece, compress_piece
from slot_attention.synthetic.scene_layout import COLORS, MATERIALS, SHAPES, SIZES, SceneSettings
from slot_attention.synthetic.scenes import Scene, draw_scene
from slot_attention.synthetic.sprites import SpriteScene, SpriteSettings, draw_sprite_scene

SPRITES, SCENES = "synthetic_sprites", "synthetic_scenes"
_PIECE_BYTES = 8 << 20
_MOST_PER_PIECE = 256
Features = Dict[str, np.ndarray]


class RecordKind(NamedTuple):
    """A dataset of records.

    format: the published layout; draw(seed, split, index, settings) draws a scene; features makes
    the arrays (B, …) of scenes; noun: what is counted in its predicate.
    """

    format: str
    settings: Type[Any]
    draw: Callable[..., Any]
    features: Callable[[Sequence[Any]], Features]
    noun: str


class RecordJob(NamedTuple):
    """Scenes start to start + count - 1 of a split."""

    name: str
    settings: Any
    seed: int
    split: str
    start: int
    count: int


def make_piece(job: RecordJob) -> Piece:
    """Draws, encodes, frames and compresses the scenes of a job."""
    kind = KINDS[job.name]
    scenes = [
        kind.draw(job.seed, job.split, job.start + number, job.settings)
        for number in range(job.count)
    ]
    return compress_piece(frame_records(encode_examples(kind.features(scenes))))


def jobs_of(name: str, settings: Any, seed: int, split: str, count: int) -> List[RecordJob]:
    """Divides a split into jobs, in order; the division depends on the settings alone."""
    height, width = settings.image_size
    share = _PIECE_BYTES // (3 * height * width * (3 + settings.entities))
    size = max(1, min(_MOST_PER_PIECE, share))
    return [
        RecordJob(name, settings, seed, split, start, min(size, count - start))
        for start in range(0, count, size)
    ]


def sprite_features(scenes: Sequence[SpriteScene]) -> Features:
    """Multi-dSprites: masks (B, H, W, N, 1) and properties (B, N) as float32."""
    features = {
        name: np.stack([getattr(scene, name) for scene in scenes])
        for name in ("image", "x", "y", "shape", "visibility", "orientation", "scale", "color")
    }
    masks = np.stack([scene.masks for scene in scenes])
    features["mask"] = np.moveaxis(_bytes_of(masks), 1, 3)[..., None]
    return features


def scene_features(scenes: Sequence[Scene]) -> Features:
    """CLEVR-with-masks: masks (B, N, H, W, 1), numbers as float32, properties as codes from 1."""
    entities = len(scenes[0].masks)
    features = {
        "image": np.stack([scene.image for scene in scenes]),
        "mask": _bytes_of(np.stack([scene.masks for scene in scenes]))[..., None],
    }
    for name in ("x", "y", "z", "rotation"):
        features[name] = _padded(
            [[getattr(thing, name) for thing in scene.objects] for scene in scenes], entities
        )
    features["pixel_coords"] = _padded([scene.pixel_coords for scene in scenes], entities)
    features["visibility"] = _padded([[1.0] * len(scene.objects) for scene in scenes], entities)
    features["visibility"][:, 0] = 1
    for name, codes in CODES.items():
        features[name] = _padded(
            [[codes[getattr(thing, name)] for thing in scene.objects] for scene in scenes], entities
        ).astype(np.uint8)
    return features


def _bytes_of(masks: np.ndarray) -> np.ndarray:
    return masks.astype(np.uint8) * np.uint8(255)


def _padded(rows: Sequence[Sequence[Any]], entities: int) -> np.ndarray:
    """Values of objects behind a zero for the background, float32 (B, N) or (B, N, 3)."""
    table = np.zeros((len(rows), entities) + np.shape(rows[0][0]), np.float32)
    for number, row in enumerate(rows):
        table[number, 1 : len(row) + 1] = row
    return table


def _from_one(names: Sequence[str]) -> Dict[str, int]:
    return {name: code for code, name in enumerate(names, start=1)}


CODES: Dict[str, Dict[str, int]] = {
    "size": _from_one(tuple(SIZES)),
    "material": _from_one(MATERIALS),
    "shape": _from_one(SHAPES),
    "color": _from_one(tuple(COLORS)),
}
KINDS: Dict[str, RecordKind] = {
    SPRITES: RecordKind(
        "multi_dsprites", SpriteSettings, draw_sprite_scene, sprite_features, "sprites"
    ),
    SCENES: RecordKind("clevr_with_masks", SceneSettings, draw_scene, scene_features, "objects"),
}
