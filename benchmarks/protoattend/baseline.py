"""The plain baseline: ProtoAttend's training step in the reference's way.

A restatement of the reference's mathematics and order of work (github.com/google-research/
google-research, protoattend: model.py, main_protoattend.py) on TensorFlow 1's graphs and layers,
with own layer normalisation and sparsemax where the reference has tf.contrib's. Variables have the
reference's names. Every ratio of the benchmark is against this file. It imports nothing of the
project.
"""

from __future__ import annotations

import math
import os
from typing import Any, Callable, Dict, NamedTuple, Tuple

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np  # noqa: E402
import tensorflow.compat.v1 as tf  # noqa: E402

tf.disable_eager_execution()

IMAGE_SIZE, CLASSES = 28, 10
STAGES, BLOCKS, FIRST_CHANNELS = 3, 5, 16
FINAL_UNITS, ATTENTION_SIZE, VALUE_SIZE = 256, 16, 64
SPARSITY_EPSILON, SPARSITY_WEIGHT, INTERMEDIATE_SHARE = 1e-6, 1e-4, 0.5
LEARNING_RATE, DECAY_STEPS, DECAY_RATE = 1e-3, 8000, 0.9
GRADIENT_LIMIT = 20.0
LAYER_NORM_EPSILON = 1e-12


def convolve(inputs: Any, channels: int, size: int, stride: int) -> Any:
    """A convolution without bias."""
    return tf.layers.conv2d(
        inputs,
        channels,
        size,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer=tf.initializers.he_normal(),
    )


def residual_layer(
    name: str, inputs: Any, channels: int, training: bool, stride: int = 1, activation: bool = True
) -> Any:
    """Convolution, batch normalisation and, where asked for, ReLU."""
    with tf.variable_scope(name):
        outputs = tf.layers.batch_normalization(
            convolve(inputs, channels, 3, stride),
            momentum=0.9,
            epsilon=1e-5,
            fused=True,
            training=training,
        )
        return tf.nn.relu(outputs) if activation else outputs


def residual_block(inputs: Any, stage: int, number: int, training: bool) -> Any:
    """Two layers beside a skip connection, which has a convolution where a stage begins."""
    channels, name = FIRST_CHANNELS * 2**stage, f"{stage}{number}"
    stride = 2 if stage > 0 and number == 0 else 1
    outputs = residual_layer("resnetblock2" + name, inputs, channels, training, stride)
    outputs = residual_layer("resnetblock3" + name, outputs, channels, training, activation=False)
    if stride > 1:
        with tf.variable_scope("resnetblock4" + name):
            inputs = convolve(inputs, channels, 1, stride)
    return tf.nn.relu(inputs + outputs)


def layer_norm(inputs: Any) -> Any:
    """Normalises the last axis of (B, N)."""
    with tf.variable_scope(None, default_name="LayerNorm"):
        size = [inputs.shape[-1]]
        beta = tf.get_variable("beta", size, initializer=tf.zeros_initializer())
        gamma = tf.get_variable("gamma", size, initializer=tf.ones_initializer())
    mean, variance = tf.nn.moments(inputs, [1], keep_dims=True)
    return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, LAYER_NORM_EPSILON)


