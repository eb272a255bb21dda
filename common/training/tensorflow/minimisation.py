"""A training step's operation: unscale, average over ranks, clip, apply or skip."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Optional, Sequence, Tuple

from common.machine.precision import (
    BACKOFF_FACTOR,
    GROWTH_FACTOR,
    GROWTH_INTERVAL,
    SMALLEST_LOSS_SCALE,
    Precision,
)
from common.training.tensorflow.ranks import mean_in_graph
from common.training.tensorflow.runtime import (
    TensorFlowDevice,
    import_npu_bridge,
    require_known_identity,
    tf,
)


@dataclasses.dataclass(frozen=True)
class Minimisation:
    """One optimizer step: run train_op; the others may be fetched beside it.

    Attributes:
        train_op: applies the gradients, or skips the step on overflow; a skipped step does not
            advance global_step.
        gradient_norm: global norm of the gradients, unscaled, averaged over ranks, before
            clipping; not finite where the loss scale overflowed.
        loss_scale: the scale that the step used; None where the loss is not scaled.
        gradients: (gradient, variable) pairs, the gradients as for the norm.
    """

    train_op: Any
    gradient_norm: Any
    loss_scale: Any
    gradients: Sequence[Tuple[Any, Any]] = ()


def minimise(
    loss: Any,
    optimizer: Any,
    variables: Sequence[Any],
    device: TensorFlowDevice,
    precision: Precision,
    global_step: Any,
    clip_norm: Optional[float] = None,
    clip_value: Optional[float] = None,
    updates: Sequence[Any] = (),
) -> Minimisation:
    """Adds a training step to the graph: unscale, average over ranks, clip, apply.

    Args:
        loss: float32 scalar, the mean over this rank's batch.
        optimizer: a tf.train.Optimizer, not wrapped.
        variables: what to train; those that the loss does not reach are left alone.
        global_step: advanced by steps that are applied.
        clip_norm: limit of the gradients' global norm; None leaves them.
        clip_value: limit of each element's magnitude, after clip_norm; None leaves them.
        updates: operations to run first, such as batch normalisation's.

    Raises:
        ValueError: the loss reaches none of the variables.
    """
    scale = manager = None
    on_npu = device.kind == "npu"
    if on_npu:  # whose optimizers average and unscale themselves
        optimizer, manager = _npu_optimizer(optimizer, device, precision)
    elif precision.loss_scale_policy != "none":
        scale = _LossScale(precision)
    scaled = loss if scale is None else loss * scale.value
    found = optimizer.compute_gradients(scaled, var_list=list(variables))
    pairs = [(gradient, variable) for gradient, variable in found if gradient is not None]
    if not pairs:
        raise ValueError(f"the loss reaches none of the {len(found)} variables")
    trained = [variable for _, variable in pairs]
    gradients = [tf.convert_to_tensor(gradient) for gradient, _ in pairs]
    if scale is not None:
        gradients = [gradient / scale.value for gradient in gradients]
    if not on_npu:
        gradients = [
            mean_in_graph(device, gradient, f"gradient_{number}")
            for number, gradient in enumerate(gradients)
        ]
    norm, clipped = tf.global_norm(gradients), gradients
    if clip_norm is not None:
        clipped = tf.clip_by_global_norm(clipped, clip_norm, use_norm=norm)[0]
    if clip_value is not None:
        clipped = [tf.clip_by_value(gradient, -clip_value, clip_value) for gradient in clipped]
    first, used = list(updates), None if scale is None else scale.value
    if manager is not None:
        # A copy, made before the step may change the scale: a variable's identity is the variable.
        used = manager.get_loss_scale() * 1.0
        first.append(used)

    def apply() -> Any:
        return optimizer.apply_gradients(list(zip(clipped, trained)), global_step=global_step)

    with tf.control_dependencies(first):
        train_op = apply() if scale is None else scale.step(apply, tf.is_finite(norm))
    return Minimisation(train_op, norm, used, list(zip(gradients, trained)))


class _LossScale:
    """A loss scale in two variables, so that checkpoints and broadcasts have it."""

    def __init__(self, precision: Precision) -> None:
        self._dynamic = precision.loss_scale_policy == "dynamic"
        with tf.variable_scope("loss_scale"):
            self._variable = scalar_variable(
                "scale", tf.float32, float(precision.loss_scale or 1.0)
            )
            self._good_steps = scalar_variable("good_steps", tf.int64, 0)
        self.value = tf.identity(self._variable.read_value())

    def step(self, apply: Callable[[], Any], finite: Any) -> Any:
        """Applies where the gradients are finite, and adapts the scale where it is dynamic."""

        def applied() -> Any:
            with tf.control_dependencies([apply()]):
                return tf.constant(True)

        done = tf.cond(finite, applied, lambda: tf.constant(False))
        if not self._dynamic:
            return tf.group(done)
        with tf.control_dependencies([done]):
            return self._adapt(finite)

    def _adapt(self, finite: Any) -> Any:
        good = tf.where(finite, self._good_steps.read_value() + 1, tf.zeros([], tf.int64))
        grows = good >= GROWTH_INTERVAL
        factor = tf.where(finite, tf.where(grows, GROWTH_FACTOR, 1.0), BACKOFF_FACTOR)
        return tf.group(
            self._variable.assign(tf.maximum(SMALLEST_LOSS_SCALE, self.value * factor)),
            self._good_steps.assign(tf.where(grows, tf.zeros([], tf.int64), good)),
        )


def scalar_variable(name: str, dtype: Any, value: float) -> Any:
    """A number that steps change and checkpoints hold."""
    return tf.get_variable(
        name,
        shape=[],
        dtype=dtype,
        trainable=False,
        use_resource=True,
        initializer=tf.constant_initializer(value),
    )


def _npu_optimizer(
    optimizer: Any, device: TensorFlowDevice, precision: Precision
) -> Tuple[Any, Any]:
    """An optimizer that averages over ranks and scales, and the scale's manager, None for none."""
    many = device.place.world_size > 1
    npu_init = import_npu_bridge()
    if many:
        require_known_identity(npu_init)  # read while the graph is built, and never again
        optimizer = npu_init.NPUDistributedOptimizer(optimizer)
    if precision.loss_scale_policy == "none":
        return optimizer, None
    scale = float(precision.loss_scale or 1.0)
    if precision.loss_scale_policy == "static":
        manager = npu_init.FixedLossScaleManager(scale, enable_overflow_check=True)
    else:
        manager = npu_init.ExponentialUpdateLossScaleManager(
            init_loss_scale=scale,
            incr_every_n_steps=GROWTH_INTERVAL,
            decr_every_n_nan_or_inf=1,
            incr_ratio=GROWTH_FACTOR,
            decr_ratio=BACKOFF_FACTOR,
        )
    # With a constant True one rank alone would wait for HCCL; False lets ranks diverge.
    return npu_init.NPULossScaleOptimizer(optimizer, manager, is_distributed=many), manager
