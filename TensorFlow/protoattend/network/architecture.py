"""What decides the shape of a network, as data."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, Tuple

SPARSEMAX, SOFTMAX = "sparsemax", "softmax"
NORMALIZATIONS = (SPARSEMAX, SOFTMAX)
RESNET32, POOLED, MEDIUM, SMALL = "resnet32", "pooled", "medium", "small"
ENCODERS = (RESNET32, POOLED, MEDIUM, SMALL)


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
