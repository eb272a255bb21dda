"""The training loop: when to tell, evaluate, save, draw and stop, and what is best.

What differs between frameworks, how a step is made and arrays are held, is an Engine's (run.py).
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
)

from common.core.errors import ZooError
from common.core.stop_signal import StopSignal
from common.runs.events import EarlierLives, RunLog, earlier_lives, telling_the_end
from common.runs.provenance import config_sha256
from common.training import run_folder
from common.training.checkpoints import (
    CHECKPOINTS,
    NOTHING_BEST,
    CheckpointFolder,
    is_whole,
    read_state,
    require_same,
)
from common.training.lines import passes_multiple
from common.training.pictures import StepPictures
from common.training.run import (
    DivergenceError,
    Engine,
    Evaluation,
    Start,
    StepResult,
    Wishes,
    open_run_log,
    start_event,
)

SKIPS_IN_A_ROW = 100
Found = TypeVar("Found")


class Best(NamedTuple):
    """The step that was best on validation, 0 for none yet, and its score."""

    step: int
    score: Optional[Tuple[float, ...]]


def train(engine: Engine) -> int:
    """Runs a training from start or checkpoint to the end, on this rank.

    Returns:
        0, or 128 + the number of the signal that ended the run early.

    Raises:
        DivergenceError: names the step and the last good checkpoint.
        ZooError, InfrastructureError: data or checkpoint can't be used, another rank is gone.
    """
    stop, settings = StopSignal().install(), engine.settings
    claim = _on_first_rank(engine, lambda: run_folder.claim(settings.output_path, settings.resume))
    try:
        log = open_run_log(settings.output_path, engine.place.rank)
        with log, telling_the_end(log, stop), engine.running():
            training = _Training(engine, log, stop)
            training.lines.log = None if claim is None else claim.log
            training.begin()
            training.to_the_end()
    finally:
        if claim is not None:
            claim.release()
    return stop.exit_code if stop.asked else 0


def _on_first_rank(engine: Engine, work: Callable[[], Found]) -> Optional[Found]:
    """Works on the first rank alone; what is wrong there ends the others too: none waits."""
    found, problem = None, None
    try:
        if engine.place.rank == 0:
            found = work()
    except ZooError as error:
        problem = error
    if engine.from_first_rank(int(problem is not None)):
        raise problem or ZooError("the first rank can't begin; see its log")
    return found


class _Training:
    """One run, from the position it is given to its last step.

    Every rank executes the same sequence of collective operations: whatever only one rank knows (a
    signal, the clock, the disk) is added up over all ranks before anyone acts on it.
    """

    def __init__(self, engine: Engine, log: RunLog, stop: StopSignal) -> None:
        settings, place = engine.settings, engine.place
        self.engine, self.settings, self.subject = engine, settings, engine.subject
        self.log, self.stop, self.first = log, stop, place.rank == 0
        self.global_batch = settings.batch_size * place.world_size
        every = (settings.steps_of_an_epoch, self.global_batch, settings.log_every)
        self.lines = settings.lines(settings.steps, *every, self.first)
        engine.say = self.lines.say
        folder = Path(settings.output_path)
        self.checkpoints = CheckpointFolder(
            folder / CHECKPOINTS, settings.keep, engine.weights_file
        )
        self.pictures = StepPictures(folder, log, self.lines.say)
        self.step, self.taken = 0, 0
        self.step_before = 0  # the last run of the engine
        self.best = Best(0, None)
        self.earlier, self.finished = EarlierLives(0.0, False), False
        self._epoch_losses: List[float] = []
        self._skips_in_a_row = 0
        self._saved_step: Optional[int] = None
        self._saved_at = time.time()

    # --- the beginning ---

    def begin(self) -> None:
        """Puts everything in place, and tells the run log what begins."""
        engine, settings, subject = self.engine, self.settings, self.subject
        if settings.resume:
            self.earlier = earlier_lives(self.log.path)
        checkpoint, state = _on_first_rank(engine, self._checkpoint) or (None, {})
        self._take_over(state)
        engine.begin(Start(self.step, self.taken, checkpoint, state), self._wishes)
        if state:
            self.lines.say(f"resuming at step {self.step}")
            self._tell_changes(state.get("config", {}))
        epochs, parameters = settings.epoch_of(settings.steps), engine.parameters
        about = (subject, engine.device, engine.place, engine.precision)
        numbers = (settings.batch_size, settings.seed, settings.steps, epochs, self.step)
        started = start_event(*about, parameters, engine.proof(), *numbers)
        self.log.event("start", **started)
        counts = ", ".join(f"{n:,} {split}" for split, n in subject.dataset["counts"].items())
        self.lines.say(
            f"{subject.network['name']} ({parameters:,} parameters) on {engine.device.name}, "
            f"{engine.place.world_size} rank(s), {engine.precision.implementation}; "
            f"{subject.dataset['name']}: {counts}; "
            f"{settings.steps} steps ({epochs} epochs), batch {self.global_batch} in all"
        )

    def _checkpoint(self) -> Tuple[Optional[Path], Mapping[str, Any]]:
        """The checkpoint to go on from, which the first rank alone needs to see, and its state."""
        folder = self.checkpoints.folder
        self.checkpoints.prepare()
        if not self.settings.resume:
            return None, {}
        self.engine.adopt(folder)
        found = self.checkpoints.newest(self.lines.say)
        if found is None:
            raise ZooError(
                f"--resume: there is no whole checkpoint in {folder}; leave --resume out to "
                "begin anew"
            )
        state = read_state(found)
        require_same(state, found, self._identity())
        return found, state

    def _take_over(self, state: Mapping[str, Any]) -> None:
        """Position and best of a checkpoint, the same on every rank."""
        from_first, begins_after = self.engine.from_first_rank, self.engine.begins_after
        best = dict(state.get("best") or NOTHING_BEST)
        if best["step"] and is_whole(self.checkpoints.at(best["step"])):
            self.checkpoints.mark_best(best["step"])
        elif best["step"]:
            self.lines.say(f"note: the best checkpoint, of step {best['step']}, is gone")
            best = dict(NOTHING_BEST)
        self._epoch_losses = list(state.get("epoch_losses", ()))
        self.step = from_first(int(state.get("step", 0)))
        self.taken = from_first(int(state.get("taken", 0)))
        self.step_before = from_first(int(state.get("step_before", self.step)))
        self.best = Best(from_first(int(best["step"])), _as_score(best["score"]))
        if begins_after is not None:
            self.step = self.taken = self.step_before = begins_after
        complete = self.earlier.complete and self.step >= self.settings.steps
        self.finished = bool(from_first(int(complete)))

    def _identity(self) -> Dict[str, Any]:
        """What must agree before a checkpoint is gone on from."""
        return {
            "model": self.subject.model,
            "task": self.subject.task,
            "network": dict(self.subject.network),
            "seed": self.settings.seed,
            "batch_size": self.settings.batch_size,
            "world_size": self.engine.place.world_size,
        }

    def _tell_changes(self, before: Mapping[str, Any]) -> None:
        for name, now in json.loads(json.dumps(dict(self.subject.config))).items():
            if before.get(name, now) != now:
                self.lines.say(
                    f"note: {name} was {before[name]!r} until this step and is {now!r} from now on"
                )

    # --- steps ---

    def to_the_end(self) -> None:
        """Trains to the last step, or to where a signal asks to end; writes the last checkpoint."""
        self.lines.begin(self.step, self.earlier.seconds)
        if self.finished:
            self.lines.say("the run had ended before: nothing is left to do")
        elif self._steps():
            final = self._evaluate("final")
            self._evaluate_best(final)
            self.log.event("heartbeat", what="end")
        seen = self.engine.end()
        if seen is not None:
            self.log.event("device", proof=seen)
            self.lines.say(seen)

    def _steps(self) -> bool:
        """Makes all steps, with what is due between them; False where a signal ended them early."""
        self._between_runs()  # of the step after which an earlier life was stopped
        epoch = self.settings.steps_of_an_epoch
        while self.step < self.settings.steps:
            began, self.step_before = time.perf_counter(), self.step
            end = min(self.settings.steps, (self.step // epoch + 1) * epoch)
            results, wishes = self.engine.advance(end - self.step)
            seconds = (time.perf_counter() - began) / sum(result.taken for result in results)
            for result in results:
                self._record(result, seconds)
            if wishes.stop:
                self.stop.agree()
                self._save(unfinished=True)
                return False
            self._between_runs(bool(wishes.save))
        return True

    def _record(self, result: StepResult, seconds: float) -> None:
        """Tells what a step gave; of several in one, the last, with their mean time."""
        before, self.step = self.step, result.step
        self.taken += result.taken
        fields: Dict[str, Any] = {}
        if result.skipped:
            fields["skipped"] = result.skipped if result.skipped > 1 else True
        if result.taken > 1:
            fields["iterations"] = result.taken
        if result.loss_scale is not None:
            fields["loss_scale"] = result.loss_scale
        waited = result.data_seconds
        self.log.event(
            "step",
            step=self.step,
            epoch=self.settings.epoch_of(self.step),
            loss=round(result.loss, 6),
            learning_rate=round(result.learning_rate, 9),
            seconds=round(seconds, 6),
            data_seconds=None if waited is None else round(min(seconds, waited), 6),
            samples=self.global_batch,
            **fields,
        )
        skipped = result.skipped == result.taken
        self._require_finite(result, max(result.step, before + 1), skipped)
        if passes_multiple(before, self.step, self.settings.diagnostics_every):
            values = dict(result.diagnostics)
            if result.gradient_norm is not None:
                values["gradient_norm"] = result.gradient_norm
            rounded = {name: round(value, 6) for name, value in values.items()}
            self.log.event("diagnostics", step=self.step, values=rounded)
        if not skipped:
            self._epoch_losses.append(result.loss)
            self.lines.step(before, self.step, result.loss, result.learning_rate, seconds)

    def _require_finite(self, result: StepResult, under_way: int, skipped: bool) -> None:
        norm = result.gradient_norm
        if not math.isfinite(result.loss):
            self._diverged(f"the loss is {result.loss} at step {under_way}")
        if norm is not None and result.loss_scale is None and not math.isfinite(norm):
            self._diverged(f"the gradients' norm is {norm} at step {under_way}")
        self._skips_in_a_row = self._skips_in_a_row + 1 if skipped else 0
        if self._skips_in_a_row >= SKIPS_IN_A_ROW:
            self._diverged(
                f"the gradients of step {under_way} overflowed {SKIPS_IN_A_ROW} times in a row"
            )

    def _diverged(self, what: str) -> None:
        newest = self.checkpoints.newest(self.lines.say) if self.first else None
        raise DivergenceError(
            f"{what}; the last good checkpoint is {newest or 'none'}; lower --learning_rate, or "
            "change --precision_mode or --loss_scale"
        )

    def _wishes(self) -> Wishes:
        due = time.time() - self._saved_at >= self.settings.checkpoint_seconds
        return Wishes(float(self.stop.asked), float(due and self.first))

    # --- between steps ---

    def _between_runs(self, time_to_save: bool = False) -> None:
        """What is due after the last run of the engine: epoch, evaluation, checkpoint, pictures."""
        if self.step == self.step_before:
            return
        settings, at_the_end = self.settings, self.step >= self.settings.steps

        def due(every: int) -> bool:
            return passes_multiple(self.step_before, self.step, every) or (at_the_end and every > 0)

        if due(settings.steps_of_an_epoch):
            self._end_of_epoch()
        if due(settings.evaluate_every):
            self._choose_best(self._evaluate("progress"))
        if time_to_save or at_the_end or due(settings.checkpoint_every):
            self._save()
        if due(settings.pictures_every) and self.first:
            self.pictures.write(self.step, lambda: self.engine.draw(self.step))

    def _end_of_epoch(self) -> None:
        losses, epoch = self._epoch_losses, self.settings.epoch_of(self.step)
        self.log.event(
            "epoch",
            epoch=epoch,
            step=self.step,
            train_loss=round(sum(losses) / max(1, len(losses)), 6),
            metrics={},
            peak_memory=self.engine.memory_peak(),
        )
        self.lines.epoch(epoch, len(losses))
        self._epoch_losses = []

    def _evaluate(self, role: str) -> Sequence[Evaluation]:
        def heartbeat() -> None:
            self.log.event("heartbeat", what=role)

        self._settle()
        heartbeat()
        found = self.engine.evaluate(role, self.step, heartbeat)
        for result in found:
            self._tell_evaluation(result, role)
        return found

    def _tell_evaluation(self, result: Evaluation, role: str) -> None:
        told = result.told(role, self.step, self.settings.epoch_of(self.step))
        if role == "best" and result.chosen_by and self.best.score:
            told["metrics"][result.chosen_by] = round(self.best.score[0], 4)
        self.log.event("evaluation", **told)
        self.lines.evaluation(self.step, result.split, role, result.n, told["metrics"])

    def _choose_best(self, found: Sequence[Evaluation]) -> None:
        for result in found:
            score = _as_score(result.score)
            better = (
                score is not None
                and all(math.isfinite(part) for part in score)
                and (self.best.score is None or score > self.best.score)
            )
            if self.engine.from_first_rank(int(better)):
                self.best = Best(self.step, score)
                self._save()

    def _evaluate_best(self, final: Sequence[Evaluation]) -> None:
        """Evaluates the weights that were best on validation; the engine has them afterwards."""
        if self.best.step == self.step:
            for result in final:
                self._tell_evaluation(result, "best")
        elif self.best.step:
            self.engine.load_weights(self.checkpoints.at(self.best.step) if self.first else None)
            self.step = self.best.step
            self._evaluate("best")

    # --- checkpoints ---

    def _settle(self) -> None:
        wrong = self.engine.settle()
        if wrong is not None:
            self._diverged(f"{wrong} after step {self.step}")

    def _save(self, unfinished: bool = False) -> None:
        """Writes a checkpoint from the first rank, unless this step's is there already.

        Args:
            unfinished: what is due after the step is left to the next life.
        """
        self._saved_at = time.time()
        if self._saved_step == self.step:
            return
        self._settle()
        self._saved_step = self.step
        if not self.first:
            self.log.event("heartbeat", what="checkpoint")
            return
        config = dict(self.subject.config)
        state = dict(
            self._identity(),
            taken=self.taken,
            step_before=self.step_before if unfinished else self.step,
            best=self.best._asdict(),
            config=config,
            config_sha256=config_sha256(config),
            epoch_losses=self._epoch_losses,
        )
        path, digest = self.checkpoints.save(self.step, state, self.engine.write)
        self.log.event(
            "checkpoint",
            step=self.step,
            epoch=self.settings.epoch_of(self.step),
            path=path.name,
            sha256=digest,
        )


def _as_score(score: Any) -> Optional[Tuple[float, ...]]:
    """One number or several, as a checkpoint's state or an evaluation has them."""
    if score is None:
        return None
    parts = score if isinstance(score, (list, tuple)) else (score,)
    return tuple(float(part) for part in parts)
