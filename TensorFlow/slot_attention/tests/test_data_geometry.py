"""Crops, sampling points and targets, against the reference's own outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.core.errors import UsageError
from slot_attention.data.geometry import (
    Geometry,
    crop_box,
    mask_places,
    preprocess_array,
    resize_to_bytes,
)
from slot_attention.data.scenes import PROPERTIES, encode_targets

FIXTURES = Path(__file__).resolve().parents[3] / "tests" / "fixtures" / "slot_attention"
# One unit in the last place of values below 1: numpy rounds as the kernels do, but for fused steps.
ONE_ULP = 1.3e-7


def fixture(resize: str) -> Any:
    name = {"tf2": "preprocess_clevr_public", "tf1": "preprocess_clevr_ascend115_public"}[resize]
    return np.load(str(FIXTURES / (name + ".npz")), allow_pickle=False)


@pytest.mark.parametrize(
    "key, crop, side, resize",
    [
        ("image_crop0", "none", 128, "tf2"),
        ("image_crop1", "clevr_reference", 128, "tf2"),
        ("image_crop1_64", "clevr_reference", 64, "tf2"),
        ("image_crop1", "clevr_reference", 128, "tf1"),
    ],
)
def test_crop_and_resize_equal_the_reference_and_bytes_are_off_by_half_a_step(
    key: str, crop: str, side: int, resize: str
) -> None:
    image = fixture("tf2")["image_uint8"]
    geometry = Geometry((320, 480), crop, (side, side), resize)
    expected = fixture(resize)[key]
    ours = preprocess_array(image, geometry)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=ONE_ULP)
    stored = resize_to_bytes(image, geometry).astype(np.float32)
    back = (stored / np.float32(255) - np.float32(0.5)) * np.float32(2)
    assert np.abs(back - expected).max() <= 1 / 255 + ONE_ULP


def test_an_image_that_fits_keeps_every_byte() -> None:
    image = np.arange(16 * 16, dtype=np.uint8).reshape(16, 16, 1)
    geometry = Geometry((16, 16), "none", (16, 16))
    assert geometry.text == "16x16, crop none, not resized"
    np.testing.assert_array_equal(resize_to_bytes(image, geometry), image)
    centre = Geometry((16, 16), "centre", (8, 16))
    assert centre.text == "16x16, crop centre, resized to 8x16 (tf2 bilinear)"


def test_targets_equal_the_reference() -> None:
    scene = fixture("tf2")
    codes = {name: scene[f"obj_{name}"] for name in PROPERTIES}
    target = encode_targets(scene["obj_3d_coords"], codes)
    np.testing.assert_array_equal(target, scene["target"])


def test_crops_are_the_references_and_the_largest_square_in_the_middle() -> None:
    assert crop_box("clevr_reference", (240, 320)) == (29, 64, 192, 192)
    assert crop_box("centre", (240, 320)) == (0, 40, 240, 240)
    with pytest.raises(UsageError, match="needs images of at least 221x256, these are 64x64"):
        crop_box("clevr_reference", (64, 64))


def test_masks_are_sampled_at_the_centres_of_pixels_of_the_crop() -> None:
    for resize, expected in (("tf2", [1, 3, 5]), ("tf1", [0, 2, 4])):
        rows, columns = mask_places(Geometry((6, 6), "none", (3, 6), resize))
        assert rows.ravel().tolist() == expected and columns.ravel().tolist() == list(range(6))
    rows, columns = mask_places(Geometry((240, 320), "clevr_reference", (192, 192)))
    assert rows.ravel()[[0, -1]].tolist() == [29, 220]
    assert columns.ravel()[[0, -1]].tolist() == [64, 255]
