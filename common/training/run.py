"""What a training is, how it is to go, and what an engine does for it."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import sys
from pathlib import Path
from typing import (
    Any,
    Callable,
    ContextManager,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Type,
    Union,
)

from common.ascend.environment import with_hf32
from common.core.errors import ZooError
from common.core.files import make_folder
from common.machine.devices import OpenedDevice
from common.machine.precision import Precision
from common.machine.ranks import Place
from common.runs.events import RunLog
from common.runs.provenance import code_state, config_sha256, shown_command
from common.runs.scalar_board import open_scalar_sink
from common.training.lines import TrainingLines

_SHARE = 1 << 20  # parts of a whole number that float32 holds exactly


class DivergenceError(ZooError):
    """Training diverged: the loss, the gradients or a weight are no finite numbers any more."""


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
        twin_of: the model whose weights, layers and draws these are too, in the other framework.
    """

    model: str
    task: str
    package: str
    network: Mapping[str, Any]
    dataset: Mapping[str, Any]
    config: Mapping[str, Any]
    first_batches_sha256: Optional[str] = None
    twin_of: str = ""


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
        profile: writes a profile of a few steps.
        dump_tensors: the step whose tensors are stored; dump_from: the run whose stored step this
            one begins with. See common.training.dump.
        lines: the wording of the human log.
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
    lines: Type[TrainingLines] = TrainingLines

    @property
    def steps_of_an_epoch(self) -> int:
        """Steps of what records call an epoch."""
        return self.epoch_steps or self.evaluate_every or self.steps

    def epoch_of(self, step: int) -> int:
        """The epoch that a step belongs to, counted from 1."""
        return -(-step // self.steps_of_an_epoch)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Metrics of one split with the number of samples behind them.

    Attributes:
        score: what the best checkpoint is chosen by (higher is better; of several numbers the first
            that differs decides), on "progress" evaluations only; None chooses none.
        chosen_by: the metric under which the best weights' evaluation tells their score.
    """

    split: str
    n: int
    metrics: Dict[str, float]
    score: Optional[Union[float, Tuple[float, ...]]] = None
    chosen_by: str = ""

    def told(self, role: str, step: int, epoch: int) -> Dict[str, Any]:
        """The fields of its event."""
        about = {"split": self.split, "role": role, "step": step, "epoch": epoch, "n": self.n}
        return {**about, "metrics": dict(self.metrics)}


@dataclasses.dataclass(frozen=True)
class StepResult:
    """What one or several training steps, told as one, gave.

    Attributes:
        step: optimizer steps done after them.
        taken: batches that they took.
        loss: of the last of them, averaged over ranks.
        data_seconds: that one of them waited for its batch; None where nobody can tell.
        skipped: how many of them overflowed, so that the weights stayed as they were.
        loss_scale: None where the loss is not scaled.
    """

    step: int
    taken: int
    loss: float
    learning_rate: float
    data_seconds: Optional[float] = None
    skipped: int = 0
    gradient_norm: Optional[float] = None
    loss_scale: Optional[float] = None
    diagnostics: Mapping[str, float] = dataclasses.field(default_factory=dict)


class Start(NamedTuple):
    """Where training begins: steps done, batches taken, the first rank's checkpoint."""

    step: int
    taken: int
    checkpoint: Optional[Path]
    state: Mapping[str, Any]


class Wishes(NamedTuple):
    """To stop, to save: of one rank, or how many ranks wish it."""

    stop: float
    save: float


class Engine(abc.ABC):
    """How one framework makes a step and holds its arrays; see common.training.loop.

    Every rank calls every method at the same moment of its run; draw and write, the first alone.
    """

    settings: Settings
    subject: Subject
    device: OpenedDevice
    precision: Precision
    place: Place
    begins_after: Optional[int] = None  # steps, where training begins from another run's dump
    weights_file = ""  # in a checkpoint, where it is one that people give to other programs
    say: Callable[[str], None] = print

    def running(self) -> ContextManager[Any]:
        """What training runs in; turns the framework's errors that a user can mend into a line."""
        return contextlib.nullcontext()

    def adopt(self, checkpoints: Path) -> None:  # noqa: B027
        """Brings checkpoints of an older layout into this one, on the first rank."""

    @abc.abstractmethod
    def begin(self, start: Start, wishes: Callable[[], Wishes]) -> None:
        """Puts network, optimizer and data in place.

        Args:
            wishes: what this rank asks for, to be read in every step.
        """

    @property
    @abc.abstractmethod
    def parameters(self) -> int:
        """Numbers that are trained."""

    @abc.abstractmethod
    def advance(self, most: int) -> Tuple[List[StepResult], Wishes]:
        """Makes one or several steps, at most so many if it can choose; tells all ranks' wishes."""

    @abc.abstractmethod
    def evaluate(self, role: str, step: int, heartbeat: Callable[[], None]) -> Sequence[Evaluation]:
        """Evaluates the weights of a step; the same on every rank.

        Args:
            role: "progress" (validation, every N steps), "final" (after the last step) or "best"
                (the same with the weights of the best checkpoint in place).
            heartbeat: to be called now and then, so that a watcher sees that it goes on.
        """

    def draw(self, step: int) -> Mapping[str, bytes]:
        """PNGs by name; none where the network has no pictures."""
        return {}

    def settle(self) -> Optional[str]:
        """Readies the weights to be kept; returns what is wrong with them, "a weight is …"."""
        return None

    @abc.abstractmethod
    def write(self, folder: Path) -> Mapping[str, Any]:
        """Writes all arrays into a folder; returns what the state says of them."""

    @abc.abstractmethod
    def load_weights(self, checkpoint: Optional[Path]) -> None:
        """Gives every rank the weights of the first rank's checkpoint, to be evaluated."""

    @abc.abstractmethod
    def sum_over_ranks(self, values: Sequence[float]) -> List[float]:
        """The sums of some numbers over all ranks, exact for whole ones up to 2**24."""

    @abc.abstractmethod
    def proof(self) -> str:
        """Says where the network computes; ZooError where it is the wrong device."""

    @abc.abstractmethod
    def memory_peak(self) -> int:
        """The most memory used so far, in bytes."""

    def end(self) -> Optional[str]:
        """Ends the work; returns what was seen of the device, where it is more than the proof."""
        return None

    def from_first_rank(self, number: int) -> int:
        """The first rank's value of a whole number (at least 0, below 2**40), for every rank."""
        halves = divmod(number if self.place.rank == 0 else 0, _SHARE)
        high, low = self.sum_over_ranks(halves)
        return int(high) * _SHARE + int(low)


# --- what a run says first -------------------------------------------------------------------


def open_run_log(output_path: Path, rank: int) -> RunLog:
    """The run log of this rank; the first rank writes TensorBoard too."""
    folder = make_folder(Path(output_path), "--output_path")
    board = open_scalar_sink(folder / "tensorboard") if rank == 0 else None
    return RunLog(folder / f"rank_{rank}", board)


def start_event(
    subject: Subject,
    device: OpenedDevice,
    place: Place,
    precision: Precision,
    parameters: int,
    proof: str,
    batch_size: int,
    seed: int,
    steps: int = 0,
    epochs: int = 0,
    resumed_step: int = 0,
) -> Dict[str, Any]:
    """What the run log says first: everything a record needs that is known before the work.

    Args:
        batch_size: of one rank; steps, epochs: in all, 0 to evaluate only.
    """
    config, size = dict(subject.config), place.world_size
    told = precision.as_record()
    if "TensorFlow" in device.framework:
        told = with_hf32(told, precision.device_kind)
    return {
        "model": subject.model,
        "task": subject.task,
        "command": shown_command(sys.argv, subject.package),
        "config": config,
        "config_sha256": config_sha256(config),
        "code": code_state(),
        "network": {"multiply_accumulates": None, **subject.network, "parameters": parameters},
        "dataset": dict(subject.dataset),
        "device": device.as_record(size),
        "precision": told,
        "batch": {"per_device": batch_size, "global": batch_size * size},
        "seed": seed,
        "targets": {"steps": steps, "epochs": epochs},
        "resumed_step": resumed_step,
        "rank": place.rank,
        "world_size": size,
        "first_batches_sha256": subject.first_batches_sha256,
        "proof": proof,
    }
