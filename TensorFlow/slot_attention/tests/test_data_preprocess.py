"""Preprocessing in the graph, against the reference's own outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_data_geometry import CASES, ONE_ULP, fixture

from common.training.tensorflow.runtime import tf
from slot_attention.data.geometry import Geometry
from slot_attention.data.preprocess import (
    entity_masks,
    finish_stored,
    preprocess_images,
    round_to_bytes,
    scale,
    store_form,
    three_channels,
)
from slot_attention.data.stores import finish_rows

pytestmark = pytest.mark.tensorflow


def value_of(tensor: Any) -> np.ndarray:
    with tf.Session() as session:
        return session.run(tensor)


@pytest.mark.parametrize("key, crop, side, resize", CASES)
def test_preprocessing_equals_the_reference(key: str, crop: str, side: int, resize: str) -> None:
    image = fixture("tf2")["image_uint8"][np.newaxis]
    with tf.Graph().as_default():
        ours = value_of(
            preprocess_images(tf.constant(image), Geometry((320, 480), crop, (side, side), resize))
        )[0]
    np.testing.assert_allclose(ours, fixture(resize)[key], rtol=0, atol=ONE_ULP)


@pytest.mark.parametrize("key, crop, side, resize", CASES)
def test_what_is_stored_gives_the_same_images(key: str, crop: str, side: int, resize: str) -> None:
    geometry = Geometry((320, 480), crop, (side, side), resize)
    image = fixture("tf2")["image_uint8"][np.newaxis]
    with tf.Graph().as_default():
        stored = value_of(store_form(tf.constant(image), geometry))
        rows = tf.convert_to_tensor(finish_rows(stored, geometry))
        ours = value_of(finish_stored(rows, geometry))[0]
    assert stored.shape[1:3] == geometry.stored_size and stored.dtype == np.uint8
    np.testing.assert_allclose(ours, fixture(resize)[key], rtol=0, atol=ONE_ULP)


def test_every_byte_survives_scaling_and_rounding() -> None:
    pixels = np.arange(256, dtype=np.uint8)
    with tf.Graph().as_default():
        np.testing.assert_array_equal(value_of(round_to_bytes(scale(tf.constant(pixels)))), pixels)


def test_grey_images_get_three_equal_channels() -> None:
    grey = np.random.RandomState(0).uniform(-1, 1, (2, 4, 5, 1)).astype(np.float32)
    with tf.Graph().as_default():
        colour = value_of(three_channels(tf.constant(grey)))
    np.testing.assert_array_equal(colour, np.repeat(grey, 3, axis=-1))


def test_every_entity_has_a_mask() -> None:
    labels = np.array([[[0, 2], [1, 2]]], np.uint8)
    with tf.Graph().as_default():
        masks = value_of(entity_masks(tf.constant(labels), 4))
    assert masks.dtype == np.uint8
    assert masks[0].tolist() == [
        [[1, 0], [0, 0]],
        [[0, 0], [1, 0]],
        [[0, 1], [0, 1]],
        [[0, 0], [0, 0]],
    ]
