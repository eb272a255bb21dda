"""What a network gives to the engine: its graph, out of a batch."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Mapping, Optional, Sequence

from common.machine.precision import Precision
from common.training.dump import require_fit
from common.training.run import Evaluation
from common.training.tensorflow.minimisation import Minimisation
from common.training.tensorflow.runtime import TensorFlowDevice, tf


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What a network's build function gets.

    Attributes:
        batch: the structure of tensors that the dataset yields.
        step: int64 tensor: optimizer steps done before the one under way. For learning rates and
            seeds of draws (of_step.step_seed).
        global_step: the variable behind it, for minimise only.
        given_noise: another run's noise by name, for the step after `first_step` steps.
    """

    batch: Any
    step: Any
    global_step: Any
    device: TensorFlowDevice
    precision: Precision
    seed: int
    given_noise: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    first_step: int = 0

    def noise(self, name: str, drawn: Any) -> Any:
        """What a step draws, or what it is given in place of it (--dump_from).

        Raises:
            UsageError: the noise that is given has another shape.
        """
        if name not in self.given_noise:
            return drawn
        given = self.given_noise[name]
        require_fit({name: given}, {name: drawn.shape.as_list()}, "noise")
        is_first = tf.equal(self.step, tf.constant(self.first_step, self.step.dtype))
        return tf.where(is_first, tf.constant(given, drawn.dtype), drawn)


# evaluate(session, step, role): role is "progress" (validation, every N steps), "final" (after the
# last step) or "best" (after the last step, with the weights of the best checkpoint). Called on
# every rank; all must return the same. pictures(session, step): PNGs by name, on the first rank.
Evaluate = Callable[[Any, int, str], Sequence[Evaluation]]
Pictures = Callable[[Any, int], Mapping[str, bytes]]


@dataclasses.dataclass(frozen=True)
class TrainingGraph:
    """What a network's build function returns.

    Attributes:
        loss: float32 scalar, the mean over this rank's batch, without loss scale.
        minimisation: from minimisation.minimise.
        network: a Keras layer or model, or tf.Module: attributes name its weights.
        diagnostics: scalars by name, fetched every diagnostics_every steps.
        evaluate, pictures: see Evaluate and Pictures.
        begin: called with the session after variables got their first values, not on resume.
        activations: what activations.recording found in the forward pass of training.
        noise: tensors that the step draws, by name, so that another run can be given the same.
    """

    loss: Any
    learning_rate: Any
    minimisation: Minimisation
    network: Any
    diagnostics: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    evaluate: Optional[Evaluate] = None
    pictures: Optional[Pictures] = None
    begin: Optional[Callable[[Any], None]] = None
    activations: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    noise: Mapping[str, Any] = dataclasses.field(default_factory=dict)


Build = Callable[[Inputs], TrainingGraph]
MakeBatches = Callable[[int], Any]
