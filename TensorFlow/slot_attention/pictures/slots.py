"""What slots see: input, reconstruction, segmentation, every slot's part, its attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, List, Optional, Sequence, Tuple

import numpy as np

from common.evidence.figures.colors import PAPER, palette_color
from common.evidence.figures.sheet import Column, Tile, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUND = (225, 225, 225)  # behind a slot's part: neither of black nor of white objects


@dataclass(frozen=True)
class SlotView:
    """What the autoencoder made of some images, as arrays.

    images, combined: (B, height, width, 3) in [-1, 1]. reconstructions: (B, K, height, width, 3)
    in [-1, 1]. masks: (B, K, height, width, 1), sum 1 over the slots. attention: of each
    iteration (B, N, K), N the cells of the encoder's grid row by row, sum 1 over the slots; may be
    empty. true_masks: (B, entities, height, width), 0 and 1 or bool, or None. background: how many
    of the entities, the first ones, are no objects.
    """

    images: np.ndarray
    combined: np.ndarray
    reconstructions: np.ndarray
    masks: np.ndarray
    attention: Sequence[np.ndarray] = ()
    true_masks: Optional[np.ndarray] = None
    background: int = 0


def slot_figure(view: SlotView) -> Figure:
    """Draws a row per image, and below it a row per iteration of the attention.

    Columns: input, reconstruction, true masks where there are any, the segmentation (each pixel in
    the colour of the slot with its largest mask), and every slot's part. In rows of attention the
    segmentation is that of the attention alone, and a slot shows its attention from white (0) to
    its own colour (1). True masks have the colours of the slots that are matched to them.
    """
    rows: List[List[Optional[Tile]]] = []
    titles: List[str] = []
    for number in range(len(view.images)):
        rows.append([Tile(tile) for tile in image_row(view, number)])
        titles.append(f"image {number + 1}")
        for iteration, attention in enumerate(view.attention, start=1):
            tiles = attention_row(attention[number], view.images.shape[1:3])
            rows.append([None] * (len(rows[-1]) - len(tiles)) + [Tile(tile) for tile in tiles])
            titles.append(f"attention,\niteration {iteration}")
    names = ["input", "reconstruction", "true masks", "segmentation"]
    if view.true_masks is None:
        names.remove("true masks")
    slots = range(view.masks.shape[1])
    columns = [Column(name) for name in names]
    columns += [Column(f"slot {slot + 1}", palette_color(slot)) for slot in slots]
    return sheet(rows, columns, titles, block=1 + len(view.attention) if view.attention else 0)


def image_row(view: SlotView, number: int) -> List[np.ndarray]:
    """The tiles of one image, uint8 (height, width, 3) each.

    A slot's part is as opaque as its mask is above all others: what slots share belongs to none.
    """
    masks = view.masks[number][..., 0]
    tiles = [as_pixels(view.images[number]), as_pixels(view.combined[number])]
    if view.true_masks is not None:
        tiles.append(true_segmentation(view.true_masks[number], masks, view.background))
    ordered = np.sort(np.concatenate([np.zeros_like(masks[:1]), masks]), axis=0)
    others = np.where(masks == ordered[-1], ordered[-2], ordered[-1])
    parts = _mixed(GROUND, as_pixels(view.reconstructions[number]), (masks - others)[..., None])
    return [*tiles, segmentation(masks), *parts]


def attention_row(attention: np.ndarray, size: Tuple[int, int]) -> List[np.ndarray]:
    """The tiles of one iteration's attention (N, K) over an image of a size (height, width)."""
    shares = _on_image(attention, size)
    return [segmentation(shares)] + [
        _mixed(PAPER, palette_color(slot), share[..., None]) for slot, share in enumerate(shares)
    ]


def as_pixels(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] as uint8; what lies outside, as reconstructions may, is clipped."""
    return np.rint(np.clip(np.nan_to_num(images) + 1.0, 0, 2) * 127.5).astype(np.uint8)


def segmentation(masks: np.ndarray) -> np.ndarray:
    """Colours every pixel by the slot with its largest mask: (K, h, w) to uint8 (h, w, 3)."""
    return _slot_colors(range(len(masks)))[masks.argmax(0)]


def _slot_colors(slots: Sequence[int]) -> np.ndarray:
    """The colours of some slots, uint8 (slots, 3)."""
    return np.array([palette_color(slot) for slot in slots], np.uint8)


def _mixed(ground: Sequence[int], color: Any, share: np.ndarray) -> np.ndarray:
    """So much of a colour on a ground, as uint8."""
    paper = np.asarray(ground, np.float32)
    return np.rint(paper + np.clip(share, 0, 1) * (np.asarray(color) - paper)).astype(np.uint8)


def _on_image(attention: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """Spreads attention on the encoder's grid over the image: (N, K) to (K, height, width).

    Each pixel takes the value of its cell. The grid has the image's proportions.
    """
    cells, slots = attention.shape
    rows = int(round(np.sqrt(cells * size[0] / size[1])))
    down, across = (
        np.arange(pixels) * count // pixels for pixels, count in zip(size, (rows, cells // rows))
    )
    return attention.T.reshape(slots, rows, cells // rows)[:, down[:, None], across]


def true_segmentation(true_masks: np.ndarray, masks: np.ndarray, background: int) -> np.ndarray:
    """Colours true masks (N, h, w) like the slots (K, h, w) they are matched to; none is white."""
    entities = true_masks.astype(bool)
    chosen = matched_slots(entities, masks, background)
    colors = np.concatenate([_slot_colors(chosen), np.array([PAPER], np.uint8)])
    return colors[np.where(entities.any(axis=0), entities.argmax(axis=0), len(entities))]


def matched_slots(entities: np.ndarray, masks: np.ndarray, background: int) -> List[int]:
    """A slot's number for each entity (N, h, w): those that hold most of the objects' pixels.

    The assignment (Hungarian) gives each slot once; objects come before the background, and what
    has no slot left gets a number beyond them.
    """
    from scipy.optimize import linear_sum_assignment

    owned = np.eye(len(masks))[masks.argmax(0)]  # (h, w, K)
    overlap = np.tensordot(entities.astype(np.float64), owned, 2)
    overlap /= np.maximum(entities.sum((1, 2)), 1)[:, None]
    overlap[:background] *= 1e-3  # decides between slots that no object needs
    chosen = dict(zip(*linear_sum_assignment(-overlap)))
    beyond = iter(range(len(masks), len(masks) + len(entities)))
    return [
        int(chosen[number] if number in chosen else next(beyond)) for number in range(len(entities))
    ]
