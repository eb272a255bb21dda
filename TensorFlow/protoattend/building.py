"""Builds the graph of a training: network, losses, step, evaluations."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from common.training.initial_weights import HE_NORMAL
from common.training.schedule import Schedule
from common.training.stored_weights import FoundCheckpoint
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.activations import noted, part, recording
from common.training.tensorflow.description import Build, Inputs, TrainingGraph
from common.training.tensorflow.minimisation import minimise
from common.training.tensorflow.of_step import scheduled_rate
from common.training.tensorflow.runtime import tf
from common.training.tensorflow.weights import draw_initial_weights
from protoattend.network.architecture import Architecture
from protoattend.network.attention import attention_logits, attention_weights
from protoattend.network.parts import FAR, Attended, Losses
from protoattend.network.prototype_network import (
    Convolution,
    Encoded,
    PrototypeNetwork,
    load_weights,
    standardised,
    update_running_statistics,
)
from protoattend.options import Options
from protoattend.passes import SplitEvaluation
from protoattend.session import Session


def attend(
    network: PrototypeNetwork,
    queries: Encoded,
    candidates: Encoded,
    mixed_share: float,
    exclude_self: bool = False,
) -> Attended:
    """Attention of queries over candidates, and what the classifier makes of it.

    Args:
        mixed_share: share of the candidates' mixed values in the joint classification; the rest
            are the queries' own (the reference's alpha_intermediate).
        exclude_self: queries and candidates are the same images, and none attends to itself.
    """
    logits = noted("attention_logits", attention_logits(queries.queries, candidates.keys))
    if exclude_self:
        itself = tf.eye(logits.shape.as_list()[0], dtype=tf.bool)
        logits = tf.where(itself, tf.fill(tf.shape(logits), tf.cast(FAR, logits.dtype)), logits)
    weights = noted(
        "attention_weights", attention_weights(logits, network.architecture.normalization)
    )
    theirs = tf.stop_gradient(candidates.values) if network.detached else candidates.values
    mixed = noted("mixed_values", tf.matmul(weights, theirs))
    joint = (1 - mixed_share) * queries.values + mixed_share * mixed
    return Attended(
        weights, *(network.classify(values) for values in (queries.values, mixed, joint))
    )


# --- losses ----------------------------------------------------------------------------------


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Mean cross-entropy of logits (B, classes) against labels (B,)."""
    return tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(logits=logits, labels=labels)
    )


def sparsity(weights: tf.Tensor, epsilon: float) -> tf.Tensor:
    """Mean entropy of attention weights (B, C) less the largest there can be: at most about 0.

    Source: the paper's equation 5, reference main_protoattend.py.
    """
    count = weights.shape.as_list()[-1]
    entropy = -tf.reduce_sum(weights * tf.log(epsilon + weights), axis=-1)
    return tf.reduce_mean(entropy) - tf.log(tf.constant(epsilon + count, weights.dtype))


def kernel_penalty(network: Any, weight: float) -> tf.Tensor:
    """`weight` times half the sum of squares of the encoder's convolution kernels."""
    kernels = [
        variable
        for variable in network.encoder.trainable_weights
        if len(variable.shape.as_list()) == 4
    ]
    return weight * tf.add_n([tf.nn.l2_loss(kernel) for kernel in kernels])


# --- the graph -------------------------------------------------------------------------------


def build_training(
    session: Session,
    architecture: Architecture,
    schedule: Schedule,
    encoder: Optional[FoundCheckpoint] = None,
) -> Build:
    """The build function of a training.

    Args:
        encoder: whose encoder's weights to begin with.
    """

    def build(inputs: Inputs) -> TrainingGraph:
        options = session.options
        fast = tf_runtime.has_slow_gradients(inputs.device)
        network = PrototypeNetwork(architecture, fast, options.detach_attention)
        with recording(network, left_out=(Convolution,)) as activations:
            attended, updates = _forward(network, inputs.batch, options)
        labels = inputs.batch["labels"]
        losses = Losses(
            cross_entropy(attended.own, labels),
            cross_entropy(attended.mixed, labels),
            cross_entropy(attended.joint, labels),
            sparsity(attended.weights, options.epsilon_sparsity),
        )
        loss = losses.total(options.sparsity_weight)
        if options.l2_weight and not options.freeze_encoder:
            loss += kernel_penalty(network, options.l2_weight)
        rate = scheduled_rate(schedule, inputs.step)
        kept = network.encoder.trainable_weights if options.freeze_encoder else ()
        kept = {id(weight) for weight in kept}
        trained = [weight for weight in network.trainable_weights if id(weight) not in kept]
        step = minimise(
            loss,
            tf.train.AdamOptimizer(rate),
            trained,
            inputs.device,
            inputs.precision,
            inputs.global_step,
            clip_value=options.gradient_thresh,
            updates=updates,
        )
        evaluation = SplitEvaluation(session, network)

        def begin(running: Any) -> None:
            draw_initial_weights(running, network, inputs.seed, HE_NORMAL)
            if encoder is not None:
                load_weights(running, network, encoder, encoder_alone=True)

        return TrainingGraph(
            loss,
            rate,
            step,
            network,
            diagnostics=_diagnostics(attended, losses, labels),
            evaluate=evaluation.evaluate,
            pictures=evaluation.pictures,
            begin=begin,
            activations=activations,
        )

    return build


def _forward(
    network: PrototypeNetwork, batch: Dict[str, Any], options: Options
) -> Tuple[Attended, List[Any]]:
    """The decisions of a batch, and what updates the batch norms: queries first."""

    def encode(name: str, images: Any) -> Encoded:
        with part(name):
            given = noted("standardised", standardised(images))
            return network.encode(given, True, options.freeze_encoder)

    queries, share = encode("queries", batch["images"]), options.alpha_intermediate
    if not options.example_cand_size:
        attended = attend(network, queries, queries, share, exclude_self=True)
        return attended, update_running_statistics(queries.moments)
    candidates = encode("candidates", batch["candidates"])
    attended = attend(network, queries, candidates, share)
    return attended, update_running_statistics(queries.moments, candidates.moments)


def _diagnostics(attended: Attended, losses: Losses, labels: tf.Tensor) -> Dict[str, Any]:
    """Scalars that tell how training goes: accuracies, terms, how many prototypes decide."""

    def accuracy(logits: tf.Tensor) -> tf.Tensor:
        predicted = tf.argmax(logits, axis=-1, output_type=tf.int32)
        return tf.reduce_mean(tf.cast(tf.equal(predicted, labels), tf.float32))

    used = tf.reduce_sum(tf.cast(attended.weights > 0, tf.float32), axis=-1)
    return {
        "batch_encoder_accuracy": accuracy(attended.own),
        "batch_accuracy": accuracy(attended.mixed),
        "sparsity": losses.sparsity,
        "prototypes_used": tf.reduce_mean(used),
        "largest_weight": tf.reduce_mean(tf.reduce_max(attended.weights, axis=-1)),
    }
