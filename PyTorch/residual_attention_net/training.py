"""The training loop: steps, epochs, validations, checkpoints, and an orderly end."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch

from common.core.errors import ZooError
from common.core.stop_signal import StopSignal
from common.runs.events import RunLog
from common.training.pictures import StepPictures
from common.training.torch import gradients as torch_gradients
from common.training.torch import runtime as torch_runtime
from common.training.torch.profile import LEAST_STEPS, StepProfiler, require_steps
from residual_attention_net.checkpoint import CheckpointFolder, Position, Saved, pack
from residual_attention_net.distributed import average_batch_norm_statistics, sum_over_ranks
from residual_attention_net.evaluation import Evaluation, evaluate
from residual_attention_net.losses import mixed_cross_entropy
from residual_attention_net.progress import ProgressLines
from residual_attention_net.recipes import Schedule
from residual_attention_net.run_pictures import masks_of
from residual_attention_net.tensor_dump import StepDump


class DivergenceError(ZooError):
    """Training diverged: the loss, or a weight, is no finite number any more."""


@dataclasses.dataclass(frozen=True)
class Targets:
    """What the run is to do, in optimizer steps and epochs (the last one may be cut short)."""

    steps_per_epoch: int
    steps: int
    epochs: int


@dataclasses.dataclass(frozen=True)
class Habits:
    """How often things other than steps happen; `window` steps share one look at the device."""

    window: int
    log_every: int
    evaluate_every: int
    pictures_every: int
    checkpoint_seconds: float


@dataclasses.dataclass
class Best:
    """The best validation so far."""

    epoch: int = 0
    accuracy: float = -1.0
    loss: float = math.inf

    def is_beaten_by(self, result: Evaluation) -> bool:
        """Whether a validation is better: by accuracy, between equals by loss."""
        return (result.accuracy, -result.loss) > (self.accuracy, -self.loss)


@dataclasses.dataclass
class _Window:
    """Steps whose losses are still on the device."""

    losses: List[torch.Tensor] = dataclasses.field(default_factory=list)
    healths: List[torch_gradients.StepHealth] = dataclasses.field(default_factory=list)
    began: float = 0.0
    data_seconds: float = 0.0


def _profile_folder(session: Any) -> Optional[Path]:
    """Where the first rank's profile goes, None where none is wanted."""
    wanted = session.options.profiling and session.is_first
    return Path(session.options.output_path) / "profile" if wanted else None


