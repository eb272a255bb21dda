"""The Slot Attention module (paper, algorithm 1; reference model.py SlotAttention)."""

from __future__ import annotations

from typing import List, NamedTuple, Optional

from common.training.tensorflow.activations import noted
from common.training.tensorflow.runtime import tf
from slot_attention.network.architecture import LEARNED, SlotSettings

EPSILON = 1e-8
NORM_EPSILON = 1e-3


class Slots(NamedTuple):
    """What the module gives: slots (B, K, D), and per iteration the attention (B, N, K)."""

    slots: tf.Tensor
    attention: List[tf.Tensor]


def layer_norm() -> tf.keras.layers.Layer:
    """Layer normalisation over the last axis, epsilon 1e-3 said explicitly."""
    return tf.keras.layers.LayerNormalization(axis=-1, epsilon=NORM_EPSILON)


class SlotAttention(tf.keras.layers.Layer):
    """Maps inputs (B, N, D_in) to K slots (B, K, D) that compete for them."""

    def __init__(self, settings: SlotSettings) -> None:
        super().__init__()
        self.settings = settings
        self.norm_inputs = layer_norm()
        self.norm_slots = layer_norm()
        self.norm_mlp = layer_norm()
        self.project_q = tf.keras.layers.Dense(settings.size, use_bias=False)
        self.project_k = tf.keras.layers.Dense(settings.size, use_bias=False)
        self.project_v = tf.keras.layers.Dense(settings.size, use_bias=False)
        # Both defaults differ between TensorFlow 1.15 and 2.
        self.gru = tf.keras.layers.GRUCell(
            settings.size,
            activation="tanh",
            recurrent_activation="sigmoid",
            reset_after=True,
            implementation=2,
        )
        self.mlp = tf.keras.Sequential(
            [
                tf.keras.layers.Dense(settings.hidden, activation="relu"),
                tf.keras.layers.Dense(settings.size),
            ]
        )

    def build(self, input_shape: tf.TensorShape) -> None:
        """Makes what the slots start from: a Gaussian's mean and log deviation, or the slots."""
        size, count = self.settings.size, self.settings.count
        if self.settings.initial == LEARNED:
            self.slots_initial = self.add_weight(
                name="slots_initial", shape=(1, count, size), initializer="glorot_uniform"
            )
        else:
            self.slots_mu = self.add_weight(
                name="slots_mu", shape=(1, 1, size), initializer="glorot_uniform"
            )
            self.slots_log_sigma = self.add_weight(
                name="slots_log_sigma", shape=(1, 1, size), initializer="glorot_uniform"
            )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, noise: Optional[tf.Tensor] = None) -> Slots:
        """Runs T iterations of attention.

        Args:
            inputs: (B, N, D_in).
            noise: (B, K, D), standard normal; unused where the initial slots are learned.
        """
        inputs = self.norm_inputs(inputs)
        keys, values = self.project_k(inputs), self.project_v(inputs)
        initial = slots = noted("initial", self._initial_slots(tf.shape(inputs)[0], noise))
        attention = []
        for iteration in range(self.settings.iterations):
            if self.settings.implicit and iteration == self.settings.iterations - 1:
                slots = self._cut_gradient(slots, initial)
            slots, weights = self._iterate(slots, keys, values)
            attention.append(weights)
        return Slots(slots, attention)

    def _initial_slots(self, batch: tf.Tensor, noise: Optional[tf.Tensor]) -> tf.Tensor:
        if self.settings.initial == LEARNED:
            return tf.tile(self.slots_initial, [batch, 1, 1])
        return self.slots_mu + tf.exp(self.slots_log_sigma) * noise

    def _cut_gradient(self, slots: tf.Tensor, initial: tf.Tensor) -> tf.Tensor:
        """Stops the gradient of earlier iterations; learned initial slots get it straight."""
        cut = tf.stop_gradient(slots)
        if self.settings.initial == LEARNED:
            return cut + initial - tf.stop_gradient(initial)
        return cut

    def _iterate(self, slots: tf.Tensor, keys: tf.Tensor, values: tf.Tensor):
        queries = self.project_q(self.norm_slots(slots)) * self.settings.size**-0.5
        logits = tf.matmul(keys, queries, transpose_b=True)
        attention = noted("attention", tf.nn.softmax(logits, axis=-1))
        weights = attention + EPSILON
        weights = weights / tf.reduce_sum(weights, axis=-2, keepdims=True)
        updates = tf.matmul(weights, values, transpose_a=True)
        slots = self._recur(updates, slots)
        return noted("slots", slots + self.mlp(self.norm_mlp(slots))), attention

    def _recur(self, updates: tf.Tensor, slots: tf.Tensor) -> tf.Tensor:
        """The GRU, slot by slot: its cell takes no third dimension in TensorFlow 1.15."""
        size, count = self.settings.size, self.settings.count
        _, (new,) = self._cell(tf.reshape(updates, [-1, size]), tf.reshape(slots, [-1, size]))
        return tf.reshape(new, [-1, count, size])

    def _cell(self, updates: tf.Tensor, slots: tf.Tensor):
        output, state = self.gru(updates, [slots])
        return output, state if isinstance(state, (list, tuple)) else (state,)
