"""Batches out of a whole dataset that lies on the device as bytes."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Iterator, NamedTuple

import torch

from common.core.errors import UsageError
from common.data.labelled_images import LabelledImages
from residual_attention_net.data.augment import (
    crop_and_flip,
    cut_out,
    mix_up,
    pack_pixels,
    unpack_to_uint8,
    unpack_to_unit_range,
)
from residual_attention_net.data.draws import Augmentation, AugmentationDraws, draw_epoch


@dataclass(frozen=True, eq=False)
class Batch:
    """One step's input on one rank.

    Attributes:
        inputs: float32, (B, C, H, W) or (B, C, D, H, W), in [0, 1].
        targets: int64, (B,).
        mixed_targets: int64, (B,): the classes of the mixed-in images; None without mixup.
        mixup_weight: float32, (): the loss is weight * loss(targets) plus
            (1 - weight) * loss(mixed_targets).
        valid: how many of the B count; the others pad an evaluation's last batch.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    mixed_targets: torch.Tensor | None
    mixup_weight: torch.Tensor
    valid: int


class _Images:
    """A set of images on the device, a pixel being one word."""

    def __init__(self, images: LabelledImages, device: torch.device) -> None:
        self.words = torch.from_numpy(pack_pixels(images.images)).to(device)
        self.labels = torch.from_numpy(images.labels).to(device)
        self.channels = images.channels


class PixelBatch(NamedTuple):
    """A batch before scaling and mixing.

    Attributes:
        pixels: uint8, (B, *spatial, C), augmented; with mixup (2 B, ...), partners last.
        targets: int64, as many.
        mixup_weight: float32, ().
    """

    pixels: torch.Tensor
    targets: torch.Tensor
    mixup_weight: torch.Tensor


