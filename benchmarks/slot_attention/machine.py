"""What a training image of Slot Attention needs at least: operations and memory traffic."""

from __future__ import annotations

from typing import List

from benchmarks.shared.needs import Convolution, Needs, needs_of_convolutions
from benchmarks.slot_attention.benchmark import OBJECT_DISCOVERY

SLOTS = 7


def layers_of(task: str) -> List[Convolution]:
    """The convolutions of a task's network at 128x128."""
    full = 128 * 128
    inner = Convolution(5, 64, 64, full, full, full)
    first = inner._replace(inputs=3)
    if task != OBJECT_DISCOVERY:
        return [
            first,
            Convolution(5, 64, 64, full // 4, full, full // 4),
            Convolution(5, 64, 64, full // 16, full // 4, full // 16),
            Convolution(5, 64, 64, full // 16, full // 16, full // 16),
        ]
    upsampling = [
        Convolution(5, 64, 64, size**2, size**2, 4 * size**2, SLOTS) for size in (8, 16, 32, 64)
    ]
    last = inner._replace(times=SLOTS)
    return [first, *[inner] * 3, *upsampling, last, last._replace(kernel=3, outputs=4)]


def needs_of_task(task: str) -> Needs:
    """Of one image."""
    return needs_of_convolutions(layers_of(task))
