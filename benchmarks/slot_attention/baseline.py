"""The plain baseline: both networks and their training steps in the reference's way.

A restatement of the reference's mathematics and order of work (github.com/google-research/
google-research, slot_attention), as users of each version write it. On TensorFlow 2: eager, a
tf.function with a GradientTape, Keras's Adam. On TensorFlow 1.15: a session that is fed with what
another call of it fetched, as the upstream port trains. Every ratio of the benchmark is against
this file. It imports nothing of the project, whose runtime adapter would switch eager mode off.
"""

from __future__ import annotations

import os
from typing import Any, Iterator, Tuple

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from scipy.optimize import linear_sum_assignment  # noqa: E402

EAGER = not tf.__version__.startswith("1.")
OBJECT_DISCOVERY, SET_PREDICTION = "object_discovery", "set_prediction"
RESOLUTION = 128
NUM_SLOTS = {OBJECT_DISCOVERY: 7, SET_PREDICTION: 10}
LEARNING_RATE = 4e-4
WARM_UP_STEPS = {OBJECT_DISCOVERY: 10000, SET_PREDICTION: 1000}
DECAY_STEPS = {OBJECT_DISCOVERY: 100000, SET_PREDICTION: 50000}
ATTRIBUTES = 19

layers = tf.keras.layers


def build_grid(size: int) -> np.ndarray:
    """Row, column and one minus each: (1, size, size, 4)."""
    line = np.linspace(0.0, 1.0, size)
    grid = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).astype(np.float32)
    return np.concatenate([grid, 1.0 - grid], axis=-1)[None]


class SoftPositionEmbed(layers.Layer):
    """Adds a learned map of the grid."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.dense = layers.Dense(channels)
        self.grid = build_grid(size)

    def call(self, inputs: Any) -> Any:
        return inputs + self.dense(tf.constant(self.grid))


class SlotAttention(layers.Layer):
    """The Slot Attention module: (B, N, 64) to (B, slots, 64)."""

    def __init__(
        self, num_slots: int, size: int = 64, hidden: int = 128, num_iterations: int = 3
    ) -> None:
        super().__init__()
        self.num_slots, self.size, self.num_iterations = num_slots, size, num_iterations
        self.norm_inputs = layers.LayerNormalization(epsilon=1e-3)
        self.norm_slots = layers.LayerNormalization(epsilon=1e-3)
        self.norm_mlp = layers.LayerNormalization(epsilon=1e-3)
        self.slots_mu = self.add_weight(
            name="slots_mu", shape=[1, 1, size], initializer="glorot_uniform"
        )
        self.slots_log_sigma = self.add_weight(
            name="slots_log_sigma", shape=[1, 1, size], initializer="glorot_uniform"
        )
        self.project_q = layers.Dense(size, use_bias=False)
        self.project_k = layers.Dense(size, use_bias=False)
        self.project_v = layers.Dense(size, use_bias=False)
        self.gru = layers.GRUCell(size, recurrent_activation="sigmoid", reset_after=True)
        self.mlp = tf.keras.Sequential(
            [layers.Dense(hidden, activation="relu"), layers.Dense(size)]
        )

    def call(self, inputs: Any, noise: Any = None) -> Any:
        inputs = self.norm_inputs(inputs)
        k, v = self.project_k(inputs), self.project_v(inputs)
        if noise is None:
            noise = tf.random.normal([tf.shape(inputs)[0], self.num_slots, self.size])
        slots = self.slots_mu + tf.exp(self.slots_log_sigma) * noise
        for _ in range(self.num_iterations):
            previous = slots
            q = self.project_q(self.norm_slots(slots)) * self.size**-0.5
            attention = tf.nn.softmax(tf.matmul(k, q, transpose_b=True), axis=-1) + 1e-8
            attention /= tf.reduce_sum(attention, axis=-2, keepdims=True)
            updates = tf.matmul(attention, v, transpose_a=True)
            # 1.15's cell takes no third dimension.
            slots, _ = self.gru(
                tf.reshape(updates, [-1, self.size]), [tf.reshape(previous, [-1, self.size])]
            )
            slots = tf.reshape(slots, [-1, self.num_slots, self.size])
            slots += self.mlp(self.norm_mlp(slots))
        return slots


def convolution(stride: int) -> Any:
    """One layer of the encoder."""
    return layers.Conv2D(64, 5, strides=stride, padding="SAME", activation="relu")


def transposed(stride: int) -> Any:
    """One layer of the decoder."""
    return layers.Conv2DTranspose(
        64, 5, strides=(stride, stride), padding="SAME", activation="relu"
    )


class Encoder(layers.Layer):
    """What both networks begin with: images to a set of features."""

    def __init__(self, strides: Tuple[int, ...], size: int) -> None:
        super().__init__()
        self.size = size
        self.encoder_cnn = tf.keras.Sequential([convolution(stride) for stride in strides])
        self.encoder_pos = SoftPositionEmbed(64, size)
        self.layer_norm = layers.LayerNormalization(epsilon=1e-3)
        self.mlp = tf.keras.Sequential([layers.Dense(64, activation="relu"), layers.Dense(64)])

    def call(self, images: Any) -> Any:
        features = self.encoder_pos(self.encoder_cnn(images))
        return self.mlp(self.layer_norm(tf.reshape(features, [-1, self.size * self.size, 64])))


class AutoEncoder(layers.Layer):
    """Object discovery: images to their reconstruction."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder((1, 1, 1, 1), RESOLUTION)
        self.slot_attention = SlotAttention(NUM_SLOTS[OBJECT_DISCOVERY])
        self.decoder_pos = SoftPositionEmbed(64, 8)
        last = layers.Conv2DTranspose(4, 3, strides=(1, 1), padding="SAME")
        upward = [transposed(stride) for stride in (2, 2, 2, 2, 1)]
        self.decoder_cnn = tf.keras.Sequential([*upward, last])

    def call(self, images: Any, noise: Any = None) -> Any:
        slots = self.slot_attention(self.encoder(images), noise)
        grid = tf.tile(tf.reshape(slots, [-1, 1, 1, 64]), [1, 8, 8, 1])
        decoded = self.decoder_cnn(self.decoder_pos(grid))
        decoded = tf.reshape(decoded, [-1, NUM_SLOTS[OBJECT_DISCOVERY], RESOLUTION, RESOLUTION, 4])
        reconstructions, masks = tf.split(decoded, [3, 1], axis=-1)
        masks = tf.nn.softmax(masks, axis=1)
        return tf.reduce_sum(reconstructions * masks, axis=1), masks, slots


