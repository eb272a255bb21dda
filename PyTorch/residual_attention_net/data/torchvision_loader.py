"""Batches by torchvision's transforms in DataLoader workers, as the reference makes them.

Slower than `loader.DeviceLoader`; it is here to compare with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterator, Tuple

import torch
from torch.utils.data import DataLoader, Dataset

from common.core.errors import InfrastructureError, ZooError, first_line
from common.data.labelled_images import LabelledImages
from residual_attention_net.data.draws import sample_order, sample_seeds
from residual_attention_net.data.loader import Batch, TrainingLoader

CROP_PADDING = 4
# A sample's index, and the seed of what its transforms draw.
_SeededSample = Tuple[int, int]


@dataclass(eq=False)
class TorchvisionLoader(TrainingLoader):
    """Pad-4 random crop, random flip, ToTensor.

    The samples of each batch are those of `DeviceLoader` with the same seed; crops and flips are
    torchvision's own draws. They depend on seed, epoch and position alone: not on the number
    of workers, not on where an epoch is resumed. The images are RGB, (N, H, W, 3).

    Attributes:
        workers: DataLoader processes; 0 makes the batches in this one.

    Raises:
        ZooError: torchvision is not installed.
    """

    workers: int = 0

    def __post_init__(self) -> None:
        self._dataset = _TransformedImages(self.images)

    def epoch(self, epoch_index: int, first_batch: int = 0) -> Iterator[Batch]:
        count, weight = len(self.images), torch.ones((), device=self.device)
        order = sample_order(self.seed, epoch_index, count).tolist()
        seeded = list(zip(order, sample_seeds(self.seed, epoch_index, count).tolist()))
        starts = map(self.first_position, range(first_batch, self.batches_per_epoch))
        loader = DataLoader(
            self._dataset,
            batch_sampler=[seeded[start : start + self.batch_size] for start in starts],
            num_workers=self.workers,
            # Its own, or the DataLoader would take a number from the global generator.
            generator=torch.Generator(),
        )
        try:
            for inputs, targets in loader:
                inputs, targets = inputs.to(self.device), targets.to(self.device)
                yield Batch(inputs, targets, None, weight, len(targets))
        except (OSError, RuntimeError) as error:
            if not re.search("No space left|shared memory|shm|Bus error", str(error)):
                raise
            raise InfrastructureError(
                f"the {self.workers} workers of --loader torchvision have too little shared "
                "memory (/dev/shm): give --workers 0, or the container more (--shm-size)"
            ) from error


class _TransformedImages(Dataset):
    """Each image transformed under a seed of its own."""

    def __init__(self, images: LabelledImages) -> None:
        try:
            from torchvision import transforms
        except (ImportError, RuntimeError, AttributeError) as error:
            # A torchvision of another torch fails with RuntimeError or AttributeError.
            raise ZooError(
                f"torchvision can't be imported ({first_line(error)}): install the torchvision "
                f"that belongs to torch {torch.__version__}, or take --loader device"
            ) from None
        self._images = images
        self._transform = transforms.Compose(
            [
                transforms.RandomCrop(images.spatial_shape, padding=CROP_PADDING),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
            ]
        )

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, sample: _SeededSample) -> Tuple[torch.Tensor, int]:
        from PIL import Image

        index, seed = sample
        # Without devices: a worker process must not touch an accelerator.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            pixels = self._transform(Image.fromarray(self._images.images[index]))
        return pixels, int(self._images.labels[index])
