"""What the parts of the network give, in either framework: tensors by name."""

from __future__ import annotations

from typing import Any, NamedTuple

FAR = -1e6  # the logit of a candidate that no query may attend to


class Encoded(NamedTuple):
    """What the network makes of images: keys and queries (B, D), values (B, V).

    moments: what TensorFlow's batch norms saw, for their running statistics.
    """

    keys: Any
    queries: Any
    values: Any
    moments: Any = ()


class Projection(NamedTuple):
    """Logits (B, N) projected on the simplex.

    weights: (B, N). ordered: (B, N), the same, heaviest first. rows: (B, N) whole numbers, whose
    they are.
    """

    weights: Any
    ordered: Any
    rows: Any


class Attended(NamedTuple):
    """A training batch's decisions: attention weights (B, C) and logits of the three values."""

    weights: Any
    own: Any
    mixed: Any
    joint: Any


class Losses(NamedTuple):
    """Scalars: of own values, of the prototypes' mix, of both together, and the sparsity term."""

    own: Any
    mixed: Any
    joint: Any
    sparsity: Any

    def total(self, sparsity_weight: float) -> Any:
        """What is minimised, without the penalty on weights (paper, equations 6 and 7)."""
        return self.own + self.mixed + self.joint + sparsity_weight * self.sparsity