class Classifier(layers.Layer):
    """Set prediction: images to properties (B, 10, 19)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder((1, 2, 2, 1), RESOLUTION // 4)
        self.slot_attention = SlotAttention(NUM_SLOTS[SET_PREDICTION])
        self.mlp_classifier = tf.keras.Sequential(
            [layers.Dense(64, activation="relu"), layers.Dense(ATTRIBUTES, activation="sigmoid")]
        )

    def call(self, images: Any, noise: Any = None) -> Any:
        return self.mlp_classifier(self.slot_attention(self.encoder(images), noise))


def build_network(task: str) -> Any:
    """The network of a task."""
    return AutoEncoder() if task == OBJECT_DISCOVERY else Classifier()


def squared_error(images: Any, combined: Any) -> Any:
    """The mean squared error of a reconstruction."""
    return tf.reduce_mean(tf.math.squared_difference(images, combined))


def hungarian_huber(targets: Any, predictions: Any) -> Any:
    """The Huber error of the best matching, summed over pairs, mean over the batch."""
    error = tf.abs(tf.expand_dims(targets, 2) - tf.expand_dims(predictions, 1))
    cost = tf.reduce_mean(tf.where(error <= 1.0, 0.5 * error**2, error - 0.5), axis=-1)
    pairs = tf.numpy_function(
        lambda costs: np.stack(
            [np.stack(linear_sum_assignment(one), axis=1) for one in costs]
        ).astype(np.int64),
        [cost],
        tf.int64,
    )
    chosen = tf.gather_nd(cost, tf.stop_gradient(pairs), batch_dims=1)
    return tf.reduce_mean(tf.reduce_sum(chosen, axis=1))


def loss_of(task: str, network: Any, batch: Any, noise: Any = None) -> Any:
    """The loss of a batch: {"image": (B, 128, 128, 3), "target": (B, 10, 19)}."""
    if task == OBJECT_DISCOVERY:
        return squared_error(batch["image"], network(batch["image"], noise)[0])
    return hungarian_huber(batch["target"], network(batch["image"], noise))


def learning_rate(task: str, step: int) -> float:
    """Warm-up, then a continuous decay, computed in Python."""
    return LEARNING_RATE * min(1.0, step / WARM_UP_STEPS[task]) * 0.5 ** (step / DECAY_STEPS[task])


class EagerTrainer:
    """Training steps on TensorFlow 2."""

    def __init__(self, task: str, batches: Any) -> None:
        self.task, self.step_number = task, 0
        self.network = build_network(task)
        self.optimizer = tf.keras.optimizers.Adam(LEARNING_RATE, epsilon=1e-8)
        self.iterator: Iterator[Any] = iter(batches)
        self._step = tf.function(self._traced_step)

    def _traced_step(self, batch: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(self.task, self.network, batch)
        weights = self.network.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
        return loss

    def next_batch(self) -> Any:
        """The batch of the coming step."""
        return next(self.iterator)

    def step(self, batch: Any) -> float:
        """One optimizer step; returns the loss."""
        self.optimizer.learning_rate = learning_rate(self.task, self.step_number)
        self.step_number += 1
        return float(self._step(batch))


class SessionTrainer:
    """Training steps on TensorFlow 1.15: batches are fetched, then fed."""

    def __init__(self, task: str, batches: Any) -> None:
        self.task, self.step_number = task, 0
        self.network = build_network(task)
        iterator = tf.compat.v1.data.make_initializable_iterator(batches)
        self.coming = iterator.get_next()
        self.fed = {
            name: tf.compat.v1.placeholder(value.dtype, value.shape)
            for name, value in self.coming.items()
        }
        self.rate = tf.compat.v1.placeholder(tf.float32, [])
        self.loss = loss_of(task, self.network, self.fed)
        self.train = tf.compat.v1.train.AdamOptimizer(self.rate).minimize(
            self.loss, var_list=self.network.trainable_weights
        )
        self.session = tf.compat.v1.Session()
        self.session.run([tf.compat.v1.global_variables_initializer(), iterator.initializer])

    def next_batch(self) -> Any:
        """The batch of the coming step, as arrays."""
        return self.session.run(self.coming)

    def step(self, batch: Any) -> float:
        """One optimizer step; returns the loss."""
        fed = {self.fed[name]: value for name, value in batch.items()}
        fed[self.rate] = learning_rate(self.task, self.step_number)
        self.step_number += 1
        return float(self.session.run([self.loss, self.train], fed)[0])


def open_trainer(task: str, arrays: Any, batch_size: int) -> Any:
    """Endless batches of arrays in memory, one after the other, and the step that takes one."""
    batches = (
        tf.data.Dataset.from_tensor_slices(arrays).repeat().batch(batch_size, drop_remainder=True)
    )
    return (EagerTrainer if EAGER else SessionTrainer)(task, batches)
