"""Batches on their way to the device: read ahead in another thread, pinned where that helps."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Deque, Dict, Iterable, Iterator, Mapping, TypeVar

import numpy as np
import torch

from common.training.torch.runtime import TorchDevice

_AHEAD = 2
Read = TypeVar("Read")


def read_ahead(read: Callable[[int], Read], numbers: Iterable[int]) -> Iterator[Read]:
    """What `read` gives of each number, in another thread and a little ahead."""
    with ThreadPoolExecutor(1) as pool:
        coming: Deque[Callable[[], Read]] = deque()
        for number in numbers:
            coming.append(pool.submit(read, number).result)
            if len(coming) > _AHEAD:
                yield coming.popleft()()
        while coming:
            yield coming.popleft()()


def on_device(arrays: Mapping[str, np.ndarray], device: TorchDevice) -> Dict[str, torch.Tensor]:
    """Arrays as tensors on the device; a GPU copies while it computes."""
    tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
    if device.kind == "gpu":
        tensors = {name: value.pin_memory() for name, value in tensors.items()}
    return {name: value.to(device.device, non_blocking=True) for name, value in tensors.items()}
