"""What a training step of ProtoAttend needs at least: operations and memory traffic."""

from __future__ import annotations

from typing import List

from benchmarks.protoattend.baseline import BLOCKS, FIRST_CHANNELS, IMAGE_SIZE, STAGES
from benchmarks.shared.needs import Convolution, Needs, needs_of_convolutions


def layers_of() -> List[Convolution]:
    """The convolutions of the encoder on one image."""
    layers = [_layer(3, 1, FIRST_CHANNELS, IMAGE_SIZE, IMAGE_SIZE)]
    for stage in range(STAGES):
        channels, size = FIRST_CHANNELS * 2**stage, IMAGE_SIZE // 2**stage
        inner = _layer(3, channels, channels, size, size)
        first = [inner, inner]
        if stage > 0:
            first = [
                _layer(3, channels // 2, channels, size * 2, size),
                inner,
                _layer(1, channels // 2, channels, size * 2, size),
            ]
        layers += first + [inner, inner] * (BLOCKS - 1)
    return layers


def _layer(
    kernel: int, inputs: int, outputs: int, input_size: int, output_size: int
) -> Convolution:
    """Sizes in pixels a side."""
    return Convolution(kernel, inputs, outputs, output_size**2, input_size**2, output_size**2)


def needs_of_encoder() -> Needs:
    """Of one image."""
    return needs_of_convolutions(layers_of())
