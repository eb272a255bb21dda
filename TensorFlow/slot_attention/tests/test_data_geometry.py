"""Crops, sampling points and targets, against the reference's own outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.core.errors import UsageError
from slot_attention.data.geometry import Geometry, crop_box, nearest_positions
from slot_attention.data.resample import preprocess_array, resize_to_bytes
from slot_attention.data.targets import encode_targets

FIXTURES = Path(__file__).resolve().parents[3] / "tests" / "fixtures" / "slot_attention"
# One unit in the last place of values below 1: numpy rounds as the kernels do, but for fused steps.
ONE_ULP = 1.3e-7


def fixture(resize: str) -> np.lib.npyio.NpzFile:
    name = {"tf2": "preprocess_clevr_public", "tf1": "preprocess_clevr_ascend115_public"}[resize]
    return np.load(str(FIXTURES / (name + ".npz")), allow_pickle=False)


CASES = [
    ("image_crop0", "none", 128, "tf2"),
    ("image_crop1", "clevr_reference", 128, "tf2"),
    ("image_crop1_64", "clevr_reference", 64, "tf2"),
    ("image_crop0", "none", 128, "tf1"),
    ("image_crop1", "clevr_reference", 128, "tf1"),
]


@pytest.mark.parametrize("key, crop, side, resize", CASES)
def test_preprocessing_in_numpy_equals_the_reference(
    key: str, crop: str, side: int, resize: str
) -> None:
    image = fixture("tf2")["image_uint8"]
    ours = preprocess_array(image, Geometry((320, 480), crop, (side, side), resize))
    np.testing.assert_allclose(ours, fixture(resize)[key], rtol=0, atol=ONE_ULP)


def test_the_two_ways_to_resize_differ_as_much_as_the_reference_and_its_port_do() -> None:
    image = fixture("tf2")["image_uint8"]
    two, one = (
        preprocess_array(image, Geometry((320, 480), "none", (128, 128), resize))
        for resize in ("tf2", "tf1")
    )
    assert 0.2 < np.abs(two - one).max() < 0.3


def test_targets_equal_the_reference() -> None:
    scene = fixture("tf2")
    target = encode_targets(
        scene["obj_3d_coords"],
        scene["obj_size"],
        scene["obj_material"],
        scene["obj_shape"],
        scene["obj_color"],
    )
    np.testing.assert_array_equal(target, scene["target"])


def test_a_scene_without_objects_has_an_empty_target() -> None:
    none = np.zeros(0, np.int64)
    assert not encode_targets(np.zeros((0, 3)), none, none, none, none).any()


def test_eleven_objects_do_not_fit_in_a_target() -> None:
    codes = np.zeros(11, np.int64)
    with pytest.raises(ValueError, match="11 objects"):
        encode_targets(np.zeros((11, 3)), codes, codes, codes, codes)


def test_rounding_a_resized_image_to_bytes_costs_half_a_step() -> None:
    image = fixture("tf2")["image_uint8"]
    geometry = Geometry((320, 480), "none", (128, 128), storage="rounded")
    stored = resize_to_bytes(image, geometry).astype(np.float32)
    back = (stored / np.float32(255) - np.float32(0.5)) * np.float32(2)
    error = np.abs(back - fixture("tf2")["image_crop0"]).max()
    assert 0.002 < error <= 1 / 255 + ONE_ULP


def test_the_reference_crop_is_rows_29_to_221_and_columns_64_to_256() -> None:
    box = crop_box("clevr_reference", (240, 320))
    assert (box.top, box.top + box.height, box.left, box.left + box.width) == (29, 221, 64, 256)


def test_the_centre_crop_is_the_largest_square_in_the_middle() -> None:
    box = crop_box("centre", (240, 320))
    assert (box.top, box.left, box.height, box.width) == (0, 40, 240, 240)


def test_an_image_too_small_for_the_reference_crop_is_refused() -> None:
    with pytest.raises(UsageError, match="needs images of at least 221x256, these are 64x64"):
        crop_box("clevr_reference", (64, 64))


@pytest.mark.parametrize("field, value", [("crop", "left"), ("resize", "tf3"), ("storage", "ram")])
def test_unknown_names_are_refused_with_the_known_ones(field: str, value: str) -> None:
    names = {"crop": "none", "resize": "tf2", "storage": "exact"}
    names[field] = value
    with pytest.raises(UsageError, match="is unknown: use one of"):
        Geometry((64, 64), names["crop"], (32, 32), names["resize"], names["storage"])


def test_a_resolution_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="resolution 0x8"):
        Geometry((64, 64), "none", (0, 8))


def test_masks_are_sampled_at_the_centres_of_pixels() -> None:
    assert nearest_positions(6, 3, "tf2").tolist() == [1, 3, 5]
    assert nearest_positions(6, 3, "tf1").tolist() == [0, 2, 4]


def test_masks_of_the_crop_are_taken_from_the_crop() -> None:
    geometry = Geometry((240, 320), "clevr_reference", (192, 192))
    assert geometry.mask_rows()[[0, -1]].tolist() == [29, 220]
    assert geometry.mask_columns()[[0, -1]].tolist() == [64, 255]


def test_only_sampled_pixels_are_stored_where_that_saves_most() -> None:
    assert Geometry((320, 480), "none", (128, 128)).stored_size == (256, 256)
    assert Geometry((320, 480), "clevr_reference", (128, 128)).stored_size == (192, 192)
    assert Geometry((320, 480), "none", (128, 128), storage="rounded").stored_size == (128, 128)


def test_an_image_that_fits_is_not_resized() -> None:
    geometry = Geometry((35, 35), "none", (35, 35))
    assert geometry.keeps_size and geometry.text == "35x35, crop none, not resized"
