"""Every random number of an epoch, drawn before it starts.

numpy's RandomState is used because its streams are frozen over numpy's versions: the same seed
gives the same batches on every device and framework version, and on resume inside an epoch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_ORDER, _CROP, _FLIP, _CUTOUT, _PARTNER, _WEIGHT, _SAMPLE_SEED = range(7)


@dataclass(frozen=True)
class Augmentation:
    """How training images are varied; the default leaves them as they are.

    Attributes:
        crop_padding: pixels of zeros around the image before a crop of its own size.
        flip: mirror left to right, every second image by chance.
        cutout_size: pixels of a side of the square set to zero (DeVries & Taylor 2017).
        mixup_alpha: of Beta(alpha, alpha), the mixing weight (Zhang et al. 2018); 0 is off.
        mixup_epochs: mix in the first so many epochs; in all of them when None.
    """

    crop_padding: int = 0
    flip: bool = False
    cutout_size: int = 0
    mixup_alpha: float = 0.0
    mixup_epochs: int | None = None

    def mixes(self, epoch: int) -> bool:
        """Whether mixup is on in this epoch, counted from 0."""
        ended = self.mixup_epochs is not None and epoch >= self.mixup_epochs
        return self.mixup_alpha > 0 and not ended


@dataclass(frozen=True, eq=False)
class AugmentationDraws:
    """The draws of one epoch of N positions; a position is a place in the epoch's order.

    They belong to positions of the global batches, not to ranks: however many ranks share a
    global batch, each position gets the same sample and the same augmentation.

    Attributes:
        order: int64, (N,): the sample at each position.
        crop_offsets: int64, (N, spatial dims), from 0 to twice the padding.
        flips: bool, (N,).
        cutout_centres: int64, (N, spatial dims): a pixel of the image.
        partners: int64, (N,): the position to mix with, inside the same global batch; None in
            an epoch without mixup.
        mix_weights: float32, (N // global batch,): the share of the sample itself, else 1.
    """

    order: np.ndarray
    crop_offsets: np.ndarray
    flips: np.ndarray
    cutout_centres: np.ndarray
    partners: np.ndarray | None
    mix_weights: np.ndarray


def draw_epoch(
    augmentation: Augmentation,
    seed: int,
    epoch: int,
    count: int,
    spatial_shape: tuple[int, ...],
    global_batch: int,
) -> AugmentationDraws:
    """The draws of an epoch: a pure function of its arguments.

    Each kind of draw has its own stream, so that turning one on changes none of the others.

    Args:
        augmentation: ranges of the draws.
        seed: of the run, 0 to 2**32 - 1.
        epoch: from 0.
        count: number of samples N.
        spatial_shape: (H, W) or (D, H, W).
        global_batch: samples of a batch over all ranks.
    """
    crop_range, crop_shape = 2 * augmentation.crop_padding + 1, (count, len(spatial_shape))
    flips = _stream(seed, epoch, _FLIP).randint(0, 2, count, dtype=np.int64).astype(bool)
    centre_stream = _stream(seed, epoch, _CUTOUT)
    centres = [centre_stream.randint(0, length, count, dtype=np.int64) for length in spatial_shape]
    batches, partners = count // global_batch, None
    weights = np.ones(batches, np.float32)
    if augmentation.mixes(epoch):
        # A permutation inside each global batch; positions after the last one stay alone.
        keys = _stream(seed, epoch, _PARTNER).random_sample((batches, global_batch))
        starts = np.arange(batches, dtype=np.int64)[:, np.newaxis] * global_batch
        partners = np.arange(count, dtype=np.int64)
        partners[: starts.size * global_batch] = (
            np.argsort(keys, axis=1, kind="stable") + starts
        ).ravel()
        alpha = augmentation.mixup_alpha
        weights = _stream(seed, epoch, _WEIGHT).beta(alpha, alpha, batches).astype(np.float32)
    return AugmentationDraws(
        order=sample_order(seed, epoch, count),
        crop_offsets=_stream(seed, epoch, _CROP).randint(0, crop_range, crop_shape, np.int64),
        flips=flips if augmentation.flip else np.zeros(count, bool),
        cutout_centres=np.stack(centres, axis=1),
        partners=partners,
        mix_weights=weights,
    )


def sample_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The sample at each position of an epoch: int64, (count,), every sample once."""
    return _stream(seed, epoch, _ORDER).permutation(count).astype(np.int64)


def sample_seeds(seed: int, epoch: int, count: int) -> np.ndarray:
    """One seed per position, 0 to 2**31 - 1, for transforms that draw by themselves."""
    return _stream(seed, epoch, _SAMPLE_SEED).randint(0, 2**31, count, dtype=np.int64)


def _stream(seed: int, epoch: int, kind: int) -> np.random.RandomState:
    return np.random.RandomState([seed, epoch, kind])
