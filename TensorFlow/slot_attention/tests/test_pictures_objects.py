"""Set prediction over the images, and the camera that places it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from common.evidence.figures.canvas import MARGIN
from slot_attention.data.targets import COLORS, MATERIALS, SHAPES, SIZES
from slot_attention.pictures.camera import CLEVR_CAMERA, fitted_camera, seen_at
from slot_attention.pictures.objects import MARKER_COLORS, WRONG, Marker, markers, set_picture

Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
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


def drawn(*sets) -> np.ndarray:
    """The image part (320, 480, 3) of the picture of one grey image."""
    picture = set_picture(np.zeros((1, 128, 128, 3), np.float32), *sets)
    return picture[MARGIN : MARGIN + 320, MARGIN : MARGIN + 480]


def place_of(color, picture) -> np.ndarray:
    """The mean (x, y) of the pixels of a colour."""
    return np.argwhere((picture == color).all(axis=2)).mean(axis=0)[::-1]


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


def test_camera_is_recovered_from_what_it_sees():
    places = np.random.RandomState(0).uniform(-3, 3, (12, 3))
    camera = fitted_camera(places, seen_at(places))
    np.testing.assert_allclose(camera, CLEVR_CAMERA, rtol=0, atol=1e-10)


def test_vector_is_read_as_place_and_names():
    marker = markers(one(color="cyan", material="metal", shape="cylinder")[0], CLEVR_CAMERA)[0]
    x, y = seen_at(np.array([0, 0, 0.3]))
    assert marker == Marker(
        pytest.approx(x), pytest.approx(y), "large", "metal", "cylinder", "cyan", pytest.approx(0.9)
    )


def test_every_colour_of_clevr_can_be_drawn():
    assert set(MARKER_COLORS) == set(COLORS)


def test_marker_has_its_objects_colour_at_its_place():
    picture = drawn(one(color="green"))
    expected = seen_at(np.array([0, 0, 0.3])) * (480, 320)
    np.testing.assert_allclose(place_of(MARKER_COLORS["green"], picture), expected, atol=1)


def test_metal_has_a_glint():
    x, y = np.rint(seen_at(np.array([0, 0, 0.3])) * (480, 320)).astype(int)
    assert drawn(one(material="rubber"))[y, x].tolist() == list(MARKER_COLORS["red"])
    assert drawn(one(material="metal"))[y, x].tolist() == [255, 255, 255]


def test_forms_differ():
    areas = {
        shape: (drawn(one(shape=shape)) == MARKER_COLORS["red"]).all(axis=2) for shape in SHAPES
    }
    assert all(
        (areas[a] != areas[b]).sum() > 20
        for a, b in [("cube", "sphere"), ("cube", "cylinder"), ("sphere", "cylinder")]
    )


def test_predictions_without_confidence_are_left_out():
    np.testing.assert_array_equal(drawn(one(confidence=0.49)), drawn(one(confidence=0)))
    assert (drawn(one(confidence=0.5)) != drawn(one(confidence=0))).any()


def test_confidence_is_on_red_where_no_true_object_has_the_attributes():
    def red(target):
        return int((drawn(one(color="blue"), target) == WRONG).all(axis=2).sum())

    assert red(one(color="blue", confidence=1)) == 0
    assert red(one(color="cyan", confidence=1)) > 100


def test_padded_targets_are_not_drawn():
    padding = np.zeros((1, 3, 19), np.float32)
    assert (drawn(one(confidence=0), padding) == 128).all()


def test_all_images_are_in_the_picture():
    picture = set_picture(np.zeros((3, 128, 128, 3), np.float32), np.repeat(one(), 3, axis=0))
    assert picture.shape[1] == 2 * 480 + 6 + 2 * MARGIN
    assert (picture == 128).all(axis=2).sum() > 3 * 480 * 320 * 0.95
