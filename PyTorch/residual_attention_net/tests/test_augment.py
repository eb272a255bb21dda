"""Crop, flip, cutout and mixup, against their plain definitions image by image."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from common.core.errors import UsageError
from residual_attention_net.data.draws import Augmentation, draw_epoch, sample_order
from residual_attention_net.tests.data_helpers import numbered_images, numbered_volumes

torch = pytest.importorskip("torch", reason="augmentation works on torch tensors")
augment = pytest.importorskip("residual_attention_net.data.augment")

pytestmark = pytest.mark.pytorch

EVERYTHING = Augmentation(crop_padding=2, flip=True, cutout_size=3, mixup_alpha=1.0)


def _draws(count=40, augmentation=EVERYTHING, seed=5, epoch=1, shape=(6, 6), global_batch=8):
    return draw_epoch(augmentation, seed, epoch, count, shape, global_batch)


def _words(images):
    return torch.from_numpy(augment.pack_pixels(images.images))


def _plain_crop(image: np.ndarray, offset: np.ndarray, padding: int) -> np.ndarray:
    dims = image.ndim - 1
    padded = np.pad(image, [(padding, padding)] * dims + [(0, 0)], mode="constant")
    window = tuple(slice(start, start + size) for start, size in zip(offset, image.shape))
    return padded[window]


@pytest.mark.parametrize("make", [numbered_images, numbered_volumes])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_packed_pixels_unpack_to_themselves(make, channels):
    images = make(3, channels=channels)
    unpacked = augment.unpack_to_uint8(_words(images), channels)
    assert np.array_equal(unpacked.numpy(), images.images)


@pytest.mark.parametrize("make, dims", [(numbered_images, 2), (numbered_volumes, 3)])
def test_a_crop_is_a_window_of_the_zero_padded_image(make, dims):
    images = make(40)
    draws = _draws(shape=(6,) * dims)
    cropped = augment.crop_and_flip(
        _words(images),
        torch.from_numpy(draws.order),
        torch.from_numpy(draws.crop_offsets),
        2,
        torch.zeros(40, dtype=torch.bool),
    )
    result = augment.unpack_to_uint8(cropped, images.channels).numpy()
    for position, sample in enumerate(draws.order):
        expected = _plain_crop(images.images[sample], draws.crop_offsets[position], 2)
        assert np.array_equal(result[position], expected)


def test_crops_reach_every_offset():
    offsets = _draws(count=400).crop_offsets
    assert {tuple(pair) for pair in offsets} == {(r, c) for r in range(5) for c in range(5)}


@pytest.mark.parametrize("make, dims", [(numbered_images, 2), (numbered_volumes, 3)])
def test_a_flip_mirrors_the_cropped_window_left_to_right(make, dims):
    images = make(40)
    draws = _draws(shape=(6,) * dims)
    arguments = (
        _words(images),
        torch.from_numpy(draws.order),
        torch.from_numpy(draws.crop_offsets),
        2,
    )
    plain = augment.crop_and_flip(*arguments, torch.zeros(40, dtype=torch.bool))
    flips = torch.from_numpy(draws.flips)
    flipped = augment.crop_and_flip(*arguments, flips)
    assert 0 < int(flips.sum()) < 40
    assert torch.equal(flipped[flips], plain[flips].flip(-1))
    assert torch.equal(flipped[~flips], plain[~flips])


@pytest.mark.parametrize("size", [3, 4])
@pytest.mark.parametrize("make, dims", [(numbered_images, 2), (numbered_volumes, 3)])
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


def test_a_cutout_in_the_middle_has_its_whole_area():
    cut = augment.cut_out(_words(numbered_images(1)), torch.tensor([[3, 3]]), 4)
    assert int((cut == 0).sum()) == 16


def test_cutout_centres_are_uniform_over_the_pixels():
    centres = _draws(count=36000).cutout_centres
    counts = np.bincount(centres[:, 0] * 6 + centres[:, 1], minlength=36)
    assert counts.min() > 850
    assert counts.max() < 1150


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("make, dims", [(numbered_images, 2), (numbered_volumes, 3)])
def test_inputs_are_the_pixels_over_255_with_channels_first(make, dims, channels_last):
    images = make(4, channels=3)
    inputs = augment.unpack_to_unit_range(_words(images), 3, channels_last)
    expected = np.moveaxis(images.images, -1, 1).astype(np.float32) / np.float32(255)
    assert np.array_equal(inputs.numpy(), expected)
    layout = augment.memory_format(dims, channels_last)
    assert inputs.is_contiguous(memory_format=layout)


def test_mixup_is_the_weighted_sum():
    first, second = torch.rand(4, 3, 6, 6), torch.rand(4, 3, 6, 6)
    mixed = augment.mix_up(first, second, torch.tensor(0.25))
    assert torch.allclose(mixed, 0.25 * first + 0.75 * second)


def test_partners_are_a_permutation_of_each_global_batch():
    partners = _draws(count=44).partners
    for first in range(0, 40, 8):
        assert sorted(partners[first : first + 8]) == list(range(first, first + 8))
    assert partners[40:].tolist() == [40, 41, 42, 43]
    assert (partners[:40] != np.arange(40)).any()


def test_mixing_weights_follow_beta():
    weights = _draws(count=80000, augmentation=Augmentation(mixup_alpha=0.2)).mix_weights
    assert weights.shape == (10000,)
    assert abs(weights.mean() - 0.5) < 0.02
    # The variance of Beta(a, a) is 1 / (4 (2 a + 1)).
    assert abs(weights.var() - 1 / 5.6) < 0.01


def test_mixup_ends_after_its_epochs():
    wanted = Augmentation(mixup_alpha=1.0, mixup_epochs=2)
    assert [_draws(augmentation=wanted, epoch=e).partners is None for e in range(4)] == [
        False,
        False,
        True,
        True,
    ]
    assert (_draws(augmentation=wanted, epoch=2).mix_weights == 1).all()


def test_every_draw_depends_on_epoch_and_seed_and_on_no_other_draw():
    assert sorted(sample_order(3, 0, 100)) == list(range(100))
    base = _draws()
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


@pytest.mark.parametrize(
    "values", [{"crop_padding": -1}, {"cutout_size": -1}, {"mixup_alpha": float("nan")}]
)
def test_an_augmentation_out_of_range_is_a_usage_error(values):
    with pytest.raises(UsageError, match=next(iter(values))):
        Augmentation(**values)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_a_usage_error(seed):
    with pytest.raises(UsageError, match="seed"):
        _draws(seed=seed)
