"""What one training image costs at least: operations and memory traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, NamedTuple

COPY_ELEMENTS = 1 << 25  # float32 numbers that are copied to measure the bandwidth
PASSES = 3  # forward, gradient of the input, gradient of the weights
SGD_PASSES = 5  # read weight, gradient and momentum, write weight and momentum
ADAM_PASSES = 7  # read weight, gradient and two moments; write weight and two moments
BYTES_PER_NUMBER = {"fp32": 4, "bf16": 2}


@dataclass(frozen=True)
class Needs:
    """What one training image costs at least.

    Attributes:
        operations: floating-point operations of its convolutions (and linear layers).
        activations: numbers that these layers read and write, each layer on its own.
        weights: of these layers.
        optimizer_passes: how often the optimizer reads or writes a weight's number.
    """

    operations: float
    activations: float
    weights: float
    optimizer_passes: int

    def bytes_per_image(self, kind: str, images: int) -> float:
        """Bytes moved per image: activations in `kind`, weights and optimizer in float32."""
        return (
            self.activations * BYTES_PER_NUMBER[kind]
            + self.weights * self.optimizer_passes * 4 / images
        )


class Convolution(NamedTuple):
    """A convolution, `times` an image; moved over `pixels`, the smaller of both sides' pixels."""

    kernel: int
    inputs: int
    outputs: int
    pixels: int
    input_pixels: int
    output_pixels: int
    times: int = 1


def needs_of_convolutions(layers: Iterable[Convolution]) -> Needs:
    """Adds them up, with Adam; the first one passes no gradient to the image."""
    operations = activations = weights = 0.0
    for number, layer in enumerate(layers):
        passes = (PASSES - (number == 0)) * layer.times
        area = layer.kernel**2 * layer.inputs * layer.outputs
        operations += passes * 2.0 * area * layer.pixels
        activations += passes * float(
            layer.input_pixels * layer.inputs + layer.output_pixels * layer.outputs
        )
        weights += area
    return Needs(operations, activations, weights, ADAM_PASSES)
