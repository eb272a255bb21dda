"""Set prediction drawn over the images: predicted objects as markers, true ones as outlines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from common.evidence.figures.colors import INK, PAPER, web_color
from common.evidence.figures.figure import DPI, pixel_figure
from common.evidence.figures.sheet import GAP, MARGIN, TEXT_SIZE, blank, text_size, write
from slot_attention.data.scenes import COLORS, MATERIALS, SHAPES, SIZES
from slot_attention.metrics.average_precision import (
    COLOR,
    CONFIDENCE,
    COORDINATES,
    MATERIAL,
    SCENE_SIZE,
    SHAPE,
    SIZE,
    nearest_equal_objects,
)
from slot_attention.pictures.slots import as_pixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 480, 320  # as drawn; set prediction sees CLEVR's 480x320 squeezed to a square
COLUMNS = 2
LEGEND = 84  # pixels
LEAST_CONFIDENCE = 0.5
SMALL = 11  # pixels of a confidence's letters
RADIUS = {"small": 7, "large": 11}  # pixels
OUTLINE = 5  # how far outside its marker a true object's outline is
WRONG = (214, 39, 40)
MARKER_COLORS = {
    "gray": "#808080",
    "blue": "#2a4bd7",
    "brown": "#814a19",
    "yellow": "#ffee33",
    "red": "#d61e1e",
    "green": "#1d8c1e",
    "purple": "#9632c8",
    "cyan": "#29d0d0",
}
# Fitted (direct linear transform) to 71 objects of ten images by CLEVR's own generator. The
# generator moves the camera a little in every image, which the records don't tell: the fit is off
# by 0.6 % of the image's width and height on average, and by at most 3.3 %.
# From homogeneous coordinates in the scene to those in the image.
CLEVR_CAMERA = np.array(
    [
        [0.03604, 0.09993, -0.02812, 0.50234],
        [0.01762, -0.01376, -0.13429, 0.49798],
        [-0.05567, 0.05487, -0.04892, 1.0],
    ]
)
Box = Tuple[float, float, float, float]  # left, top, right, bottom


class Marker(NamedTuple):
    """An object to draw: its place in fractions of the image, and what it is."""

    x: float
    y: float
    size: str
    material: str
    shape: str
    color: str
    confidence: float


def set_figure(
    images: np.ndarray,
    predictions: np.ndarray,
    targets: Optional[np.ndarray] = None,
) -> Figure:
    """Draws predicted objects over their images, with a legend; the axes are in pixels.

    A marker's form, colour, size and filling tell shape, colour, size and material; its number is
    the confidence. Predictions under LEAST_CONFIDENCE are left out. With targets, true objects are
    outlines, a line joins a prediction to the nearest true object with the same four attributes,
    and a prediction without such an object has its confidence on red, with an exclamation mark.

    Args:
        images: (B, height, width, 3) in [-1, 1], the whole image squeezed.
        predictions: (B, predicted objects, 19); targets: (B, objects, 19).
    """
    columns = min(COLUMNS, len(images))
    rows = -(-len(images) // columns)
    figure, axes = pixel_figure(
        blank(
            rows * (HEIGHT + GAP) + 2 * MARGIN + LEGEND, columns * (WIDTH + GAP) - GAP + 2 * MARGIN
        )
    )
    for number, image in enumerate(images):
        left = MARGIN + number % columns * (WIDTH + GAP)
        top = MARGIN + number // columns * (HEIGHT + GAP)
        axes.imshow(
            as_pixels(image),
            extent=(left, left + WIDTH, top + HEIGHT, top),
            interpolation="bilinear",
            aspect="auto",
        )
        true = None if targets is None else targets[number]
        _draw_objects(axes, (left, top), predictions[number], true)
    _write_legend(figure, targets is not None)
    return figure


def seen_at(places: np.ndarray) -> np.ndarray:
    """Projects places to fractions of the image's width and height, from its upper left corner.

    Args:
        places: (..., 3), coordinates in the scene, from -3 to 3.

    Returns:
        (..., 2): x to the right, y downwards; in 0 to 1 inside the image.
    """
    image = np.matmul(places, CLEVR_CAMERA[:, :3].T) + CLEVR_CAMERA[:, 3]
    return image[..., :2] / image[..., 2:]


def markers(objects: np.ndarray) -> List[Marker]:
    """Reads vectors (objects, 19) as markers."""
    places = seen_at(objects[:, COORDINATES] * SCENE_SIZE - SCENE_SIZE / 2)
    return [
        Marker(
            float(x),
            float(y),
            SIZES[element[SIZE].argmax()],
            MATERIALS[element[MATERIAL].argmax()],
            SHAPES[element[SHAPE].argmax()],
            COLORS[element[COLOR].argmax()],
            float(element[CONFIDENCE]),
        )
        for (x, y), element in zip(places, objects)
    ]


def _draw_objects(
    axes: Any,
    corner: Tuple[int, int],
    predictions: np.ndarray,
    targets: Optional[np.ndarray],
) -> None:
    """One image's objects; outside the image nothing is drawn but what its camera sees there."""

    def place(marker: Marker) -> Tuple[float, float]:
        return corner[0] + marker.x * WIDTH, corner[1] + marker.y * HEIGHT

    true, nearest = [], np.zeros(len(predictions), np.int64)
    if targets is not None:
        true = markers(targets)
        nearest = nearest_equal_objects(predictions[None], targets[None])[0][0]
    for marker in true:
        if marker.confidence:
            axes.scatter(*place(marker), **_style(marker, True))
    shown = [
        (marker, int(number))
        for marker, number in zip(markers(predictions), nearest)
        if marker.confidence >= LEAST_CONFIDENCE
    ]
    for marker, number in shown:
        if true and number >= 0:
            ends = list(zip(place(marker), place(true[number])))
            axes.plot(*ends, color=web_color(INK), linewidth=2.5)
            axes.plot(*ends, color=web_color(PAPER), linewidth=1)
        axes.scatter(*place(marker), zorder=3, **_style(marker))
        if marker.material == "metal":
            axes.scatter(*place(marker), 16, color=web_color(PAPER), zorder=4)
    limits = (corner[0], corner[1], corner[0] + WIDTH, corner[1] + HEIGHT)
    boxes = []
    for marker, _ in shown:
        (x, y), radius = place(marker), RADIUS[marker.size] + OUTLINE
        boxes.append((x - radius, y - radius, x + radius, y + radius))
    labels: List[Box] = []
    for (marker, number), box in zip(shown, boxes):
        text, ground = f"{marker.confidence:.2f}", INK
        if number < 0:
            text, ground = text + " !", WRONG
        labels.append(free_place(text_size(text, SMALL), box, boxes + labels, limits))
        written = write(axes, *labels[-1][:2], text, SMALL, PAPER)
        written.set_bbox({"facecolor": web_color(ground), "linewidth": 0, "pad": 1})
        written.set_zorder(5)


