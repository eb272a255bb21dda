"""Decisions on the device: candidates are encoded once, queries pass in batches of one shape."""

from __future__ import annotations

import functools
from typing import Any, Dict, Mapping, Sequence, Tuple

import numpy as np

from common.data.arrays import whole_batches
from common.data.labelled_images import LabelledImages
from common.training.run import Evaluation
from common.training.tensorflow import ranks as tf_ranks
from common.training.tensorflow.runtime import tf
from protoattend.metrics.decisions import PROTOTYPE_SHARES, Decisions
from protoattend.network.architecture import SPARSEMAX
from protoattend.network.attention import Projection, attention_logits, project
from protoattend.network.prototype_network import PrototypeNetwork, standardised
from protoattend.session import Session
from protoattend.splits import SHOWN, Decide, Splits


class PrototypePasses:
    """A network in evaluation mode with a database of candidates.

    Every tensor has a fixed shape: images are padded to whole batches and the padding is cut off
    on the host. Memory is that of one batch: (batch, candidates) a few times.

    Attributes:
        probe: a tensor that takes a pass of the network and needs no images.
    """

    def __init__(
        self, network: PrototypeNetwork, candidates: LabelledImages, batch: int, scale: float = 1.0
    ) -> None:
        """Builds everything into the default graph; the network's variables must exist.

        Args:
            batch: images that go through the network at a time.
            scale: factor of the attention's logits; 1 is the paper's.
        """
        shape, count = network.architecture, len(candidates)
        self.candidates, self._batch = candidates, batch
        self._images = tf.placeholder(tf.uint8, (batch, *shape.image_shape))
        encoded = network.encode(standardised(self._images), training=False)
        blank = tf.zeros((1, *shape.image_shape), tf.uint8)
        self.probe = network.encode(standardised(blank), training=False).values
        self._encoded = {"keys": encoded.keys, "values": encoded.values}
        self._fill, database = {}, {}
        for name, tensor in self._encoded.items():
            size = [count, tensor.shape.as_list()[1]]
            # Of this process alone: no checkpoint holds it and no rank sends it.
            stored = tf.Variable(
                tf.zeros(size),
                trainable=False,
                use_resource=True,
                collections=[tf.GraphKeys.LOCAL_VARIABLES],
            )
            placeholder = tf.placeholder(tf.float32, size)
            self._fill[name] = placeholder, stored.assign(placeholder).op
            database[name] = stored.read_value()
        logits = scale * attention_logits(encoded.queries, database["keys"])
        familiarity = [
            tf.reduce_max(logits, axis=-1),
            -nearest_distance(encoded.keys, database["keys"]),
            -nearest_distance(encoded.values, database["values"]),
        ]
        # Softmax leaves no weight at 0: its prototypes are sought among all candidates.
        is_sparse = shape.normalization == SPARSEMAX
        found = project(logits) if is_sparse else _softmax(logits)
        reached = tf.cumsum(found.ordered, axis=-1)
        counts = [
            1 + tf.reduce_sum(tf.cast(reached <= share, tf.int32), axis=-1)
            for share in PROTOTYPE_SHARES
        ]
        labels = tf.one_hot(candidates.labels, shape.classes)
        self._outputs = {
            "own_logits": network.classify(encoded.values),
            "familiarity": tf.stack(familiarity, axis=-1),
            "mixed_logits": network.classify(tf.matmul(found.weights, database["values"])),
            "class_weights": tf.matmul(found.weights, labels),
            "prototype_counts": tf.stack(counts, axis=-1),
            "top_candidates": found.rows[:, :SHOWN],
            "top_weights": found.ordered[:, :SHOWN],
        }

    def tensors(self) -> Tuple[tf.Tensor, Dict[str, tf.Tensor]]:
        """The placeholder of images and what is decided on them."""
        return self._images, self._outputs

    def fill(self, session: Any) -> None:
        """Encodes the candidates into the database, with the weights of the moment."""
        parts = [
            session.run(self._encoded, {self._images: images})
            for images, _ in whole_batches(self.candidates.images, self._batch)
        ]
        for name, (placeholder, operation) in self._fill.items():
            values = np.concatenate([part[name] for part in parts])[: len(self.candidates)]
            session.run(operation, {placeholder: values})

    def decide(self, session: Any, queries: LabelledImages) -> Decisions:
        """Decides on every image, at least one; call fill before."""
        parts = []
        for images, count in whole_batches(queries.images, self._batch):
            values = session.run(self._outputs, {self._images: images})
            parts.append({name: value[:count] for name, value in values.items()})
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return Decisions(labels=queries.labels, **found)


def _softmax(logits: tf.Tensor) -> Projection:
    """All weights of logits (Q, C) in order."""
    weights = tf.nn.softmax(logits, axis=-1)
    ordered, rows = tf.nn.top_k(weights, k=logits.shape.as_list()[-1], sorted=True)
    return Projection(weights, ordered, rows)


def nearest_distance(vectors: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """The Euclidean distance of each row (B, D) to the nearest of others (C, D): (B,)."""
    products = tf.matmul(vectors, others, transpose_b=True)
    squares = tf.reduce_sum(others**2, axis=-1)[tf.newaxis] - 2 * products
    nearest = tf.reduce_min(squares, axis=-1) + tf.reduce_sum(vectors**2, axis=-1)
    return tf.sqrt(tf.nn.relu(nearest))


# --- the splits of a run ---------------------------------------------------------------------


class SplitEvaluation:
    """A network with the passes that decide on a run's splits."""

    def __init__(self, session: Session, network: Any) -> None:
        """Builds the passes into the default graph; see Splits."""
        options = session.options
        self.network = network
        self.splits = Splits(options, session.dataset, session.say)
        self.passes = PrototypePasses(
            network, self.splits.candidates, options.evaluation_batch_size, options.attention_scale
        )
        # Each rank has batch norm statistics of its own; all evaluate with those of the first.
        self._share_statistics = tf_ranks.broadcast_in_graph(
            session.device, [weight for weight in network.weights if not weight.trainable]
        )

    def prepare(self, running: Any) -> None:
        """Encodes the candidates with the weights of the moment; every rank must take part."""
        running.run(self._share_statistics)
        self.passes.fill(running)

    def decide(self, running: Any) -> Decide:
        """What decides on images in a session."""
        return functools.partial(self.passes.decide, running)

    def evaluate(self, running: Any, step: int, role: str) -> Sequence[Evaluation]:
        """See Splits.evaluate."""
        self.prepare(running)
        return self.splits.evaluate(role, self.decide(running))

    def pictures(self, running: Any, step: int) -> Mapping[str, bytes]:
        """Only the first rank draws, so nothing here may wait for the others."""
        self.passes.fill(running)
        return self.splits.pictures(self.decide(running))
