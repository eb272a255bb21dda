"""Set prediction drawn over the images: predicted objects as markers, true ones as outlines."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from common.evidence.figures.canvas import (
    GAP,
    HAIRLINE,
    INK,
    MARGIN,
    PAPER,
    Color,
    blank,
    drawing,
    letters,
    text_size,
)
from slot_attention.data.targets import COLORS, MATERIALS, SHAPES, SIZES
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
from slot_attention.pictures.camera import CLEVR_CAMERA, seen_at
from slot_attention.pictures.pixels import as_pixels

IMAGE_WIDTH = 480  # as drawn; set prediction sees CLEVR's 480x320 squeezed to a square
ASPECT = 1.5  # width over height of the images before they were squeezed
LEAST_CONFIDENCE = 0.5
SMOOTH = 2  # markers are drawn this much larger and reduced
RADIUS = {"small": 7, "large": 11}
OUTLINE = 5  # how far outside its marker a true object's outline is
WRONG: Color = (214, 39, 40)
MARKER_COLORS = {
    "gray": (128, 128, 128),
    "blue": (42, 75, 215),
    "brown": (129, 74, 25),
    "yellow": (255, 238, 51),
    "red": (214, 30, 30),
    "green": (29, 140, 30),
    "purple": (150, 50, 200),
    "cyan": (41, 208, 208),
}


class Marker(NamedTuple):
    """An object to draw: its place in fractions of the image, and what it is."""

    x: float
    y: float
    size: str
    material: str
    shape: str
    color: str
    confidence: float


def set_picture(
    images: np.ndarray,
    predictions: np.ndarray,
    targets: Optional[np.ndarray] = None,
    columns: int = 2,
    camera: np.ndarray = CLEVR_CAMERA,
) -> np.ndarray:
    """Draws predicted objects over their images, with a legend; returns uint8 (height, width, 3).

    A marker's form, colour, size and filling tell shape, colour, size and material; its number is
    the confidence. Predictions under LEAST_CONFIDENCE are left out. With targets, true objects are
    outlines, a line joins a prediction to the nearest true object with the same four attributes,
    and a prediction without such an object has its confidence on red.

    Args:
        images: (B, height, width, 3) in [-1, 1], the whole image squeezed.
        predictions: (B, predicted objects, 19); targets: (B, objects, 19).
        camera: (3, 4), see camera.seen_at.
    """
    tiles = [
        _drawn_image(
            image, predictions[number], None if targets is None else targets[number], camera
        )
        for number, image in enumerate(images)
    ]
    sheet = _side_by_side(tiles, min(columns, len(tiles)))
    legend = _legend(sheet.shape[1], targets is not None)
    return np.concatenate([sheet, legend])


def markers(objects: np.ndarray, camera: np.ndarray) -> List[Marker]:
    """Reads vectors (objects, 19) as markers."""
    places = seen_at(objects[:, COORDINATES] * SCENE_SIZE - SCENE_SIZE / 2, camera)
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


def _drawn_image(
    image: np.ndarray, predictions: np.ndarray, targets: Optional[np.ndarray], camera: np.ndarray
) -> np.ndarray:
    canvas = _Canvas(as_pixels(image))
    nearest = np.zeros(len(predictions), np.int64)
    true: List[Marker] = []
    if targets is not None:
        nearest = nearest_equal_objects(predictions[None], targets[None])[0][0]
        true = markers(targets, camera)
    shown = [
        (marker, number)
        for marker, number in zip(markers(predictions, camera), nearest)
        if marker.confidence >= LEAST_CONFIDENCE
    ]
    for marker in true:
        if marker.confidence:
            canvas.outline(marker)
    for marker, number in shown:
        if true and number >= 0:
            canvas.join(marker, true[number])
    for marker, _ in shown:
        canvas.filled(marker)
    picture = canvas.reduced()
    return _with_confidences(picture, shown)


class _Canvas:
    """An image enlarged SMOOTH times beyond its drawn size, to draw smooth markers on."""

    def __init__(
        self, picture: np.ndarray, aspect: float = ASPECT, width: int = IMAGE_WIDTH
    ) -> None:
        from PIL import Image, ImageDraw

        self.size = (width, int(round(width / aspect)))
        self.image = drawing(picture)[0].resize(
            (self.size[0] * SMOOTH, self.size[1] * SMOOTH), Image.BICUBIC
        )
        self.pen = ImageDraw.Draw(self.image)

    def reduced(self) -> np.ndarray:
        from PIL import Image

        return np.asarray(self.image.resize(self.size, Image.BOX))

    def outline(self, marker: Marker) -> None:
        """A white line on a dark one: seen on every ground."""
        radius = (RADIUS[marker.size] + OUTLINE) * SMOOTH
        self._form(marker.shape, self._place(marker), radius, None, INK, 4 * SMOOTH)
        self._form(marker.shape, self._place(marker), radius - SMOOTH, None, PAPER, 2 * SMOOTH)

    def filled(self, marker: Marker) -> None:
        """In the object's colour with a white border; metal has a glint."""
        place, radius = self._place(marker), RADIUS[marker.size] * SMOOTH
        self._form(marker.shape, place, radius + SMOOTH, None, INK, SMOOTH)
        self._form(marker.shape, place, radius, MARKER_COLORS[marker.color], PAPER, 2 * SMOOTH)
        if marker.material == "metal":
            self._form("sphere", place, radius * 0.38, PAPER, INK, SMOOTH // 2)

    def join(self, one: Marker, other: Marker) -> None:
        line = [self._place(one), self._place(other)]
        self.pen.line(line, fill=INK, width=3 * SMOOTH)
        self.pen.line(line, fill=PAPER, width=SMOOTH)

    def _place(self, marker: Marker) -> Tuple[float, float]:
        return marker.x * self.image.size[0], marker.y * self.image.size[1]

    def _form(
        self,
        shape: str,
        place: Tuple[float, float],
        radius: float,
        fill: Optional[Color],
        line: Color,
        width: int,
    ) -> None:
        x, y = place
        if shape == "sphere":
            box, draw = [x - radius, y - radius, x + radius, y + radius], self.pen.ellipse
        elif shape == "cube":
            side = radius * 0.89  # as large as the circle
            box, draw = [x - side, y - side, x + side, y + side], self.pen.rectangle
        else:
            box, draw = (
                [x - radius * 0.66, y - radius * 1.2, x + radius * 0.66, y + radius * 1.2],
                self._capsule,
            )
        draw(box, fill=fill, outline=line, width=max(width, 1))

    def _capsule(self, box: Sequence[float], **style: Any) -> None:
        self.pen.rounded_rectangle(box, radius=(box[2] - box[0]) / 2, **style)


def _with_confidences(picture: np.ndarray, shown: Sequence[Tuple[Marker, int]]) -> np.ndarray:
    image, pen = drawing(picture)
    font = letters(11)
    for marker, nearest in shown:
        text = f"{marker.confidence:.2f}"
        wide, high = text_size(text, font)
        x = marker.x * image.size[0] + RADIUS[marker.size] + OUTLINE + 3
        y = marker.y * image.size[1] - high / 2
        x = x if x + wide < image.size[0] else x - wide - 2 * (RADIUS[marker.size] + OUTLINE + 3)
        pen.rectangle([x - 2, y - 1, x + wide + 1, y + high], fill=INK if nearest >= 0 else WRONG)
        pen.text((x, y), text, fill=PAPER, font=font)
    return np.asarray(image)


def _side_by_side(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    height, width = tiles[0].shape[:2]
    rows = -(-len(tiles) // columns)
    sheet = blank(
        rows * (height + GAP) - GAP + 2 * MARGIN, columns * (width + GAP) - GAP + 2 * MARGIN
    )
    for number, tile in enumerate(tiles):
        y = MARGIN + number // columns * (height + GAP)
        x = MARGIN + number % columns * (width + GAP)
        sheet[y : y + height, x : x + width] = tile
    return sheet


def _legend(width: int, with_targets: bool) -> np.ndarray:
    """What the forms, fillings and sizes mean; as many lines as the width asks for."""
    entries = [(shape, Marker(0, 0, "large", "rubber", shape, "gray", 1)) for shape in SHAPES]
    entries += [(size, Marker(0, 0, size, "rubber", "sphere", "gray", 1)) for size in SIZES]
    entries += [
        (material, Marker(0, 0, "large", material, "sphere", "gray", 1)) for material in MATERIALS
    ]
    texts = ["0.98  confidence"]
    if with_targets:
        entries.append(("true object", Marker(0, 0, "large", "", "sphere", "gray", 0)))
        texts.append("on red: no true object has its attributes")
    return _drawn_legend(width, entries, texts)


def _drawn_legend(
    width: int, entries: Sequence[Tuple[str, Marker]], texts: Sequence[str]
) -> np.ndarray:
    font, line = letters(), 40
    wide = [2 * 16 + GAP + text_size(text, font)[0] + 2 * MARGIN for text, _ in entries]
    wide += [text_size(text, font)[0] + 2 * MARGIN for text in texts]
    places, height = _flowing(wide, width - 2 * MARGIN, line)
    canvas = _Canvas(blank(height, width), aspect=width / height, width=width)
    for (_, marker), (x, y) in zip(entries, places):
        placed = marker._replace(x=(x + MARGIN + 16) / width, y=(y + line / 2) / height)
        draw = canvas.filled if marker.confidence else canvas.outline
        draw(placed)
    image, pen = drawing(canvas.reduced())
    pen.line([MARGIN, 0, width - MARGIN, 0], fill=HAIRLINE)
    indents = [MARGIN + 2 * 16 + GAP] * len(entries) + [MARGIN] * len(texts)
    words = [text for text, _ in entries] + list(texts)
    for word, indent, (x, y) in zip(words, indents, places):
        pen.text(
            (x + indent, y + (line - text_size(word, font)[1]) // 2), word, fill=INK, font=font
        )
    return np.asarray(image)


def _flowing(widths: Sequence[int], width: int, line: int) -> Tuple[List[Tuple[int, int]], int]:
    """Places boxes from left to right in lines; returns their corners and the whole height."""
    places, x, y = [], 0, 0
    for wide in widths:
        if x and x + wide > width:
            x, y = 0, y + line
        places.append((x, y))
        x += wide
    return places, y + line
