"""One rank's side of a run: its flags, and its device, closed at the end; evaluations in it."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple, Optional, TypeVar

from common.ascend.compiled_graphs import CompilationWatch
from common.ascend.flags import Parameters, npu_parameters
from common.machine.precision import Precision
from common.machine.ranks import Place
from common.training import evaluation_run
from common.training.devices import RunDevice
from common.training.evaluation_run import EvaluationRun, Files, Opened
from common.training.run import Evaluation, Subject
from common.training.tensorflow import ranks as tf_ranks
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow import tracing
from common.training.tensorflow.engine import parameter_count
from common.training.tensorflow.runtime import tf

Own = TypeVar("Own", bound="Session")


def open_chosen(
    chosen: RunDevice,
    options: Any,
    folder: Optional[str],
    asked: Parameters,
    profile: bool = False,
) -> tf_runtime.TensorFlowDevice:
    """Opens the device that runtime.choose_run_device found.

    Args:
        options: with the flags of an NPU. folder: of the run.
        asked: the network's own wishes of an NPU. profile: whether it is to be profiled.
    """
    kind, place, precision = chosen
    wanted = npu_parameters(options, precision, Path(folder or "."), place, asked, profile)
    return tf_runtime.open_device(kind, place, precision, wanted)


@dataclasses.dataclass(frozen=True)
class Session:
    """What a run computes on; a `with` closes it at the end."""

    options: Any
    device: Any
    precision: Precision

    @property
    def place(self) -> Place:
        """Which rank this is."""
        place: Place = self.device.place
        return place

    def say(self, line: str) -> None:
        """Tells the user, once and not per rank."""
        if self.place.rank == 0:
            print(line, flush=True)

    def __enter__(self: Own) -> Own:
        return self

    def __exit__(self, *error: Any) -> None:
        tf_ranks.close_device(self.device)


class Evaluator(NamedTuple):
    """What is done with a network.

    Attributes:
        network: with its weights loaded.
        probe: a tensor that takes one pass of the network, whose devices are looked at.
        evaluate: from a session to the figures.
        files: from a session and the figures to what is to be written, see Opened.
    """

    network: Any
    probe: Any
    evaluate: Callable[[Any], Evaluation]
    files: Callable[[Any, Evaluation], Files]


def run_evaluation(
    session: Session,
    folder: str,
    subject: Subject,
    seed: int,
    step: int,
    build: Callable[[Any], Evaluator],
) -> int:
    """Evaluates, writes what came out, and closes the session; returns 0.

    Args:
        step: of how many steps the weights are.
        build: from an open session to the evaluator, in the default graph.
    """
    device, precision = session.device, session.precision

    @contextlib.contextmanager
    def opening() -> Iterator[Opened]:
        with tf.Graph().as_default(), tf_runtime.open_session(device, precision) as running:
            compiled = CompilationWatch(device.kind == "npu")
            built = build(running)
            yield Opened(
                parameter_count(built.network),
                tracing.proof(device, running, built.probe),
                lambda heartbeat: built.evaluate(running),
                lambda found: built.files(running, found),
                compiled.proof,
            )

    batch_size = session.options.evaluation_batch_size
    run = EvaluationRun(
        Path(folder), device, session.place, precision, subject, batch_size, seed, step
    )
    with session:
        evaluation_run.run_evaluation(run, opening)
    return 0
