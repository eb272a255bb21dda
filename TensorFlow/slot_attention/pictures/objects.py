"""Set prediction drawn over the images: predicted objects as markers, true ones as outlines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from common.evidence.figures.colors import INK, PAPER, web_color
from common.evidence.figures.figure import DPI, pixel_figure
from common.evidence.figures.sheet import GAP, MARGIN, TEXT_SIZE, blank, text_size, write
from slot_attention.data.scenes import COLUMNS, COORDINATES, PROPERTIES, REAL, SCENE_SIZE
from slot_attention.metrics.average_precision import nearest_equal_objects
from slot_attention.pictures.slots import as_pixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 480, 320  # as drawn; set prediction sees CLEVR's 480x320 squeezed to a square
COLUMNS_OF_IMAGES = 2
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
    """An object to draw: its place in pixels of the figure, and what it is."""

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
    columns = min(COLUMNS_OF_IMAGES, len(images))
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


def _markers(objects: np.ndarray, corner: Tuple[int, int]) -> List[Marker]:
    """Objects (N, 19) of the image at a corner."""
    places = seen_at(objects[:, COORDINATES] * SCENE_SIZE - SCENE_SIZE / 2) * (WIDTH, HEIGHT)
    return [
        Marker(
            *(place + corner),
            confidence=float(element[REAL]),
            **{name: PROPERTIES[name][element[at].argmax()] for name, at in COLUMNS.items()},
        )
        for place, element in zip(places, objects)
    ]


def _draw_objects(
    axes: Any,
    corner: Tuple[int, int],
    predictions: np.ndarray,
    targets: Optional[np.ndarray],
) -> None:
    """One image's objects; what its camera sees outside the image is drawn too."""
    true, nearest = [], np.zeros(len(predictions), np.int64)
    if targets is not None:
        true = _markers(targets, corner)
        nearest = nearest_equal_objects(predictions[None], targets[None])[0][0]
    for marker in true:
        if marker.confidence:
            axes.scatter(marker.x, marker.y, **_style(marker, True))
    shown, boxes = [], []
    for marker, number in zip(_markers(predictions, corner), nearest):
        if marker.confidence < LEAST_CONFIDENCE:
            continue
        if true and number >= 0:
            ends = (marker.x, true[number].x), (marker.y, true[number].y)
            axes.plot(*ends, color=web_color(INK), linewidth=2.5)
            axes.plot(*ends, color=web_color(PAPER), linewidth=1)
        axes.scatter(marker.x, marker.y, zorder=3, **_style(marker))
        if marker.material == "metal":
            axes.scatter(marker.x, marker.y, 16, color=web_color(PAPER), zorder=4)
        shown.append(
            (f"{marker.confidence:.2f}", INK)
            if number >= 0
            else (f"{marker.confidence:.2f} !", WRONG)
        )
        radius = RADIUS[marker.size] + OUTLINE
        boxes.append((marker.x - radius, marker.y - radius, marker.x + radius, marker.y + radius))
    limits = (*corner, corner[0] + WIDTH, corner[1] + HEIGHT)
    labels: List[Box] = []
    for (text, ground), box in zip(shown, boxes):
        labels.append(_free_place(text_size(text, SMALL), box, boxes + labels, limits))
        written = write(axes, *labels[-1][:2], text, SMALL, PAPER)
        written.set_bbox({"facecolor": web_color(ground), "linewidth": 0, "pad": 1})
        written.set_zorder(5)


def _free_place(size: Tuple[int, int], box: Box, taken: Sequence[Box], limits: Box) -> Box:
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
    entries = [
        (value, _style(example._replace(**{name: value})))
        for name in ("shape", "size")
        for value in PROPERTIES[name]
    ]
    texts = ["white dot: metal", "number: confidence"]
    if with_targets:
        entries.append(("true object", _style(example, True)))
        texts.append("red, !: no true object has these attributes")
    handles = [axes.scatter([], [], label=name, **style) for name, style in entries]
    handles += [axes.scatter([], [], 0, label=text) for text in texts]
    figure.legend(
        handles=handles,
        loc="lower left",
        ncol=5,
        frameon=False,
        labelspacing=1.2,
        fontsize=TEXT_SIZE * 72 / DPI,
    )
