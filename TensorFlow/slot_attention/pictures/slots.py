"""What slots see: input, reconstruction, segmentation, every slot's part, its attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np

from common.evidence.figures.canvas import PALETTE, PAPER, enlarged, palette_color, whole_scale
from slot_attention.metrics.segmentation import one_hot
from slot_attention.pictures.grid import Column, grid
from slot_attention.pictures.pixels import as_pixels, to_bytes

Tile = Optional[np.ndarray]


@dataclass(frozen=True)
class SlotView:
    """What the autoencoder made of some images, as arrays.

    images, combined: (B, height, width, 3) in [-1, 1]. reconstructions: (B, K, height, width, 3)
    in [-1, 1]. masks: (B, K, height, width, 1), sum 1 over the slots. attention: of each
    iteration (B, N, K), N the cells of the encoder's grid row by row, sum 1 over the slots; may be
    empty. true_masks: (B, entities, height, width), 0 and 1 or bool, or None.
    """

    images: np.ndarray
    combined: np.ndarray
    reconstructions: np.ndarray
    masks: np.ndarray
    attention: Sequence[np.ndarray] = ()
    true_masks: Optional[np.ndarray] = None


def slot_picture(view: SlotView, captions: Optional[Sequence[str]] = None) -> np.ndarray:
    """Draws a row per image, and below it a row per iteration of the attention.

    Columns: input, reconstruction, true masks where there are any, the segmentation (each pixel in
    the colour of the slot with its largest mask), and for every slot its reconstruction times its
    mask on white. In rows of attention the segmentation is that of the attention alone, and a slot
    shows its attention from white (0) to its own colour (1). True masks have the colour of the
    slot that covers them best, so that a right segmentation looks the same.

    Args:
        captions: left of each image; default: image 1, image 2, …

    Returns:
        uint8, (picture's height, width, 3).
    """
    scale = whole_scale(view.images.shape[1])
    rows: List[List[Tile]] = []
    titles: List[str] = []
    for number in range(len(view.images)):
        rows.append(_image_row(view, number))
        titles.append(captions[number] if captions else f"image {number + 1}")
        for iteration, attention in enumerate(view.attention, start=1):
            rows.append(_attention_row(view, attention[number]))
            titles.append(f"attention,\niteration {iteration}")
    large = [[None if tile is None else enlarged(tile, scale) for tile in row] for row in rows]
    blocks = [1 + len(view.attention)] * len(view.images)
    if not view.attention:
        blocks = [len(view.images)]
    return grid(_columns(view), large, titles, blocks)


def _columns(view: SlotView) -> List[Column]:
    true = [] if view.true_masks is None else [Column("true masks")]
    slots = [Column(f"slot {slot + 1}", palette_color(slot)) for slot in range(view.masks.shape[1])]
    return [Column("input"), Column("reconstruction")] + true + [Column("segmentation")] + slots


def _image_row(view: SlotView, number: int) -> List[Tile]:
    masks = view.masks[number][..., 0]
    tiles: List[Tile] = [as_pixels(view.images[number]), as_pixels(view.combined[number])]
    if view.true_masks is not None:
        tiles.append(true_segmentation(view.true_masks[number], masks))
    tiles.append(segmentation(masks))
    shown = np.clip((view.reconstructions[number] + 1) / 2, 0, 1)
    parts = view.masks[number] * shown + (1 - view.masks[number])
    return tiles + list(to_bytes(parts))


def _attention_row(view: SlotView, attention: np.ndarray) -> List[Tile]:
    shares = on_image(attention, view.images.shape[1:3])
    before: List[Tile] = [None] * (2 if view.true_masks is None else 3)
    return (
        before + [segmentation(shares)] + [tinted(share, slot) for slot, share in enumerate(shares)]
    )


def segmentation(masks: np.ndarray) -> np.ndarray:
    """Colours every pixel by the slot with its largest mask: (K, h, w) to uint8 (h, w, 3)."""
    return np.array([palette_color(slot) for slot in range(len(masks))], np.uint8)[masks.argmax(0)]


def tinted(share: np.ndarray, slot: int) -> np.ndarray:
    """A share (h, w) in [0, 1] as uint8 (h, w, 3), from white (0) to the slot's colour (1)."""
    paper, color = np.array(PAPER), np.array(palette_color(slot))
    return to_bytes((paper + share[..., None] * (color - paper)) / 255)


def on_image(attention: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """Spreads attention on the encoder's grid over the image: (N, K) to (K, height, width).

    Each pixel takes the value of its cell. The grid has the image's proportions.
    """
    cells, slots = attention.shape
    rows = int(round(np.sqrt(cells * size[0] / size[1])))
    cell_of = [
        np.arange(pixels) * count // pixels for pixels, count in zip(size, (rows, cells // rows))
    ]
    on_grid = attention.T.reshape(slots, rows, cells // rows)
    return on_grid[:, cell_of[0][:, None], cell_of[1][None, :]]


def true_segmentation(true_masks: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Colours true masks (N, h, w) like the slots (K, h, w) that cover them; none is white."""
    entities = true_masks.astype(bool)
    chosen = matched_slots(entities, one_hot(masks[None])[0])
    colors = np.array([palette_color(slot) for slot in chosen] + [PAPER], np.uint8)
    entity = np.where(entities.any(axis=0), entities.argmax(axis=0), len(entities))
    return colors[entity]


def matched_slots(entities: np.ndarray, owned: np.ndarray) -> List[int]:
    """Gives each entity a slot's number, largest intersection over union first, each slot once.

    Entities that are left get numbers that no other has, beyond the slots if need be.

    Args:
        entities, owned: bool, (entities, h, w) and (slots, h, w).
    """
    flat = [masks.reshape(len(masks), -1).astype(np.float64) for masks in (entities, owned)]
    shared = flat[0] @ flat[1].T
    union = flat[0].sum(axis=1)[:, None] + flat[1].sum(axis=1) - shared
    overlap = shared / np.maximum(union, 1)
    chosen = [-1] * len(entities)
    for place in np.argsort(-overlap, axis=None, kind="stable"):
        entity, slot = (int(number) for number in np.unravel_index(place, overlap.shape))
        if overlap[entity, slot] > 0 and chosen[entity] < 0 and slot not in chosen:
            chosen[entity] = slot
    free = (number for number in range(len(entities) + len(PALETTE)) if number not in set(chosen))
    return [slot if slot >= 0 else next(free) for slot in chosen]
