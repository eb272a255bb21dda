"""Batches out of a whole dataset that lies on the device as bytes."""

from __future__ import annotations

import abc
import hashlib
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Iterator, Optional, Tuple

import numpy as np
import torch

from common.data.labelled_images import LabelledImages
from residual_attention_net.data.augment import (
    crop_and_flip,
    cut_out,
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
    mixed_targets: Optional[torch.Tensor]
    mixup_weight: torch.Tensor
    valid: int


@dataclass(eq=False)
class TrainingLoader(abc.ABC):
    """What every loader of shuffled training batches of one rank has.

    Global batch b covers the positions b * G to (b + 1) * G - 1 of the epoch's order, where
    G = batch_size * world_size; rank r takes the r-th contiguous part. The incomplete last
    batch is dropped.

    Attributes:
        images: the whole training set, at least a global batch; every rank holds it.
        batch_size: per rank.
        seed: of order and augmentation, 0 to 2**32 - 1.
        device: where batches are made, or go.
        rank: from 0 to world_size - 1.
        world_size: number of ranks.
    """

    images: LabelledImages
    batch_size: int
    seed: int
    device: torch.device
    rank: int = 0
    world_size: int = 1

    @property
    def global_batch(self) -> int:
        """Samples of a step over all ranks."""
        return self.batch_size * self.world_size

    @property
    def batches_per_epoch(self) -> int:
        """Steps of an epoch, the same on every rank."""
        return len(self.images) // self.global_batch

    def first_position(self, batch: int) -> int:
        """Where this rank's part of a global batch begins in the epoch's order."""
        return batch * self.global_batch + self.rank * self.batch_size

    @abc.abstractmethod
    def epoch(self, epoch_index: int, first_batch: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from `first_batch` on, the same as if it had begun at 0."""


@dataclass(eq=False)
class DeviceLoader(TrainingLoader):
    """Batches that are augmented on the device.

    Draws belong to positions, and with mixup a rank augments its partners itself, so that two
    ranks of batch B see exactly what one rank of batch 2B sees.

    Attributes:
        augmentation: what is done to the images.
        channels_last: memory layout of the inputs.
    """

    augmentation: Augmentation = Augmentation()
    channels_last: bool = False

    def __post_init__(self) -> None:
        self._words, self._labels = _on_device(self.images, self.device)

    def draws(self, epoch_index: int) -> AugmentationDraws:
        """The order and the random numbers of an epoch."""
        return draw_epoch(
            self.augmentation,
            self.seed,
            epoch_index,
            len(self.images),
            self.images.spatial_shape,
            self.global_batch,
        )

    def epoch(self, epoch_index: int, first_batch: int = 0) -> Iterator[Batch]:
        draws, size = self._device_draws(epoch_index), self.batch_size
        for batch in range(first_batch, self.batches_per_epoch):
            words, targets = self._augmented(draws, batch)
            inputs = unpack_to_unit_range(words, self.images.channels, self.channels_last)
            weight = draws.mix_weights[batch]
            if draws.partners is None:
                yield Batch(inputs, targets, None, weight, size)
            else:  # Zhang et al. 2018, equation 1
                inputs = inputs[:size] * weight + inputs[size:] * (1 - weight)
                yield Batch(inputs, targets[:size], targets[size:], weight, size)

    def checksum(self, batch_count: int = 2) -> str:
        """The sha256 of epoch 0's first batches as this rank sees them.

        Over the augmented 8-bit pixels before scaling and mixing (with mixup the partners' too),
        the targets and the mixing weights: it is the same on every device and framework version.
        """
        draws, digest = self._device_draws(0), hashlib.sha256()
        for batch in range(min(batch_count, self.batches_per_epoch)):
            words, targets = self._augmented(draws, batch)
            pixels = unpack_to_uint8(words, self.images.channels)
            for part in (pixels, targets, draws.mix_weights[batch]):
                digest.update(part.cpu().numpy().tobytes())
        return digest.hexdigest()

    def _device_draws(self, epoch_index: int) -> Any:
        """The draws as tensors, moved once per epoch so that no step waits for it."""
        return SimpleNamespace(
            **{
                name: None if array is None else torch.from_numpy(array).to(self.device)
                for name, array in vars(self.draws(epoch_index)).items()
            }
        )

    def _augmented(self, draws: Any, batch: int) -> Tuple[torch.Tensor, torch.Tensor]:
        """The augmented words and the labels of a batch, with mixup its partners' after them."""
        first, wanted = self.first_position(batch), self.augmentation
        positions = torch.arange(first, first + self.batch_size, device=self.device)
        if draws.partners is not None:
            positions = torch.cat((positions, draws.partners[positions]))
        samples = draws.order[positions]
        if wanted.crop_padding or wanted.flip:
            offsets, flips = draws.crop_offsets[positions], draws.flips[positions]
            words = crop_and_flip(self._words, samples, offsets, wanted.crop_padding, flips)
        else:
            words = self._words.index_select(0, samples)
        if wanted.cutout_size:
            words = cut_out(words, draws.cutout_centres[positions], wanted.cutout_size)
        return words, self._labels[samples]


@dataclass(eq=False)
class EvaluationLoader:
    """Every image once, in order, over all ranks: nothing dropped, nothing counted twice.

    Rank r takes the r-th contiguous share; shares differ by one image at most.

    Attributes:
        images: the whole set; a rank keeps its share only.
        batch_size: per rank.
        device: where the share lies and batches are made.
        channels_last: memory layout of the inputs.
        pad_last: repeat the last image until the last batch is full, for devices that want
            one shape only; `Batch.valid` says how many count.
    """

    images: LabelledImages
    batch_size: int
    device: torch.device
    rank: int = 0
    world_size: int = 1
    channels_last: bool = False
    pad_last: bool = False

    def __post_init__(self) -> None:
        count = len(self.images)
        first, end = (count * part // self.world_size for part in (self.rank, self.rank + 1))
        share = self.images.take(np.arange(first, end))
        self._words, self._labels = _on_device(share, self.device)

    def batches(self) -> Iterator[Batch]:
        """The share's batches, in order."""
        weight, count = torch.ones((), device=self.device), len(self._labels)
        for first in range(0, count, self.batch_size):
            end = first + self.batch_size
            place: Any = slice(first, end)
            if end > count and self.pad_last:
                place = torch.arange(first, end, device=self.device).clamp(max=count - 1)
            inputs = unpack_to_unit_range(
                self._words[place], self.images.channels, self.channels_last
            )
            valid = min(self.batch_size, count - first)
            yield Batch(inputs, self._labels[place], None, weight, valid)


def _on_device(images: LabelledImages, device: torch.device) -> Tuple[torch.Tensor, torch.Tensor]:
    """Images on the device, a pixel being one word, and their labels."""
    words = torch.from_numpy(pack_pixels(images.images))
    return words.to(device), torch.from_numpy(images.labels).to(device)