class Training:
    """One run, from the position it is given to its targets.

    Every rank executes the same sequence of collective operations: whatever only one rank knows (a
    signal, the clock) is added up over all ranks before anyone acts on it.
    """

    def __init__(
        self,
        session: Any,
        schedule: Schedule,
        targets: Targets,
        habits: Habits,
        checkpoints: CheckpointFolder,
        log: RunLog,
        stop: StopSignal,
    ) -> None:
        """Raises UsageError where a profile is wanted of a run that is too short for one."""
        self.session = session
        self.schedule = schedule
        self.targets = targets
        self.habits = habits
        self.checkpoints = checkpoints
        self.log = log
        self.stop = stop
        self.position = Position(0, 0, 0)
        self.dump: Optional[StepDump] = None
        self.best = Best()
        self.lines = ProgressLines(
            targets.steps,
            targets.steps_per_epoch,
            targets.epochs,
            session.global_batch,
            session.is_first,
        )
        if session.options.profiling:
            require_steps(targets.steps)
        self._pictures = StepPictures(Path(session.options.output_path), log, self.lines.say)
        self._profiler = StepProfiler(session.device, _profile_folder(session))
        self._last_save = time.time()
        self._epoch_losses: List[float] = []

    def run(self) -> bool:
        """Trains to the targets; returns False when a signal ended the run early.

        Raises:
            DivergenceError: names the step and the last good checkpoint.
        """
        if self.dump is not None:
            self.dump.require_ahead(self.position.step)
        self.lines.begin(self.position.step)
        left = self.targets.steps - self.position.step
        if self.session.options.profiling and left < LEAST_STEPS:  # resumed near the end
            self.lines.say(f"no whole profile: {left} steps are left and it takes {LEAST_STEPS}")
        while self.position.step < self.targets.steps:
            if not self._epoch():
                self._save()
                return False
            self._end_of_epoch()
        self._profiler.close()
        return True

    def _epoch(self) -> bool:
        """Trains what is left of the epoch; returns False when the run was asked to end."""
        epoch = self.position.epoch
        batches = iter(self.session.train_loader.epoch(epoch, self.position.batch))
        left = min(
            self.targets.steps_per_epoch - self.position.batch,
            self.targets.steps - self.position.step,
        )
        window = _Window(began=time.perf_counter())
        for number in range(1, left + 1):
            self._step(batches, window)
            if len(window.losses) >= self.habits.window or number == left:
                asked_to_stop, time_to_save = self._flush(window, epoch)
                window = _Window(began=time.perf_counter())
                if asked_to_stop:
                    return False
                if time_to_save and number < left:
                    self._save()
                    window.began = time.perf_counter()
        return True

    def _step(self, batches: Any, window: _Window) -> None:
        began = time.perf_counter()
        batch = next(batches)
        window.data_seconds += time.perf_counter() - began
        done = self.position.step + len(window.losses)
        _set_learning_rate(self.session.stepper.optimizer, self.schedule.at(done))
        if self.dump is not None and self.dump.is_due(done + 1):
            loss, health = self.dump.run(done + 1, batch, self._optimise)
        else:
            loss, health = self._optimise(batch)
        window.healths.append(health)
        window.losses.append(loss.detach())
        self._profiler.step()

    def _optimise(
        self, batch: Any, look: Optional[torch_gradients.LookAtGradients] = None
    ) -> Tuple[torch.Tensor, torch_gradients.StepHealth]:
        """One optimizer step on a batch; returns its loss and what became of it."""
        stepper = self.session.stepper
        stepper.zero_grad()
        with stepper.forward_context():
            smoothing = self.session.recipe.label_smoothing
            loss = mixed_cross_entropy(stepper.model(batch.inputs), batch, smoothing)
        return loss, stepper.step(loss, look)

    def _flush(self, window: _Window, epoch: int) -> Tuple[bool, bool]:
        """Brings a window's losses to the host, writes their events, and agrees with all ranks."""
        local = torch.stack([loss.float() for loss in window.losses]).cpu().tolist()
        size = self.session.place.world_size
        due = time.time() - self._last_save >= self.habits.checkpoint_seconds
        *losses, stop, save = sum_over_ranks(
            local + [float(self.stop.asked), float(due and self.session.is_first)],
            self.session.device.device,
        )
        seconds = (time.perf_counter() - window.began) / len(losses)
        for loss, health in zip(losses, window.healths):
            self._record_step(
                loss / size, health.skipped, epoch, seconds, window.data_seconds / len(losses)
            )
        if stop > 0:
            self.stop.agree()
        return stop > 0, save > 0

    def _record_step(
        self, loss: float, skipped: bool, epoch: int, seconds: float, data_seconds: float
    ) -> None:
        rate = self.schedule.at(self.position.step)
        self.position = Position(self.position.step + 1, epoch, self.position.batch + 1)
        fields: Dict[str, Any] = {"skipped": True} if skipped else {}
        self.log.event(
            "step",
            step=self.position.step,
            epoch=epoch + 1,
            loss=round(loss, 6),
            learning_rate=round(rate, 9),
            seconds=round(seconds, 6),
            data_seconds=round(data_seconds, 6),
            samples=self.session.global_batch,
            **fields,
        )
        if not math.isfinite(loss):
            self._diverged(f"the loss is {loss} at step {self.position.step}")
        self._epoch_losses.append(loss)
        self.lines.step(
            self.position.step, loss, rate, seconds, self.position.step % self.habits.log_every == 0
        )

    def _diverged(self, what: str) -> None:
        newest = self.checkpoints.newest()
        raise DivergenceError(
            "{}; the last good checkpoint is {}; lower --learning_rate, or "
            "change --precision_mode or --loss_scale".format(what, newest or "none")
        )

    def _end_of_epoch(self) -> None:
        epoch = self.position.epoch
        whole = self.position.batch >= self.targets.steps_per_epoch
        mean = sum(self._epoch_losses) / max(1, len(self._epoch_losses))
        self.log.event(
            "epoch",
            epoch=epoch + 1,
            step=self.position.step,
            train_loss=round(mean, 6),
            metrics={},
            peak_memory=torch_runtime.memory_peak(self.session.device),
        )
        self.lines.epoch(epoch + 1, len(self._epoch_losses))
        self._epoch_losses = []
        if whole:
            self.position = Position(self.position.step, epoch + 1, 0)
        at_the_end = self.position.step >= self.targets.steps
        if (epoch + 1) % self.habits.evaluate_every == 0 or at_the_end:
            self._validate(epoch)
        self._save()
        every = self.habits.pictures_every
        if every and self.session.is_first and ((epoch + 1) % every == 0 or at_the_end):
            self._pictures.write(self.position.step, self._drawn)

    def _drawn(self) -> Mapping[str, bytes]:
        """The masks over a few images that training chooses by; the first rank alone draws."""
        splits = self.session.splits
        split = "validation" if len(splits.validation) else "train"
        weights = f"after {self.position.step:,} steps"
        return masks_of(self.session, getattr(splits, split), split, weights)

    def _validate(self, epoch: int) -> None:
        if self.session.validation_loader is None:
            return
        result = self.evaluate_split(
            "validation", "progress", self.session.validation_loader, epoch
        )
        if self.best.is_beaten_by(result):
            self.best = Best(epoch + 1, result.accuracy, result.loss)
            if self.session.is_first:
                self.checkpoints.save_best(self._packed())

    def evaluate_split(
        self,
        split: str,
        role: str,
        loader: Any,
        epoch: int,
        step: Optional[int] = None,
        **extra: float,
    ) -> Evaluation:
        """Evaluates one split with all ranks' averaged statistics and writes the event.

        Args:
            step: that of the weights, where it is not the run's.
        """
        average_batch_norm_statistics(self.session.network)
        result = evaluate(
            self.session.network,
            loader,
            self.session.device.device,
            self.session.network.num_classes,
            self.session.stepper.forward_context,
            lambda: self.log.event("heartbeat", what=split),
        )
        self.tell_evaluation(result, split, role, epoch, step, **extra)
        return result

    def tell_evaluation(
        self,
        result: Evaluation,
        split: str,
        role: str,
        epoch: int,
        step: Optional[int] = None,
        **extra: float,
    ) -> None:
        """Writes an evaluation's event and line; `extra` are more metrics."""
        self.log.event(
            "evaluation",
            split=split,
            role=role,
            epoch=epoch + 1,
            step=self.position.step if step is None else step,
            n=result.n,
            metrics=dict(result.metrics(), **extra),
        )
        self.lines.evaluation(split, role, result.accuracy, result.n)

    def _save(self) -> Optional[Saved]:
        """Writes a checkpoint from the first rank, after a look that the weights are finite."""
        average_batch_norm_statistics(self.session.network)
        self._require_finite_weights()
        self._last_save = time.time()
        if not self.session.is_first:
            self.log.event("heartbeat", what="checkpoint")
            return None
        stepper = self.session.stepper
        saved = self.checkpoints.save(
            self._packed(
                optimizer=stepper.optimizer_state(),
                scaler=stepper.state_dict(),
                random=torch_runtime.rng_state(self.session.device),
                epoch_losses=self._epoch_losses,
            )
        )
        self.log.event(
            "checkpoint",
            step=saved.step,
            epoch=saved.epoch,
            path=saved.path.name,
            sha256=saved.sha256,
        )
        return saved

    def _packed(self, **parts: Any) -> Dict[str, Any]:
        return pack(
            self.session.network,
            self.position,
            best=dataclasses.asdict(self.best),
            classes=list(self.session.splits.train.classes),
            **parts,
        )

    def _require_finite_weights(self) -> None:
        finite = [torch.isfinite(weight).all() for weight in self.session.network.parameters()]
        if not bool(torch.stack(finite).all()):
            self._diverged(f"a weight is not finite after step {self.position.step}")

    def begin_from_dump(self, dump: StepDump) -> None:
        """Begins where another run stored a step: its optimizer state, and its position."""
        dump.load_optimizer()
        _lay_out_as_weights(self.session.stepper.optimizer)
        epoch, batch = divmod(dump.begins_after, self.targets.steps_per_epoch)
        self.position = Position(dump.begins_after, epoch, batch)

    def restore(self, content: Dict[str, Any]) -> None:
        """Goes on from a checkpoint's content: position, optimizer, scaler, random states."""
        self.position = Position(**content["position"])
        self.best = Best(**content["best"])
        self.session.stepper.load_optimizer_state(content["optimizer"])
        _lay_out_as_weights(self.session.stepper.optimizer)
        self.session.stepper.load_state_dict(content["scaler"])
        torch_runtime.set_rng_state(content["random"], self.session.device)
        self._epoch_losses = list(content["epoch_losses"])


def _set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _lay_out_as_weights(optimizer: torch.optim.Optimizer) -> None:
    """Fused optimizers walk a weight and its state side by side, so both need the same layout."""
    for weight, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.shape == weight.shape:
                state[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
