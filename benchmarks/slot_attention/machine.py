"""What a training image of Slot Attention needs at least: operations and memory traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List

from benchmarks.shared.tf_machine import PASSES, Needs
from benchmarks.slot_attention.cases import OBJECT_DISCOVERY

SLOTS = 7


@dataclass(frozen=True)
class Layer:
    """A convolution or transposed convolution: `times` an image, sizes in pixels a side.

    `size` is that of its smaller side, over which its kernel is moved.
    """

    kernel: int
    inputs: int
    outputs: int
    size: int
    input_pixels: int
    output_pixels: int
    times: int = 1


def layers_of(task: str) -> List[Layer]:
    """The convolutions of a task's network at 128x128."""
    full = 128 * 128
    if task != OBJECT_DISCOVERY:
        return [
            Layer(5, 3, 64, 128, full, full),
            Layer(5, 64, 64, 64, full, full // 4),
            Layer(5, 64, 64, 32, full // 4, full // 16),
            Layer(5, 64, 64, 32, full // 16, full // 16),
        ]
    encoder = [Layer(5, 3, 64, 128, full, full)] + [Layer(5, 64, 64, 128, full, full)] * 3
    upsampling = [Layer(5, 64, 64, size, size**2, 4 * size**2, SLOTS) for size in (8, 16, 32, 64)]
    return (
        encoder
        + upsampling
        + [Layer(5, 64, 64, 128, full, full, SLOTS), Layer(3, 64, 4, 128, full, full, SLOTS)]
    )


def needs_of(task: str) -> Needs:
    """Adds up the convolutions; the first one passes no gradient to the image."""
    operations = activations = weights = 0.0
    for number, layer in enumerate(layers_of(task)):
        passes = PASSES - 1 if number == 0 else PASSES
        area = layer.kernel**2 * layer.inputs * layer.outputs
        operations += passes * 2.0 * area * layer.size**2 * layer.times
        activations += (
            passes
            * layer.times
            * float(layer.input_pixels * layer.inputs + layer.output_pixels * layer.outputs)
        )
        weights += area
    return Needs(operations, activations, weights)
