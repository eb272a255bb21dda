"""What a training step of ProtoAttend needs at least: operations and memory traffic."""

from __future__ import annotations

from typing import List, NamedTuple

from benchmarks.protoattend.baseline import (
    BLOCKS,
    FIRST_CHANNELS,
    IMAGE_SIZE,
    STAGES,
)
from benchmarks.shared.tf_machine import PASSES, Needs


class Layer(NamedTuple):
    """A convolution: sizes in pixels a side."""

    kernel: int
    inputs: int
    outputs: int
    input_size: int
    output_size: int


def layers_of() -> List[Layer]:
    """The convolutions of the encoder on one image."""
    layers = [Layer(3, 1, FIRST_CHANNELS, IMAGE_SIZE, IMAGE_SIZE)]
    for stage in range(STAGES):
        channels, size = FIRST_CHANNELS * 2**stage, IMAGE_SIZE // 2**stage
        inner = Layer(3, channels, channels, size, size)
        if stage == 0:
            layers += [inner, inner]
        else:
            layers += [
                Layer(3, channels // 2, channels, size * 2, size),
                inner,
                Layer(1, channels // 2, channels, size * 2, size),
            ]
        layers += [inner, inner] * (BLOCKS - 1)
    return layers


def needs_of() -> Needs:
    """Adds up the convolutions; the first one passes no gradient to the image."""
    operations = activations = weights = 0.0
    for number, layer in enumerate(layers_of()):
        passes = PASSES - 1 if number == 0 else PASSES
        area = layer.kernel**2 * layer.inputs * layer.outputs
        operations += passes * 2.0 * area * layer.output_size**2
        activations += passes * float(
            layer.input_size**2 * layer.inputs + layer.output_size**2 * layer.outputs
        )
        weights += area
    return Needs(operations, activations, weights)
