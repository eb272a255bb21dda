"""Draws, crop, flip and cutout, against their plain definitions image by image."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from residual_attention_net.data import augment
from residual_attention_net.data.draws import Augmentation, draw_epoch
from residual_attention_net.tests.data_helpers import numbered_images, numbered_volumes

pytestmark = pytest.mark.pytorch

EVERYTHING = Augmentation(crop_padding=2, flip=True, cutout_size=3, mixup_alpha=1.0)
KINDS = pytest.mark.parametrize("make, dims", [(numbered_images, 2), (numbered_volumes, 3)])


def _draws(count=40, augmentation=EVERYTHING, seed=5, epoch=1, shape=(6, 6), global_batch=8):
    return draw_epoch(augmentation, seed, epoch, count, shape, global_batch)


def _words(images):
    return torch.from_numpy(augment.pack_pixels(images.images))


@KINDS
def test_a_crop_is_a_window_of_the_zero_padded_image_and_a_flip_mirrors_it(make, dims):
    images, draws = make(40), _draws(shape=(6,) * dims)
    order, offsets, flips = map(
        torch.from_numpy, (draws.order, draws.crop_offsets, draws.flips.copy())
    )
    cropped = augment.crop_and_flip(_words(images), order, offsets, 2, flips)
    result = augment.unpack_to_uint8(cropped, images.channels).numpy()
    assert 0 < draws.flips.sum() < 40
    for position, sample in enumerate(draws.order):
        padded = np.pad(images.images[sample], [(2, 2)] * dims + [(0, 0)], mode="constant")
        window = padded[tuple(slice(first, first + 6) for first in draws.crop_offsets[position])]
        expected = window[..., ::-1, :] if draws.flips[position] else window
        assert np.array_equal(result[position], expected)


@pytest.mark.parametrize("size", [3, 4])
@KINDS
def test_cutout_is_a_square_of_zeros_clipped_at_the_borders(make, dims, size):
    images = make(40)
    centres = _draws(shape=(6,) * dims).cutout_centres
    cut = augment.cut_out(_words(images), torch.from_numpy(centres), size)
    result = augment.unpack_to_uint8(cut, images.channels).numpy()
    for position, centre in enumerate(centres):
        expected = images.images[position].copy()
        first = np.maximum(centre - size // 2, 0)
        expected[tuple(slice(f, c - size // 2 + size) for f, c in zip(first, centre))] = 0
        assert np.array_equal(result[position], expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("channels_last", [False, True])
@KINDS
def test_inputs_are_the_pixels_over_255_with_channels_first(make, dims, channels_last, channels):
    images = make(4, channels=channels)
    unpacked = augment.unpack_to_uint8(_words(images), channels)
    assert np.array_equal(unpacked.numpy(), images.images)
    inputs = augment.unpack_to_unit_range(_words(images), channels, channels_last)
    expected = np.moveaxis(images.images, -1, 1).astype(np.float32) / np.float32(255)
    assert np.array_equal(inputs.numpy(), expected)
    assert inputs.is_contiguous(memory_format=augment.memory_format(dims, channels_last))


def test_partners_are_a_permutation_of_each_global_batch_until_mixup_ends():
    partners = _draws(count=44).partners
    for first in range(0, 40, 8):
        assert sorted(partners[first : first + 8]) == list(range(first, first + 8))
    assert partners[40:].tolist() == [40, 41, 42, 43]
    assert (partners[:40] != np.arange(40)).any()
    wanted = Augmentation(mixup_alpha=1.0, mixup_epochs=2)
    epochs = [_draws(augmentation=wanted, epoch=epoch) for epoch in range(4)]
    assert [draws.partners is None for draws in epochs] == [False, False, True, True]
    assert (epochs[2].mix_weights == 1).all()


def test_every_draw_depends_on_epoch_and_seed_and_on_no_other_draw():
    base = _draws()
    assert sorted(base.order) == list(range(40))
    for other in (_draws(epoch=2), _draws(seed=6)):
        for name in ("order", "crop_offsets", "flips", "cutout_centres", "partners"):
            assert not np.array_equal(getattr(base, name), getattr(other, name))
    without = _draws(augmentation=Augmentation(crop_padding=2, flip=True))
    for name in ("order", "crop_offsets", "flips"):
        assert np.array_equal(getattr(base, name), getattr(without, name))


def test_the_draws_are_the_same_on_every_stack():
    draws = _draws()
    digest = hashlib.sha256()
    for name in ("order", "crop_offsets", "flips", "cutout_centres", "partners", "mix_weights"):
        digest.update(getattr(draws, name).tobytes())
    assert digest.hexdigest() == (
        "6ad7f37103888df0215dac79345f4358c50d84c9d1dceb7035f867af2212e076"
    )