def free_place(size: Tuple[int, int], box: Box, taken: Sequence[Box], limits: Box) -> Box:
    """Where a text of a size goes beside a box: where it covers least of what is taken."""
    (wide, high), (left, top, right, bottom) = size, box
    middle, centre = (top + bottom - high) / 2, (left + right - wide) / 2
    corners = [(right + 3, middle), (left - wide - 3, middle), (centre, top - high - 3)]
    corners += [(centre, bottom + 3)]
    corners += [(x, y) for x in (right + 3, left - wide - 3) for y in (top - high, bottom)]
    places = [(x, y, x + wide, y + high) for x, y in corners]

    def covered(place: Box) -> float:
        inside = _shared(place, limits)
        return sum(_shared(place, other) for other in taken) + 2 * (wide * high - inside)

    return min(places, key=covered)


def _shared(one: Box, other: Box) -> float:
    """The area in pixels that two boxes share."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return max(across, 0) * max(down, 0)


def _style(marker: Marker, is_true: bool = False) -> Dict[str, Any]:
    """How an object is drawn: a true one as an outline, a predicted one filled with its colour."""
    from matplotlib.patches import FancyBboxPatch
    from matplotlib.patheffects import withStroke

    forms: Dict[str, Any] = {"sphere": "o", "cube": "s"}
    capsule = FancyBboxPatch((-0.55, -1), 1.1, 2, boxstyle="round,pad=0,rounding_size=0.55")
    stretch = {"cube": 0.89, "cylinder": 1.2}.get(marker.shape, 1)
    diameter = 2 * (RADIUS[marker.size] + OUTLINE * is_true) * stretch * 72 / DPI  # points
    return {
        "s": float(diameter**2),
        "marker": forms.get(marker.shape) or capsule.get_path(),
        "facecolor": "none" if is_true else MARKER_COLORS[marker.color],
        "edgecolor": web_color(PAPER),
        "linewidth": 1.4,
        "path_effects": [withStroke(linewidth=3.2, foreground=web_color(INK))],
    }


def _write_legend(figure: Figure, with_targets: bool) -> None:
    """What the forms, fillings and sizes mean."""
    axes = figure.axes[0]
    example = Marker(0, 0, "large", "rubber", "sphere", "gray", 1)
    entries = [(shape, _style(example._replace(shape=shape))) for shape in SHAPES]
    entries += [(size, _style(example._replace(size=size))) for size in SIZES]
    if with_targets:
        entries.append(("true object", _style(example, True)))
    handles = [axes.scatter([], [], label=name, **style) for name, style in entries]
    texts = ["white dot: metal", "number: confidence"]
    if with_targets:
        texts.append("red, !: no true object has these attributes")
    handles += [axes.scatter([], [], 0, label=text) for text in texts]
    figure.legend(
        handles=handles,
        loc="lower left",
        ncol=5,
        frameon=False,
        labelspacing=1.2,
        fontsize=TEXT_SIZE * 72 / DPI,
    )
