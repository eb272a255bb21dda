"""One rank's side of a run in torch: its flags, its device, its ranks; evaluations in it."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple, Optional, Type, TypeVar

from common.machine.precision import Precision
from common.machine.ranks import Place
from common.training import evaluation_run
from common.training.evaluation_run import EvaluationRun, Files, Opened
from common.training.lines import TrainingLines
from common.training.run import Evaluation, Subject
from common.training.torch import runtime as torch_runtime
from common.training.torch import step as torch_step
from common.training.torch.runtime import TorchDevice

Own = TypeVar("Own", bound="Session")


@dataclasses.dataclass(frozen=True)
class Session:
    """What a run computes on; a `with` leaves its ranks at the end."""

    options: Any
    device: TorchDevice
    precision: Precision
    place: Place

    def say(self, line: str) -> None:
        """Tells the user, once and not per rank."""
        if self.place.rank == 0:
            print(line, flush=True)

    def forward_context(self) -> Any:
        """The context of a forward pass in the run's precision."""
        return torch_step.forward_context(self.device, self.precision)

    def __enter__(self: Own) -> Own:
        return self

    def __exit__(self, *error: Any) -> None:
        torch_runtime.leave_process_group()


class Evaluator(NamedTuple):
    """What is done with a network.

    Attributes:
        network: with its weights loaded, on the device.
        evaluate: to the figures; calls what it is given now and then.
        files: from the figures to what is to be written, see evaluation_run.Opened.
    """

    network: Any
    evaluate: Callable[[Callable[[], None]], Evaluation]
    files: Callable[[Evaluation], Files]


def run_evaluation(
    session: Session,
    folder: str,
    subject: Subject,
    step: int,
    build: Callable[[], Evaluator],
    lines: Type[TrainingLines] = TrainingLines,
    batch_size: Optional[int] = None,
) -> int:
    """Evaluates, writes what came out, and closes the session; returns 0.

    Args:
        step: of how many steps the weights are. build: opens the network.
        lines: of the human log. batch_size: where --evaluation_batch_size is no flag of the run.
    """

    @contextlib.contextmanager
    def opening() -> Iterator[Opened]:
        built = build()
        yield Opened(
            sum(weight.numel() for weight in built.network.parameters()),
            torch_runtime.proof(session.device, built.network),
            built.evaluate,
            built.files,
        )

    run = EvaluationRun(
        Path(folder),
        session.device,
        session.place,
        session.precision,
        subject,
        batch_size or session.options.evaluation_batch_size,
        session.options.seed,
        step,
        lines,
    )
    with session:
        evaluation_run.run_evaluation(run, opening)
    return 0
