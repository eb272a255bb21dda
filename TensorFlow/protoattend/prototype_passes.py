"""Decisions on the device: candidates are encoded once, queries pass in batches of one shape."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple

import numpy as np

from common.data.labelled_images import LabelledImages
from common.training.tensorflow.runtime import tf
from protoattend.metrics.decisions import PROTOTYPE_SHARES, Decisions, joined
from protoattend.network.architecture import SPARSEMAX
from protoattend.network.attention import attention_logits
from protoattend.network.prototype_network import PrototypeNetwork, standardised
from protoattend.network.sparsemax import project

SHOWN = 8  # prototypes kept of each decision
# Sparsemax looks at so many of the largest logits; decisions with more prototypes are made again.
LARGEST = 512


class Ranked(NamedTuple):
    """Weights (Q, C), the largest of them in order, whose they are, how many are not 0."""

    weights: tf.Tensor
    ordered: tf.Tensor
    rows: tf.Tensor
    support: tf.Tensor


class PrototypePasses:
    """A network in evaluation mode with a database of candidates.

    Every tensor has a fixed shape: images are padded to whole batches and the padding is cut off
    on the host. Memory is that of one batch: (batch, candidates) a few times.
    """

    def __init__(
        self, network: PrototypeNetwork, candidates: int, batch: int, scale: float = 1.0
    ) -> None:
        """Builds everything into the default graph; the network's variables must exist.

        Args:
            candidates: size C of the database.
            batch: images that go through the network at a time.
            scale: factor of the attention's logits; 1 is the paper's.
        """
        shape = network.architecture
        self._batch, self._count = batch, candidates
        self._classes, self._normalization = shape.classes, shape.normalization
        self._images = tf.placeholder(tf.uint8, (batch,) + tuple(shape.image_shape))
        encoded = network.encode(standardised(self._images), training=False)
        blank = tf.zeros((1,) + tuple(shape.image_shape), tf.uint8)
        self._probe = network.encode(standardised(blank), training=False).values
        self._encoded = {"keys": encoded.keys, "values": encoded.values}
        self._store = {
            "keys": _stored([candidates, shape.attention_dim]),
            "values": _stored([candidates, shape.val_dim]),
            "one_hot": _stored([candidates, shape.classes]),
        }
        self._fill = _filling(self._store)
        database = {name: variable.read_value() for name, variable in self._store.items()}
        logits = scale * attention_logits(encoded.queries, database["keys"])
        own = network.classify(encoded.values)
        familiarity = tf.stack(
            [
                tf.reduce_max(logits, axis=-1),
                -nearest_distance(encoded.keys, database["keys"]),
                -nearest_distance(encoded.values, database["values"]),
            ],
            axis=-1,
        )
        # Softmax leaves no weight at 0: its prototypes are sought among all candidates at once.
        first = min(LARGEST, candidates) if self._normalization == SPARSEMAX else candidates
        self._outputs = {
            looked_at: dict(
                self._decided(logits, database, network, looked_at),
                own_logits=own,
                familiarity=familiarity,
            )
            for looked_at in sorted({first, candidates})
        }

    def _decided(
        self,
        logits: tf.Tensor,
        database: Dict[str, tf.Tensor],
        network: PrototypeNetwork,
        looked_at: int,
    ) -> Dict[str, tf.Tensor]:
        """What the attention makes of logits; prototypes are sought among `looked_at` of them."""
        ranked = self._ranked(logits, looked_at)
        reached = tf.cumsum(ranked.ordered, axis=-1)
        counts = [
            1 + tf.reduce_sum(tf.cast(reached <= share, tf.int32), axis=-1)
            for share in PROTOTYPE_SHARES
        ]
        shown = min(SHOWN, self._count)
        return {
            "mixed_logits": network.classify(tf.matmul(ranked.weights, database["values"])),
            "class_weights": tf.matmul(ranked.weights, database["one_hot"]),
            "prototype_counts": tf.stack(counts, axis=-1),
            "top_candidates": ranked.rows[:, :shown],
            "top_weights": ranked.ordered[:, :shown],
            "support": ranked.support,
        }

    def _ranked(self, logits: tf.Tensor, looked_at: int) -> Ranked:
        if self._normalization == SPARSEMAX:
            found = project(logits, looked_at)
            return Ranked(found.weights, found.ordered, found.rows, found.support)
        weights = tf.nn.softmax(logits, axis=-1)
        ordered, rows = tf.nn.top_k(weights, k=self._count, sorted=True)
        return Ranked(weights, ordered, rows, tf.zeros([self._batch], tf.int32))

    @property
    def probe(self) -> tf.Tensor:
        """A tensor that takes a pass of the network and needs no images."""
        return self._probe

    def fill(self, session: Any, candidates: LabelledImages) -> None:
        """Encodes candidates into the database, with the weights of the moment."""
        if len(candidates) != self._count:
            raise ValueError(f"{len(candidates)} candidates for a database of {self._count}")
        parts = [
            session.run(self._encoded, {self._images: images})
            for images, _ in self._batches(candidates.images)
        ]
        values = {
            name: np.concatenate([part[name] for part in parts])[: self._count]
            for name in self._encoded
        }
        values["one_hot"] = np.eye(self._classes, dtype=np.float32)[candidates.labels]
        for name, value in values.items():
            placeholder, operation = self._fill[name]
            session.run(operation, {placeholder: value})

    def decide(self, session: Any, queries: LabelledImages) -> Decisions:
        """Decides on every image; call fill before."""
        parts: List[Decisions] = []
        first = 0
        for images, count in self._batches(queries.images):
            values = self._run(session, images)
            values.pop("support")
            parts.append(
                Decisions(
                    labels=queries.labels[first : first + count],
                    **{name: value[:count] for name, value in values.items()},
                )
            )
            first += count
        return joined(parts)

    def _run(self, session: Any, images: np.ndarray) -> Dict[str, np.ndarray]:
        """One batch; again among all candidates where too few of them were looked at."""
        for looked_at, outputs in self._outputs.items():
            values = session.run(outputs, {self._images: images})
            if looked_at == self._count or values["support"].max() < looked_at:
                break
        values["top_candidates"] = values["top_candidates"].astype(np.int64)
        return values

    def _batches(self, images: np.ndarray):
        """(images, count): whole batches, of which the first `count` images are real."""
        for first in range(0, len(images), self._batch):
            part = images[first : first + self._batch]
            missing = self._batch - len(part)
            if missing:
                part = np.concatenate([part, np.zeros((missing,) + part.shape[1:], np.uint8)])
            yield part, self._batch - missing


def nearest_distance(vectors: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """The Euclidean distance of each row (B, D) to the nearest of others (C, D): (B,)."""
    products = tf.matmul(vectors, others, transpose_b=True)
    squares = tf.reduce_sum(others**2, axis=-1)[tf.newaxis] - 2 * products
    nearest = tf.reduce_min(squares, axis=-1) + tf.reduce_sum(vectors**2, axis=-1)
    return tf.sqrt(tf.nn.relu(nearest))


def _stored(shape: List[int]) -> Any:
    """A variable of this process alone: no checkpoint holds it and no rank sends it."""
    return tf.Variable(
        tf.zeros(shape),
        trainable=False,
        use_resource=True,
        collections=[tf.GraphKeys.LOCAL_VARIABLES],
    )


def _filling(variables: Dict[str, Any]) -> Dict[str, Any]:
    """By name, a placeholder and the operation that puts its value into the variable."""
    found = {}
    for name, variable in variables.items():
        placeholder = tf.placeholder(tf.float32, variable.shape.as_list())
        found[name] = placeholder, variable.assign(placeholder).op
    return found
