"""Set prediction over the images, and the camera that places it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from common.evidence.figures.colors import INK, web_color
from common.evidence.figures.figure import pixels
from common.evidence.figures.sheet import MARGIN
from slot_attention.data.targets import COLORS, MATERIALS, SHAPES, SIZES
from slot_attention.pictures.camera import CLEVR_CAMERA, seen_at
from slot_attention.pictures.objects import (
    HEIGHT,
    MARKER_COLORS,
    WIDTH,
    WRONG,
    Marker,
    free_place,
    markers,
    set_figure,
)

MIDDLE = (0.5, 0.5, 0.55)  # of the scene, a little above the ground


def one(confidence=0.9, color="red", material="rubber", shape="cube", place=MIDDLE) -> np.ndarray:
    """A prediction (1, 1, 19) of a large object."""
    element = np.zeros((1, 1, 19), np.float32)
    element[..., :3], element[..., 18] = place, confidence
    numbers = [
        SIZES.index("large"),
        MATERIALS.index(material),
        SHAPES.index(shape),
        COLORS.index(color),
    ]
    element[..., np.array([3, 5, 7, 10]) + numbers] = 1
    return element


def drawn(*sets):
    """The markers (with a place) and the texts on one grey image."""
    axes = set_figure(np.zeros((1, 128, 128, 3), np.float32), *sets).axes[0]
    return [mark for mark in axes.collections if len(mark.get_offsets())], list(axes.texts)


def test_camera_sees_clevrs_objects_where_their_records_say(zoo_data):
    folder = zoo_data("clevr_samples") / "clevr_generator"
    places, seen = [], []
    for path in sorted((folder / "scenes").glob("*.json")):
        for element in json.loads(path.read_text())["objects"]:
            places.append(element["3d_coords"])
            seen.append(np.divide(element["pixel_coords"][:2], (320, 240)))
    assert len(places) > 50
    off = np.abs(seen_at(np.array(places)) - seen)
    assert (off.mean(axis=0) < 0.0065).all()
    assert off.max() < 0.034


def test_vector_is_read_as_place_and_names():
    marker = markers(one(color="cyan", material="metal", shape="cylinder")[0], CLEVR_CAMERA)[0]
    x, y = seen_at(np.array([0, 0, 0.3]))
    assert marker == Marker(
        pytest.approx(x), pytest.approx(y), "large", "metal", "cylinder", "cyan", pytest.approx(0.9)
    )


@pytest.mark.parametrize("color", COLORS)
def test_marker_has_its_objects_colour_at_its_place(color):
    (mark,), _ = drawn(one(color=color))
    expected = seen_at(np.array([0, 0, 0.3])) * (WIDTH, HEIGHT) + MARGIN
    np.testing.assert_allclose(mark.get_offsets()[0], expected)
    assert tuple(mark.get_facecolor()[0][:3]) == to_rgb(MARKER_COLORS[color])


def test_forms_and_materials_differ():
    forms = [drawn(one(shape=shape))[0][0].get_paths()[0].vertices.shape for shape in SHAPES]
    assert len(set(forms)) == 3
    assert [len(drawn(one(material=name))[0]) for name in ("rubber", "metal")] == [1, 2]


def test_predictions_without_confidence_are_left_out():
    assert drawn(one(confidence=0.49)) == ([], [])
    assert [text.get_text() for text in drawn(one(confidence=0.5))[1]] == ["0.50"]


def test_confidence_is_on_red_where_no_true_object_has_the_attributes():
    def label(target):
        (text,) = drawn(one(color="blue"), target)[1]
        return text.get_text(), text.get_bbox_patch().get_facecolor()[:3]

    assert label(one(color="blue", confidence=1)) == ("0.90", to_rgb(web_color(INK)))
    assert label(one(color="cyan", confidence=1)) == ("0.90 !", to_rgb(web_color(WRONG)))


def test_true_objects_are_outlines_and_padded_targets_are_not_drawn():
    assert drawn(one(confidence=0), np.zeros((1, 3, 19), np.float32)) == ([], [])
    (outline,), _ = drawn(one(confidence=0), one(confidence=1))
    assert len(outline.get_facecolor()) == 0


def test_labels_of_neighbours_do_not_overlap():
    first = np.concatenate([one(place=(0.5 + shift, 0.5, 0.5)) for shift in (0, 0.02, 0.04)], 1)
    figure = set_figure(np.zeros((1, 128, 128, 3), np.float32), first)
    boxes = [text.get_window_extent(figure.canvas.get_renderer()) for text in figure.axes[0].texts]
    assert not any(
        one_box.overlaps(other) for number, one_box in enumerate(boxes) for other in boxes[:number]
    )


def test_a_label_stays_inside_its_image():
    left, _, right, _ = free_place((30, 12), (470, 50, 478, 60), [], (0, 0, 480, 320))
    assert right <= 480 and left < 470


def test_all_images_are_in_the_picture_with_their_legend():
    figure = set_figure(np.zeros((3, 128, 128, 3), np.float32), *[np.repeat(one(), 3, axis=0)] * 2)
    assert len(figure.axes[0].images) == 4  # the paper, and an image each
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert set(SHAPES) | set(SIZES) | {"true object"} <= set(words)
    assert pixels(figure).shape[1] == 2 * WIDTH + 6 + 2 * MARGIN
