"""Batches by torchvision's transforms in DataLoader workers, as the reference makes them.

Slower than `loader.DeviceLoader`; it is here to compare with.
"""

from __future__ import annotations

import re
from typing import Any, Iterator, Tuple

import torch
from torch.utils.data import DataLoader, Dataset

from common.core.errors import InfrastructureError, UsageError, ZooError
from common.data.labelled_images import LabelledImages
from residual_attention_net.data.draws import sample_order, sample_seeds
from residual_attention_net.data.loader import Batch, check_batch_size

CROP_PADDING = 4

# A sample's index, and the seed of what its transforms draw.
_SeededSample = Tuple[int, int]


class TorchvisionLoader:
    """Shuffled training batches of one rank: pad-4 random crop, random flip, ToTensor.

    The samples of each batch are those of `DeviceLoader` with the same seed; crops and flips are
    torchvision's own draws. They depend on seed, epoch and position alone: not on the number
    of workers, not on where an epoch is resumed. The incomplete last batch is dropped.

    Args:
        images: the training set, (N, H, W, 3) with H = W.
        batch_size: per rank.
        seed: of order and transforms, 0 to 2**32 - 1.
        device: where the batches go.
        rank: from 0 to world_size - 1.
        world_size: number of ranks.
        workers: DataLoader processes; 0 makes the batches in this one.

    Raises:
        ZooError: torchvision is not installed.
        UsageError: volumes, or a global batch larger than the data.
    """

    def __init__(
        self,
        images: LabelledImages,
        batch_size: int,
        seed: int,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
        workers: int = 0,
    ) -> None:
        check_batch_size(batch_size, world_size, len(images))
        if len(images.spatial_shape) != 2 or images.channels != 3:
            raise UsageError(
                f"torchvision's transforms take RGB images, not "
                f"{images.images.shape[1:]}: use the device loader"
            )
        self._dataset = _TransformedImages(images, _reference_transform(images.spatial_shape))
        self._batch_size = batch_size
        self._seed = seed
        self._device = device
        self._rank = rank
        self._global_batch = batch_size * world_size
        self._workers = workers

    @property
    def batches_per_epoch(self) -> int:
        """Steps of an epoch, the same on every rank."""
        return len(self._dataset) // self._global_batch

    def epoch(self, epoch_index: int, first_batch: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from `first_batch` on, the same as if it had begun at 0."""
        weight = torch.ones((), device=self._device)
        loader = DataLoader(
            self._dataset,
            batch_sampler=self._batches_of_samples(epoch_index, first_batch),
            num_workers=self._workers,
            # Its own, or the DataLoader would take a number from the global generator.
            generator=torch.Generator(),
        )
        try:
            for inputs, targets in loader:
                yield Batch(
                    inputs.to(self._device), targets.to(self._device), None, weight, len(targets)
                )
        except (OSError, RuntimeError) as error:
            if not re.search("No space left|shared memory|shm|Bus error", str(error)):
                raise
            raise InfrastructureError(
                f"the {self._workers} workers of --loader torchvision have too little shared "
                "memory (/dev/shm): give --workers 0, or the container more (--shm-size)"
            ) from error

    def _batches_of_samples(self, epoch: int, first_batch: int) -> list[list[_SeededSample]]:
        count = len(self._dataset)
        order = sample_order(self._seed, epoch, count).tolist()
        seeded = list(zip(order, sample_seeds(self._seed, epoch, count).tolist()))
        starts = [
            batch * self._global_batch + self._rank * self._batch_size
            for batch in range(first_batch, self.batches_per_epoch)
        ]
        return [seeded[start : start + self._batch_size] for start in starts]


class _TransformedImages(Dataset):
    """Each image transformed under a seed of its own."""

    def __init__(self, images: LabelledImages, transform: Any) -> None:
        self._images = images
        self._transform = transform

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, sample: _SeededSample) -> tuple[torch.Tensor, int]:
        from PIL import Image

        index, seed = sample
        # Without devices: a worker process must not touch an accelerator.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            pixels = self._transform(Image.fromarray(self._images.images[index]))
        return pixels, int(self._images.labels[index])


def _reference_transform(spatial_shape: tuple[int, ...]) -> Any:
    """RandomCrop with padding 4, RandomHorizontalFlip and ToTensor."""
    try:
        from torchvision import transforms
    except (ImportError, RuntimeError, AttributeError) as error:
        # A torchvision of another torch fails with RuntimeError or AttributeError.
        reason = " ".join(str(error).split())
        raise ZooError(
            f"torchvision can't be imported ({reason}): install the torchvision that "
            f"belongs to torch {torch.__version__}, or use the device loader"
        ) from None
    return transforms.Compose(
        [
            transforms.RandomCrop(spatial_shape, padding=CROP_PADDING),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
        ]
    )
