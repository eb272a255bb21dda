"""What a run is and how it is to go: the two things its entry point says."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Sequence

from common.core.errors import UsageError
from common.machine.precision import Precision
from common.training.tensorflow.minimisation import Minimisation
from common.training.tensorflow.runtime import TensorFlowDevice, tf


@dataclasses.dataclass(frozen=True)
class Subject:
    """What the run log and the checkpoints say of a run.

    Attributes:
        model, task, package: such as "slot_attention", "object_discovery",
            "slot_attention.object_discovery" (the entry point's package).
        network: {"name": …} and whatever must agree before weights are restored;
            "parameters" is added, "multiply_accumulates" may be given.
        dataset: {"name", "predicate", "counts", "manifest_sha256"}.
        config: the flags that decide the result.
        first_batches_sha256: of the first batches, where it is cheap to know.
    """

    model: str
    task: str
    package: str
    network: Mapping[str, Any]
    dataset: Mapping[str, Any]
    config: Mapping[str, Any]
    first_batches_sha256: Optional[str] = None


@dataclasses.dataclass(frozen=True)
class Settings:
    """How training goes; every number of steps may be 0 for "never", but log_every.

    Attributes:
        output_path: the run folder: ckpt/, pictures/, tensorboard/, profile/, rank_<rank>/.
        steps: optimizer steps to be reached, those before a resume included.
        batch_size: samples in a batch of one rank.
        log_every: steps between lines of the human log.
        diagnostics_every, pictures_every, evaluate_every, checkpoint_every: steps between them.
        checkpoint_seconds: a checkpoint is written at least that often.
        keep: checkpoints that are kept, beside the best.
        epoch_steps: steps of one pass over the data (an epoch in records); 0: evaluate_every.
        resume: goes on from the newest whole checkpoint.
        profile: writes a timeline of one step.
        dump_tensors: the step whose tensors are stored; dump_from: the run whose stored step this
            one begins with. See tensor_dump.
    """

    output_path: Path
    steps: int
    batch_size: int
    seed: int = 0
    log_every: int = 100
    diagnostics_every: int = 100
    pictures_every: int = 0
    evaluate_every: int = 0
    checkpoint_every: int = 0
    checkpoint_seconds: float = 600.0
    keep: int = 3
    epoch_steps: int = 0
    resume: bool = False
    profile: bool = False
    dump_tensors: Optional[int] = None
    dump_from: Optional[str] = None


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What a network's build function gets.

    Attributes:
        batch: the structure of tensors that the dataset yields.
        step: int64 tensor: optimizer steps done before the one under way. For learning rates and
            seeds of draws (draws.step_seed).
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
        if list(given.shape) != drawn.shape.as_list():
            raise UsageError(
                f"--dump_from has noise {name} as {list(given.shape)}, this run as "
                f"{drawn.shape.as_list()}: give the flags of "
                "that run, --batch_size included"
            )
        is_first = tf.equal(self.step, tf.constant(self.first_step, self.step.dtype))
        return tf.where(is_first, tf.constant(given, drawn.dtype), drawn)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Metrics of one split with the number of samples behind them.

    `score` is what the best checkpoint is chosen by (higher is better), on "progress" evaluations
    only; None chooses none.
    """

    split: str
    n: int
    metrics: Dict[str, float]
    score: Optional[float] = None


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