class DeviceLoader:
    """Shuffled, augmented training batches of one rank.

    Global batch b covers the positions b * G to (b + 1) * G - 1 of the epoch's order, where
    G = batch_size * world_size; rank r takes the r-th contiguous part. The incomplete last
    batch is dropped. Draws belong to positions, and with mixup a rank augments its partners
    itself, so that two ranks of batch B see exactly what one rank of batch 2B sees.

    Args:
        images: the whole training set; every rank holds it.
        batch_size: per rank.
        augmentation: what is done to the images.
        seed: of order and augmentation, 0 to 2**32 - 1.
        device: where the set lies and batches are made.
        rank: from 0 to world_size - 1.
        world_size: number of ranks.
        channels_last: memory layout of the inputs.

    Raises:
        UsageError: a batch size below 1, or a global batch larger than the data.
    """

    def __init__(
        self,
        images: LabelledImages,
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
        channels_last: bool = False,
    ) -> None:
        check_batch_size(batch_size, world_size, len(images))
        _check_rank(rank, world_size)
        self._images = _Images(images, device)
        self._spatial_shape = images.spatial_shape
        self._count = len(images)
        self._batch_size = batch_size
        self._augmentation = augmentation
        self._seed = seed
        self._device = device
        self._rank = rank
        self._global_batch = batch_size * world_size
        self._channels_last = channels_last

    @property
    def batches_per_epoch(self) -> int:
        """Steps of an epoch, the same on every rank."""
        return self._count // self._global_batch

    def epoch(self, epoch_index: int, first_batch: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from `first_batch` on, the same as if it had begun at 0."""
        draws = self._device_draws(epoch_index)
        for batch_index in range(first_batch, self.batches_per_epoch):
            yield self._batch(draws, batch_index)

    def pixel_batches(self, epoch_index: int) -> Iterator[PixelBatch]:
        """The batches of an epoch before scaling and mixing, for checksums and pictures."""
        draws = self._device_draws(epoch_index)
        for batch_index in range(self.batches_per_epoch):
            words, targets = self._augmented(draws, batch_index)
            pixels = unpack_to_uint8(words, self._images.channels)
            yield PixelBatch(pixels, targets, draws.mix_weights[batch_index])

    def draws(self, epoch_index: int) -> AugmentationDraws:
        """The order and the random numbers of an epoch."""
        return draw_epoch(
            self._augmentation,
            self._seed,
            epoch_index,
            self._count,
            self._spatial_shape,
            self._global_batch,
        )

    def _device_draws(self, epoch_index: int) -> Any:
        """The draws as tensors, moved once per epoch so that no step waits for it."""
        drawn = vars(self.draws(epoch_index))
        return SimpleNamespace(
            **{
                name: None if array is None else torch.from_numpy(array).to(self._device)
                for name, array in drawn.items()
            }
        )

    def _batch(self, draws: Any, batch_index: int) -> Batch:
        words, targets = self._augmented(draws, batch_index)
        size = self._batch_size
        inputs = unpack_to_unit_range(words, self._images.channels, self._channels_last)
        weight = draws.mix_weights[batch_index]
        if draws.partners is None:
            return Batch(inputs, targets, None, weight, size)
        mixed = mix_up(inputs[:size], inputs[size:], weight)
        return Batch(mixed, targets[:size], targets[size:], weight, size)

    def _positions(self, draws: Any, batch_index: int) -> torch.Tensor:
        first = batch_index * self._global_batch + self._rank * self._batch_size
        own = torch.arange(first, first + self._batch_size, device=self._device)
        if draws.partners is None:
            return own
        return torch.cat((own, draws.partners[own]))

    def _augmented(self, draws: Any, batch_index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The augmented words and the labels of a batch, with mixup its partners' after them."""
        positions = self._positions(draws, batch_index)
        samples = draws.order[positions]
        wanted = self._augmentation
        if wanted.crop_padding or wanted.flip:
            words = crop_and_flip(
                self._images.words,
                samples,
                draws.crop_offsets[positions],
                wanted.crop_padding,
                draws.flips[positions],
            )
        else:
            words = self._images.words.index_select(0, samples)
        if wanted.cutout_size:
            words = cut_out(words, draws.cutout_centres[positions], wanted.cutout_size)
        return words, self._images.labels[samples]


class EvaluationLoader:
    """Every image once, in order, over all ranks: nothing dropped, nothing counted twice.

    Rank r takes the r-th contiguous share; shares differ by one image at most.

    Args:
        images: the whole set; a rank keeps its share only.
        batch_size: per rank.
        device: where the share lies and batches are made.
        rank: from 0 to world_size - 1.
        world_size: number of ranks.
        channels_last: memory layout of the inputs.
        pad_last: repeat the last image until the last batch is full, for devices that want
            one shape only; `Batch.valid` says how many count.

    Raises:
        UsageError: a batch size below 1.
    """

    def __init__(
        self,
        images: LabelledImages,
        batch_size: int,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
        channels_last: bool = False,
        pad_last: bool = False,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch size {batch_size}: at least 1 is needed")
        _check_rank(rank, world_size)
        first, end = _share(len(images), rank, world_size)
        share = LabelledImages(images.images[first:end], images.labels[first:end], images.classes)
        self._images = _Images(share, device)
        self._count = end - first
        self._batch_size = batch_size
        self._device = device
        self._channels_last = channels_last
        self._pad_last = pad_last

    @property
    def count(self) -> int:
        """The images of this rank's share."""
        return self._count

    @property
    def batches_per_epoch(self) -> int:
        """The batches of this rank's share, the last incomplete one included."""
        return -(-self._count // self._batch_size)

    def batches(self) -> Iterator[Batch]:
        """The share's batches, in order."""
        weight = torch.ones((), device=self._device)
        for first in range(0, self._count, self._batch_size):
            words, labels, valid = self._slice(first)
            inputs = unpack_to_unit_range(words, self._images.channels, self._channels_last)
            yield Batch(inputs, labels, None, weight, valid)

    def _slice(self, first: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        end = first + self._batch_size
        valid = min(end, self._count) - first
        if valid == self._batch_size or not self._pad_last:
            return self._images.words[first:end], self._images.labels[first:end], valid
        places = torch.arange(first, end, device=self._device).clamp(max=self._count - 1)
        return self._images.words[places], self._images.labels[places], valid


def first_batches_sha256(loader: DeviceLoader, batch_count: int = 2) -> str:
    """The checksum of epoch 0's first batches as this rank sees them.

    Over the augmented 8-bit pixels before scaling and mixing (with mixup the partners' too),
    the targets and the mixing weights: it is the same on every device and framework version.
    """
    digest = hashlib.sha256()
    for batch in itertools.islice(loader.pixel_batches(0), batch_count):
        for part in batch:
            digest.update(part.cpu().numpy().tobytes())
    return digest.hexdigest()


def check_batch_size(batch_size: int, world_size: int, image_count: int) -> None:
    """Raises UsageError unless a global batch is at least 1 image and within the data."""
    if batch_size < 1:
        raise UsageError(f"batch size {batch_size}: at least 1 is needed")
    if batch_size * world_size > image_count:
        raise UsageError(
            f"batch size {batch_size} on {world_size} rank(s) is larger than the "
            f"{image_count} training images: give --train_batch_size of at most "
            f"{max(image_count // world_size, 1)}, or more images"
        )


def _check_rank(rank: int, world_size: int) -> None:
    if not 0 <= rank < world_size:
        raise ValueError(f"rank {rank} of a world of {world_size}")


def _share(count: int, rank: int, world_size: int) -> tuple[int, int]:
    """First and end of a rank's contiguous share."""
    return count * rank // world_size, count * (rank + 1) // world_size
