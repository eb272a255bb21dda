"""The graph of a run: data, clock, step counters, the network, and what one step fetches."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import numpy

from common.machine.precision import Precision
from common.training.tensorflow.checkpoint import Variables
from common.training.tensorflow.description import Build, Inputs, MakeBatches, TrainingGraph
from common.training.tensorflow.runtime import (
    TensorFlowDevice,
    can_call_the_host,
    seed_everything,
    sum_in_graph,
    tf,
)

FLAGS = 2  # stop, save

ReadFlags = Callable[[], Sequence[float]]


@dataclasses.dataclass(frozen=True)
class StepGraph:
    """A built graph.

    Attributes:
        iterator: of the training data; to be initialised once.
        variables: what checkpoints hold.
        fetches: what every step fetches; `with_diagnostics` is fetched every N steps.
        forward: the loss alone, which changes nothing.
        batch: what the network was built on.
    """

    graph: Any
    network: TrainingGraph
    iterator: Any
    variables: Variables
    fetches: Dict[str, Any]
    with_diagnostics: Dict[str, Any]
    forward: Any
    global_step: Any
    batch: Any

    def with_train_op(self, train_op: Any) -> StepGraph:
        """The same graph with another operation to be run for a step."""
        return dataclasses.replace(
            self,
            fetches=dict(self.fetches, train=train_op),
            with_diagnostics=dict(self.with_diagnostics, train=train_op),
        )


def build_step_graph(
    build: Build,
    make_batches: MakeBatches,
    position: int,
    seed: int,
    device: TensorFlowDevice,
    precision: Precision,
    read_flags: ReadFlags,
    given_noise: Optional[Mapping[str, numpy.ndarray]] = None,
) -> StepGraph:
    """Builds everything on the default graph.

    Args:
        position: batches that were taken before; the dataset begins after them.
        read_flags: called in every step where several ranks have to agree: FLAGS numbers.
        given_noise: what the first step is given by name, in place of what it would draw.
    """
    seed_everything(seed)
    global_step = tf.train.get_or_create_global_step()
    taken = tf.get_variable(
        "batches_taken",
        shape=[],
        dtype=tf.int64,
        trainable=False,
        use_resource=True,
        initializer=tf.zeros_initializer(),
    )
    iterator = tf.data.make_initializable_iterator(make_batches(position))
    batch, waited = _next_batch(iterator, device)
    step = tf.identity(global_step.read_value(), name="step")
    network = build(
        Inputs(batch, step, global_step, device, precision, seed, dict(given_noise or {}), position)
    )
    fetches = _fetches(network, device, global_step, taken, waited, read_flags)
    diagnostics = dict(
        fetches, **{"diagnostic/" + name: value for name, value in network.diagnostics.items()}
    )
    if not can_call_the_host(device):
        fetches = diagnostics  # another set of fetches would be another graph to compile
    return StepGraph(
        tf.get_default_graph(),
        network,
        iterator,
        Variables(network.network, global_step),
        fetches,
        diagnostics,
        network.loss,
        global_step,
        batch,
    )


def _next_batch(iterator: Any, device: TensorFlowDevice) -> Any:
    """The batch, and the seconds that the step waited for it (None on an NPU: no clock there)."""
    if not can_call_the_host(device):
        return iterator.get_next(), None
    asked = tf.timestamp(name="asked")
    with tf.control_dependencies([asked]):
        batch = iterator.get_next()
    with tf.control_dependencies(tf.nest.flatten(batch)):
        arrived = tf.timestamp(name="arrived")
    # Without this a machine with few threads may look at the clock after the network's work.
    with tf.control_dependencies([arrived]):
        batch = tf.nest.map_structure(tf.identity, batch)
    return batch, arrived - asked


def _fetches(
    network: TrainingGraph,
    device: TensorFlowDevice,
    global_step: Any,
    taken: Any,
    waited: Any,
    read_flags: ReadFlags,
) -> Dict[str, Any]:
    minimisation = network.minimisation
    with tf.control_dependencies([minimisation.train_op]):
        after = tf.identity(global_step.read_value(), name="step_after")
        done = taken.assign_add(1, read_value=False)
    fetches = {
        "train": tf.group(minimisation.train_op, done),
        "step": after,
        "learning_rate": tf.convert_to_tensor(network.learning_rate),
        "gradient_norm": minimisation.gradient_norm,
    }
    if waited is not None:
        fetches["waited"] = waited
    if minimisation.loss_scale is not None:
        fetches["loss_scale"] = minimisation.loss_scale
    fetches.update(_agreed(network.loss, device, read_flags))
    return fetches


def _agreed(loss: Any, device: TensorFlowDevice, read_flags: ReadFlags) -> Dict[str, Any]:
    """The loss averaged over ranks and the sums of their flags, in one exchange."""
    size = device.place.world_size
    parts: List[Any] = [tf.reshape(tf.cast(loss, tf.float32), [1]) / float(size)]
    asks = size > 1 and can_call_the_host(device)
    if asks:
        flags = tf.py_func(
            lambda: numpy.asarray(read_flags(), numpy.float32),
            [],
            tf.float32,
            stateful=True,
            name="flags",
        )
        parts.append(tf.reshape(flags, [FLAGS]))
    total = sum_in_graph(device, tf.concat(parts, axis=0), "loss_and_flags")
    found = {"loss": total[0]}
    if asks:
        found["flags"] = total[1:]
    return found


def parameter_count(network: Any) -> int:
    """Numbers that are trained."""
    return sum(
        int(numpy.prod(variable.shape.as_list(), dtype=numpy.int64))
        for variable in network.trainable_variables
    )


def flags_of(values: Dict[str, Any]) -> Optional[Sequence[float]]:
    """The sums of all ranks' flags, where the step exchanged them."""
    return [float(value) for value in values["flags"]] if "flags" in values else None
