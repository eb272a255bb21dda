"""Attention of queries over candidates: weights that say which candidates decide."""

from __future__ import annotations

from common.training.tensorflow.runtime import tf
from protoattend.network.architecture import SPARSEMAX
from protoattend.network.parts import Projection

# The operations that are kept in float32 where others are not: logits that are close to each other
# must not become equal, and sums of a thousand weights must be 1.
IN_FLOAT32 = ("MatMul", "TopKV2", "Cumsum", "Softmax")


def attention_logits(queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    """Scaled products of queries (B, D) with keys (C, D): (B, C)."""
    width = queries.shape.as_list()[-1]
    return tf.matmul(queries, keys, transpose_b=True) / (width**0.5)


def attention_weights(logits: tf.Tensor, normalization: str) -> tf.Tensor:
    """Weights of candidates (B, C), rows that sum to 1, by sparsemax or softmax."""
    if normalization == SPARSEMAX:
        return sparsemax(logits)
    return tf.nn.softmax(logits, axis=-1)


def sparsemax(logits: tf.Tensor) -> tf.Tensor:
    """Projects rows (B, N) on the simplex; a value that is no number makes its row nan.

    Source: Martins and Astudillo, ICML 2016, algorithm 1; the gradient is its equation 14, so that
    no gradient goes through a sort.
    """

    @tf.custom_gradient
    def projected(rows: tf.Tensor):
        weights = project(rows).weights

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            kept = tf.cast(weights > 0, upstream.dtype)
            mean = tf.reduce_sum(upstream * kept, axis=-1, keepdims=True) / tf.reduce_sum(
                kept, axis=-1, keepdims=True
            )
            return kept * (upstream - mean)

        return weights, gradient

    return projected(logits)


def project(logits: tf.Tensor) -> Projection:
    """Sparsemax of rows with their candidates in order, without a gradient."""
    # Sums of large logits lose the differences between them, and a shift changes no weight.
    logits = logits - tf.reduce_max(logits, axis=-1, keepdims=True)
    count = logits.shape.as_list()[-1]
    ordered, rows = tf.nn.top_k(logits, k=count, sorted=True)
    ranks = tf.range(1, count + 1, dtype=logits.dtype)
    inside = 1 + ranks * ordered > tf.cumsum(ordered, axis=-1)
    support = tf.reduce_sum(tf.cast(inside, logits.dtype), axis=-1, keepdims=True)
    kept = tf.where(inside, ordered, tf.zeros_like(ordered))
    threshold = (tf.reduce_sum(kept, axis=-1, keepdims=True) - 1) / support
    # Neither a comparison nor relu hands on nan: the sum of the row does.
    poison = 0 * tf.reduce_sum(logits, axis=-1, keepdims=True)
    weights = tf.nn.relu(logits - threshold) + poison
    return Projection(weights, tf.nn.relu(ordered - threshold) + poison, rows)
