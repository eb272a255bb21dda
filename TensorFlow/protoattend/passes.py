"""Decisions on the device: candidates are encoded once, queries pass in batches of one shape."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from common.core.errors import UsageError
from common.data.arrays import whole_batches
from common.data.labelled_images import LabelledImages
from common.training.run import Evaluation
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.runtime import tf
from protoattend.data.batches import evaluation_candidates, missing_classes_warning
from protoattend.gallery.explained import Explained, explained
from protoattend.metrics.decisions import PROTOTYPE_SHARES, Decisions
from protoattend.metrics.report import CandidateSet, Report, as_metrics, make_report
from protoattend.network.architecture import SPARSEMAX
from protoattend.network.attention import Projection, attention_logits, project
from protoattend.network.prototype_network import PrototypeNetwork, standardised
from protoattend.session import Session

SHOWN = 8  # prototypes kept of each decision
# Sparsemax looks at so many of the largest logits; decisions with more prototypes are made again.
LARGEST = 512
PICTURED = 8  # of the validation images, on the way


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
        every = {
            "own_logits": network.classify(encoded.values),
            "familiarity": tf.stack(familiarity, axis=-1),
        }
        labels = tf.one_hot(candidates.labels, shape.classes)
        # Softmax leaves no weight at 0: its prototypes are sought among all candidates at once.
        is_sparse = shape.normalization == SPARSEMAX
        self._outputs = {}
        for looked_at in sorted({min(LARGEST, count) if is_sparse else count, count}):
            found = project(logits, looked_at) if is_sparse else _softmax(logits)
            reached = tf.cumsum(found.ordered, axis=-1)
            counts = [
                1 + tf.reduce_sum(tf.cast(reached <= share, tf.int32), axis=-1)
                for share in PROTOTYPE_SHARES
            ]
            self._outputs[looked_at] = {
                **every,
                "mixed_logits": network.classify(tf.matmul(found.weights, database["values"])),
                "class_weights": tf.matmul(found.weights, labels),
                "prototype_counts": tf.stack(counts, axis=-1),
                "top_candidates": found.rows[:, :SHOWN],
                "top_weights": found.ordered[:, :SHOWN],
                "support": found.support,
            }

    def exact(self) -> Tuple[tf.Tensor, Dict[str, tf.Tensor]]:
        """The placeholder of images and what is decided on them among all candidates at once."""
        return self._images, self._outputs[len(self.candidates)]

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
            for looked_at, outputs in self._outputs.items():
                values = session.run(outputs, {self._images: images})
                if values.pop("support").max() < looked_at:
                    break
            parts.append({name: value[:count] for name, value in values.items()})
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return Decisions(labels=queries.labels, **found)


def _softmax(logits: tf.Tensor) -> Projection:
    """All weights of logits (Q, C) in order; no support to compare."""
    weights = tf.nn.softmax(logits, axis=-1)
    count, candidates = logits.shape.as_list()
    ordered, rows = tf.nn.top_k(weights, k=candidates, sorted=True)
    return Projection(weights, ordered, rows, tf.zeros([count], tf.int32))


def nearest_distance(vectors: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """The Euclidean distance of each row (B, D) to the nearest of others (C, D): (B,)."""
    products = tf.matmul(vectors, others, transpose_b=True)
    squares = tf.reduce_sum(others**2, axis=-1)[tf.newaxis] - 2 * products
    nearest = tf.reduce_min(squares, axis=-1) + tf.reduce_sum(vectors**2, axis=-1)
    return tf.sqrt(tf.nn.relu(nearest))


# --- the splits of a run ---------------------------------------------------------------------


def evaluated_tests(session: Session) -> LabelledImages:
    """The test images; with --drop_test_tail only those that fill batches, as the reference."""
    tests, size = session.dataset.test, session.options.batch_size
    if not session.options.drop_test_tail:
        return tests
    if len(tests) < size:
        raise UsageError(
            f"--drop_test_tail leaves none of {len(tests)} test images with --batch_size {size}: "
            "give a smaller batch"
        )
    return tests.take(range(len(tests) // size * size))


class SplitEvaluation:
    """A network, its candidates, and the splits that are decided on with them."""

    def __init__(self, session: Session, network: Any) -> None:
        """Builds the passes into the default graph.

        Raises:
            UsageError: fewer training images than --eval_cand_size, or a test set smaller than a
                batch with --drop_test_tail.
        """
        options, dataset = session.options, session.dataset
        self._session, self.network = session, network
        self.candidates = evaluation_candidates(options, dataset.train)
        self.candidate_set = CandidateSet(
            dataset.name, len(self.candidates), self.candidates.sha256()
        )
        self.passes = PrototypePasses(
            network, self.candidates, options.evaluation_batch_size, options.attention_scale
        )
        # Each rank has batch norm statistics of its own; all evaluate with those of the first.
        self._share_statistics = tf_runtime.broadcast_in_graph(
            session.device, [weight for weight in network.weights if not weight.trainable]
        )
        self.tests = evaluated_tests(session)
        warning = missing_classes_warning(self.candidates.labels, dataset.class_names)
        if warning is not None:
            session.say("warning: " + warning)

    def prepare(self, running: Any) -> None:
        """Encodes the candidates with the weights of the moment; every rank must take part."""
        running.run(self._share_statistics)
        self.passes.fill(running)

    def report(
        self, decisions: Decisions, others: Optional[Mapping[str, Decisions]] = None
    ) -> Report:
        """All metrics of decisions, and how they differ from those on other sets."""
        divided = self._session.options.reference_denominators
        return make_report(decisions, self.candidate_set, others, divided)

    def evaluate(self, running: Any, step: int, role: str) -> Sequence[Evaluation]:
        """Validation on the way, by which the best checkpoint is chosen; the test at the end."""
        self.prepare(running)
        on_the_way = role == "progress"
        images = self._session.dataset.validation if on_the_way else self.tests
        found = as_metrics(self.report(self.passes.decide(running, images)))
        if on_the_way:
            return [Evaluation("validation", len(images), found, score=found["accuracy"])]
        return [Evaluation("test", len(images), found)]

    def explain(self, decisions: Decisions, images: LabelledImages) -> List[Explained]:
        """Decisions on images with their prototypes, for people."""
        return explained(decisions, images, self.candidates, self._session.dataset.class_names)

    def pictures(self, running: Any, step: int) -> Mapping[str, bytes]:
        """The prototypes of the first validation images.

        Only the first rank draws, so nothing here may wait for the others.
        """
        from common.evidence.figures.figure import png_bytes
        from protoattend.gallery.prototypes import prototypes_figure

        self.passes.fill(running)
        validation = self._session.dataset.validation
        images = validation.take(range(min(PICTURED, len(validation))))
        shown = self.explain(self.passes.decide(running, images), images)
        return {"prototypes": png_bytes(prototypes_figure(shown))}
