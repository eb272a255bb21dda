"""Attention of queries over candidates: weights that say which candidates decide."""

from __future__ import annotations

from common.training.tensorflow.runtime import tf
from protoattend.network.architecture import SPARSEMAX
from protoattend.network.sparsemax import sparsemax

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
