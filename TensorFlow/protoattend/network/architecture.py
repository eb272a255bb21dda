"""What decides the shape of a network, as data: for both frameworks."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, NamedTuple, Tuple

SPARSEMAX, SOFTMAX = "sparsemax", "softmax"
NORMALIZATIONS = (SPARSEMAX, SOFTMAX)
RESNET32, WIDE, POOLED, MEDIUM, SMALL = "resnet32", "wide", "pooled", "medium", "small"
ENCODERS = (RESNET32, WIDE, POOLED, MEDIUM, SMALL)
MOMENTUM = 0.9  # of batch norms' running statistics
NORM_EPSILON = 1e-5
LAYER_NORM_EPSILON = 1e-12
STAGE_CHANNELS = (16, 32, 64)  # of ResNet-32
BLOCKS = 5  # in each of its stages


class PlainLayer(NamedTuple):
    """A convolution of size x size pixels, and the largest of pool x pool of its outputs."""

    size: int
    outputs: int
    stride: int = 1
    pool: int = 1


def _pooled(width: int) -> Tuple[PlainLayer, ...]:
    """Five layers that are twice as wide after each pool."""
    return (
        PlainLayer(3, width, pool=2),
        PlainLayer(3, 2 * width),
        PlainLayer(3, 2 * width, pool=2),
        PlainLayer(3, 4 * width),
        PlainLayer(3, 4 * width),
    )


# An eighth, two fifths, two fifths and five thirds of ResNet-32's operations.
PLAIN = {
    SMALL: (PlainLayer(5, 32, 2), PlainLayer(3, 64), PlainLayer(3, 64, 2), PlainLayer(3, 128, 2)),
    MEDIUM: (
        PlainLayer(3, 32),
        PlainLayer(3, 64, 2),
        PlainLayer(3, 64),
        PlainLayer(3, 128, 2),
        PlainLayer(3, 128),
    ),
    POOLED: _pooled(32),
    WIDE: _pooled(64),
}


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Sizes of a network; the defaults are the reference's.

    Attributes:
        encoder: one of ENCODERS.
        image_shape: (height, width, channels) of the images.
        classes: how many labels there are.
        final_units: width of the encoder's last layer.
        attention_dim: width of keys and queries.
        val_dim: width of values.
        normalization: what makes weights of the attention's logits, one of NORMALIZATIONS.
    """

    encoder: str = RESNET32
    image_shape: Tuple[int, int, int] = (28, 28, 1)
    classes: int = 10
    final_units: int = 256
    attention_dim: int = 16
    val_dim: int = 64
    normalization: str = SPARSEMAX

    def described(self) -> Dict[str, Any]:
        """What a checkpoint says of the network it holds."""
        return dict(
            dataclasses.asdict(self),
            image_shape=list(self.image_shape),
            name="protoattend_" + self.encoder,
        )


def architecture_from(described: Dict[str, Any]) -> Architecture:
    """The architecture that `described` gave."""
    fields = {
        field.name: described[field.name]
        for field in dataclasses.fields(Architecture)
        if field.name in described
    }
    return Architecture(**dict(fields, image_shape=tuple(fields["image_shape"])))