def encode(images: Any, training: bool, reuse: Any = tf.AUTO_REUSE) -> Tuple[Any, Any, Any]:
    """Images (N, 28, 28, 1) to keys (N, 16), queries (N, 16) and values (N, 64)."""
    with tf.variable_scope("CNN_encoder", reuse=reuse):
        features = residual_layer("resnetblock1", images, FIRST_CHANNELS, training)
        for stage in range(STAGES):
            for number in range(BLOCKS):
                features = residual_block(features, stage, number, training)
        features = tf.layers.average_pooling2d(features, IMAGE_SIZE // 4, 1)
        features = tf.layers.dense(tf.layers.flatten(features), FINAL_UNITS, tf.nn.relu)
        features = layer_norm(features)
        keys = tf.layers.dense(features, ATTENTION_SIZE, tf.nn.relu)
        queries = tf.layers.dense(features, ATTENTION_SIZE, tf.nn.relu)
        values = layer_norm(tf.layers.dense(features, VALUE_SIZE, tf.nn.relu))
    return keys, queries, values


def sparsemax(logits: Any) -> Any:
    """The projection of each row of (B, C) on the simplex, by a full sort of the row."""
    rows, count = tf.shape(logits)[0], tf.shape(logits)[1]
    descending, _ = tf.nn.top_k(logits, k=count)
    sums = tf.cumsum(descending, axis=1)
    ranks = tf.range(1, tf.cast(count, logits.dtype) + 1)
    support = tf.reduce_sum(tf.cast(1 + ranks * descending > sums, tf.int32), axis=1)
    last = tf.stack([tf.range(rows), tf.maximum(support, 1) - 1], axis=1)
    threshold = (tf.gather_nd(sums, last) - 1) / tf.cast(support, logits.dtype)
    weights = tf.maximum(tf.zeros([], logits.dtype), logits - threshold[:, tf.newaxis])
    broken = tf.logical_or(tf.equal(support, 0), tf.is_nan(sums[:, -1]))
    return tf.where(broken, tf.fill(tf.shape(weights), float("nan")), weights)


def attend(queries: Any, keys: Any, values: Any) -> Tuple[Any, Any]:
    """Mixed values (B, 64) and weights (B, C) of queries (B, 16) over C candidates."""
    logits = tf.matmul(keys, queries, transpose_b=True) / math.sqrt(ATTENTION_SIZE)
    weights = sparsemax(tf.transpose(logits, [1, 0]))
    return tf.matmul(weights, values), weights


class Losses(NamedTuple):
    """The parts of the training loss, and their sum."""

    joint: Any
    own: Any
    mixed: Any
    sparsity: Any
    total: Any


def losses_of(images: Any, labels: Any, candidates: Any) -> Losses:
    """The training loss of (B, 28, 28, 1) with labels (B,) and candidates (C, 28, 28, 1)."""
    _, queries, values = encode(images, training=True, reuse=False)
    keys, _, candidate_values = encode(candidates, training=True, reuse=True)
    mixed_values, weights = attend(queries, keys, candidate_values)
    entropy = tf.reduce_sum(-weights * tf.log(SPARSITY_EPSILON + weights), axis=1)
    most = tf.log(SPARSITY_EPSILON + tf.cast(tf.shape(candidates)[0], tf.float32))
    sparsity = tf.reduce_mean(entropy) - most
    joint_values = (1 - INTERMEDIATE_SHARE) * values + INTERMEDIATE_SHARE * mixed_values
    joint, own, mixed = (cross_entropy(labels, one) for one in (joint_values, values, mixed_values))
    return Losses(joint, own, mixed, sparsity, own + mixed + joint + SPARSITY_WEIGHT * sparsity)


def cross_entropy(labels: Any, values: Any) -> Any:
    """The mean over the batch, of the classifier's logits on values (B, 64)."""
    with tf.variable_scope("Classify", reuse=tf.AUTO_REUSE):
        logits = tf.layers.dense(values, CLASSES, use_bias=False)
    return tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    )


class Step(NamedTuple):
    """One training step: its losses, gradients by variable name, and what applies them."""

    losses: Losses
    gradients: Dict[str, Any]
    train: Any


def build_step(images: Any, labels: Any, candidates: Any) -> Step:
    """Loss, gradients clipped by value, Adam; moving averages take both passes' statistics."""
    global_step = tf.train.get_or_create_global_step()
    losses = losses_of(images, labels, candidates)
    rate = tf.train.exponential_decay(LEARNING_RATE, global_step, DECAY_STEPS, DECAY_RATE)
    optimizer = tf.train.AdamOptimizer(rate)
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        pairs = optimizer.compute_gradients(losses.total)
        clipped = [
            (tf.clip_by_value(gradient, -GRADIENT_LIMIT, GRADIENT_LIMIT), variable)
            for gradient, variable in pairs
        ]
        train = optimizer.apply_gradients(clipped, global_step=global_step)
    return Step(losses, {variable.op.name: gradient for gradient, variable in pairs}, train)


def trainer(arrays: Dict[str, np.ndarray]) -> Callable[[Any], Any]:
    """What does a step on the same arrays in memory, images, labels and candidates, each time."""
    with tf.Graph().as_default():
        iterator = tf.data.make_initializable_iterator(
            tf.data.Dataset.from_tensors(arrays).repeat()
        )
        step = build_step(**iterator.get_next())
        session = tf.Session()
        session.run([tf.global_variables_initializer(), iterator.initializer])
    return lambda batch: session.run([step.losses.total, step.train])
