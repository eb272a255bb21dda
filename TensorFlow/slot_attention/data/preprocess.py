"""From bytes to what the networks take, in the graph: CLEVR's preprocessing of the reference.

(x / 255 - 0.5) * 2, crop, bilinear resize, clip to [-1, 1]; equal on TensorFlow 1.15 and 2.
Source: google-research slot_attention/data.py, preprocess_clevr.
"""

from __future__ import annotations

from typing import Any

from common.training.tensorflow.runtime import tf
from slot_attention.data.geometry import Geometry

Tensor = Any


def preprocess_images(pixels: Tensor, geometry: Geometry) -> Tensor:
    """Returns float32 (B, height, width, 3) in [-1, 1] of whole source images.

    Args:
        pixels: uint8, (B, source height, source width, 1 or 3).
    """
    box = geometry.box
    cropped = pixels[:, box.top : box.top + box.height, box.left : box.left + box.width, :]
    return three_channels(_resize(scale(cropped), geometry))


def finish_stored(pixels: Tensor, geometry: Geometry) -> Tensor:
    """Returns float32 (B, height, width, 3) in [-1, 1] of images as they are stored.

    Args:
        pixels: uint8, (B, *geometry.stored_size, 1 or 3): see Geometry.storage; where the
            geometry keeps pairs, float32 images that resample.blend_pairs has finished.
    """
    if geometry.keeps_pairs:
        return three_channels(pixels)
    if geometry.storage == "rounded":
        return three_channels(scale(pixels))
    return three_channels(_resize(scale(pixels), geometry))


def store_form(pixels: Tensor, geometry: Geometry) -> Tensor:
    """Returns the uint8 (B, *geometry.stored_size, channels) that is stored of source images.

    Args:
        pixels: uint8, (B, source height, source width, channels).
    """
    if geometry.storage == "rounded":
        box = geometry.box
        cropped = pixels[:, box.top : box.top + box.height, box.left : box.left + box.width, :]
        return round_to_bytes(_resize(scale(cropped), geometry))
    if not geometry.keeps_pairs:
        box = geometry.box
        return pixels[:, box.top : box.top + box.height, box.left : box.left + box.width, :]
    rows = tf.gather(pixels, tf.constant(geometry.stored_rows()), axis=1)
    return tf.gather(rows, tf.constant(geometry.stored_columns()), axis=2)


def scale(pixels: Tensor) -> Tensor:
    """Returns uint8 pixels as float32 in [-1, 1], rounded at each step as the reference does."""
    return ((tf.cast(pixels, tf.float32) / 255.0) - 0.5) * 2.0


def round_to_bytes(images: Tensor) -> Tensor:
    """Returns images in [-1, 1] as the nearest uint8; scale() of it is off by 1/255 at most."""
    return tf.cast(tf.round((images * 0.5 + 0.5) * 255.0), tf.uint8)


def three_channels(images: Tensor) -> Tensor:
    """Repeats the one channel of grey images; colour images stay."""
    if int(images.shape[-1]) == 3:
        return images
    return tf.tile(images, [1, 1, 1, 3])


def entity_masks(labels: Tensor, entities: int) -> Tensor:
    """Returns uint8 (B, entities, height, width) of 0 and 1; entity 0 is the background.

    Args:
        labels: uint8, (B, height, width): which entity a pixel belongs to, 255 for none.
    """
    numbers = tf.reshape(tf.range(entities, dtype=tf.int32), [1, entities, 1, 1])
    same = tf.equal(tf.cast(labels, tf.int32)[:, tf.newaxis], numbers)
    return tf.cast(same, tf.uint8)


def _resize(images: Tensor, geometry: Geometry) -> Tensor:
    if geometry.keeps_size:
        return images
    resized = tf.image.resize_bilinear(
        images,
        list(geometry.resolution),
        align_corners=False,
        half_pixel_centers=geometry.resize == "tf2",
    )
    return tf.clip_by_value(resized, -1.0, 1.0)
