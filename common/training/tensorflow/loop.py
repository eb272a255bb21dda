"""The training loop: steps, evaluations, pictures, checkpoints, and an orderly end."""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from common.ascend.compiled_graphs import CompilationWatch, CompiledLines
from common.core.errors import InfrastructureError, UsageError, ZooError, first_line
from common.core.files import make_folder, move_aside, write_atomically
from common.core.stop_signal import StopSignal
from common.machine.precision import Precision
from common.runs.events import EarlierLives, RunLog, earlier_lives, telling_the_end
from common.runs.provenance import config_sha256
from common.training.pictures import StepPictures
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.checkpoint import (
    CHECKPOINTS,
    CheckpointFolder,
    Saved,
    read_state,
    require_same,
)
from common.training.tensorflow.description import (
    Build,
    Evaluation,
    MakeBatches,
    Settings,
    Subject,
)
from common.training.tensorflow.progress import ProgressLines, passes_multiple
from common.training.tensorflow.run_start import Targets, open_run_log, start_event
from common.training.tensorflow.runtime import TensorFlowDevice, tf
from common.training.tensorflow.step_graph import (
    FLAGS,
    StepGraph,
    build_step_graph,
    flags_of,
    parameter_count,
)
from common.training.tensorflow.tensor_dump import StepDump

SKIPS_IN_A_ROW = 100
PROFILED_STEP = 10  # of this process's life: by then everything is warm
_NO_BEST: Dict[str, Any] = {"step": 0, "score": None}


class DivergenceError(ZooError):
    """Training diverged: the loss or the gradients are no finite numbers any more."""


def train(
    build: Build,
    make_batches: MakeBatches,
    device: TensorFlowDevice,
    precision: Precision,
    settings: Settings,
    subject: Subject,
) -> int:
    """Runs a training from start or checkpoint to the end, on this rank.

    Args:
        build: builds network, loss and training step on the default graph.
        make_batches: make_batches(n) is the tf.data.Dataset of this rank's batches from number n
            (counted from 0) on, endless or at least as long as training.

    Returns:
        0, or 128 + the number of the signal that ended the run early.

    Raises:
        UsageError: the last step is not the last of a run of the session (iterations_per_loop).
        DivergenceError: names the step and the last good checkpoint.
        ZooError, InfrastructureError: data or checkpoint can't be used, another rank is gone.
    """
    if not settings.resume:
        _require_whole_loops(settings.steps, device.npu_options.iterations_per_loop)
    stop = StopSignal().install()
    folder = make_folder(settings.output_path, "--output_path")
    log = open_run_log(folder, device)
    with log, telling_the_end(log, stop), tf.Graph().as_default():
        run = _Run(device, precision, settings, subject, log, stop)
        with _telling_tensorflow_errors():
            run.open(build, make_batches)
            try:
                run.to_the_end()
            finally:
                run.session.close()
    return stop.exit_code if stop.asked else 0


def _require_whole_loops(steps: int, iterations: int) -> None:
    if steps % iterations:
        raise UsageError(
            f"{steps} steps are no multiple of --iterations_per_loop {iterations}: give "
            f"{end_of_loops(0, steps, iterations)} steps, or "
            "another loop"
        )


def end_of_loops(first: int, last: int, iterations: int) -> int:
    """The step at which whole loops from `first` on have passed `last`."""
    return first - (first - last) // iterations * iterations


@contextlib.contextmanager
def _telling_tensorflow_errors() -> Iterator[None]:
    """Turns what a user can mend of TensorFlow's errors into one line."""
    try:
        yield
    except tf.errors.OpError as error:
        known = _of_the_data(error) or _of_another_rank(error)
        if known is None:
            raise
        raise known from error


def _of_the_data(error: Any) -> Optional[ZooError]:
    if error.op is None or not error.op.type.startswith(("IteratorGetNext", "MakeIterator")):
        return None
    if isinstance(error, tf.errors.OutOfRangeError):
        return ZooError(
            "the training data ended before the last step: the split holds fewer "
            "samples than a batch, or the pipeline does not repeat; give a smaller "
            "--batch_size or more data"
        )
    return ZooError(
        f"the training data can't be read: {first_line(error)}; verify the files of --data_path"
    )


def _of_another_rank(error: Any) -> Optional[ZooError]:
    told = first_line(error).lower()
    if "horovod" not in str(error).lower() and "hccl" not in told and "hcom" not in told:
        return None
    return InfrastructureError(
        f"another rank is gone or cannot be reached ({first_line(error)}); see the other "
        "ranks' logs"
    )


class _Run:
    """One run, from the position it is given to its last step.

    Every rank executes the same sequence of collective operations: whatever only one rank knows (a
    signal, the clock) is added up over all ranks before anyone acts on it.
    """

    graph: StepGraph
    session: Any

    def __init__(
        self,
        device: TensorFlowDevice,
        precision: Precision,
        settings: Settings,
        subject: Subject,
        log: RunLog,
        stop: StopSignal,
    ) -> None:
        self.device, self.precision = device, precision
        self.settings, self.subject = settings, subject
        self.log, self.stop = log, stop
        self.first = device.place.rank == 0
        self.global_batch = settings.batch_size * device.place.world_size
        self.lines = ProgressLines(
            settings.steps, self.global_batch, settings.log_every, self.first
        )
        self.checkpoints = CheckpointFolder(Path(settings.output_path) / CHECKPOINTS, settings.keep)
        self.step, self.taken, self.lived = 0, 0, 0
        self.step_before = 0
        self.iterations = device.npu_options.iterations_per_loop
        self.compiled = CompilationWatch(CompiledLines() if device.kind == "npu" else None)
        self.dump = StepDump(settings, device, precision, subject)
        self.best = dict(_NO_BEST)
        self._pictures = StepPictures(Path(settings.output_path), log, self.lines.say)
        self.earlier = EarlierLives(0.0, False)
        self.finished = False  # in an earlier life, final evaluations and all
        self._skips_in_a_row = 0
        self._last_saved: Optional[Saved] = None
        self._last_save_time = time.time()
        self._epoch_losses: List[float] = []
        self._mark = time.perf_counter()

    # --- opening ---

    def open(self, build: Build, make_batches: MakeBatches) -> None:
        """Builds the graph and puts every variable in place."""
        if self.settings.resume:
            self.earlier = earlier_lives(self.log.path)
        found = self._find_checkpoint()
        state = read_state(found) if found is not None else {}
        self._take_over(state)
        self.dump.require_ahead(self.taken, self.lines.say)
        self._tell_last_loop()
        self.graph = build_step_graph(
            build,
            self.dump.batches(make_batches),
            self.taken,
            self.settings.seed,
            self.device,
            self.precision,
            self._flags,
            self.dump.given_noise(),
        )
        self.dump.prepare(self.graph)
        sync = tf_runtime.broadcast_in_graph(self.device, self.graph.variables.global_variables)
        self.session = tf_runtime.open_session(self.device, self.precision)
        self._put_in_place(found, state)
        self.session.run(sync)
        self.session.run(self.graph.iterator.initializer)
        self.graph = self.graph.with_train_op(
            tf_runtime.looped_on_device(self.device, self.session, self.graph.fetches["train"])
        )
        proof = self._proof()
        self.dump.begin(self.session, self.lines.say)
        if self.first:
            _write_graph(self.graph.graph, self.checkpoints.folder / "graph.pbtxt")
        self.log.event("start", **self._start_event(proof))
        self.lines.say(self._first_line())

    def _find_checkpoint(self) -> Optional[Path]:
        """The checkpoint to go on from, on the first rank, which alone needs to see the disk."""
        folder = self.checkpoints.folder
        if not self.first:
            return None
        if not self.settings.resume and folder.exists() and any(folder.glob("step_*")):
            self.lines.say(f"an earlier run's checkpoints are now in {move_aside(folder)}")
        self.checkpoints.prepare()
        if not self.settings.resume:
            return None
        found = self.checkpoints.newest(self.lines.say)
        if found is None:
            raise ZooError(
                f"--resume: there is no whole checkpoint in {folder}; leave --resume out to "
                "begin anew"
            )
        return found

    def _take_over(self, state: Dict[str, Any]) -> None:
        if state:
            self.best = dict(state["best"])
            self._epoch_losses = list(state["epoch_losses"])
        self.step = tf_runtime.from_first_rank(self.device, int(state.get("step", 0)))
        self.taken = tf_runtime.from_first_rank(self.device, int(state.get("taken", 0)))
        finished = self.earlier.complete and self.step >= self.settings.steps
        self.finished = bool(tf_runtime.from_first_rank(self.device, int(finished)))
        if self.dump.begins_after is not None:
            self.step = self.taken = self.dump.begins_after

    def _tell_last_loop(self) -> None:
        """Skipped steps, or another loop before, may have left a part of a loop to be done."""
        end = end_of_loops(self.step, self.settings.steps, self.iterations)
        if end > self.settings.steps > self.step:
            self.lines.say(f"note: --iterations_per_loop {self.iterations} ends at step {end}")

    def _put_in_place(self, found: Optional[Path], state: Dict[str, Any]) -> None:
        """Initial values or a checkpoint's, never both: an initialiser would undo a restore."""
        self.session.run([tf.local_variables_initializer(), tf.tables_initializer()])
        if found is None:
            self.session.run(tf.global_variables_initializer())
            if self.graph.network.begin is not None and self.step == 0:
                self.graph.network.begin(self.session)
            return
        require_same(state, found, **self._identity())
        self.graph.variables.restore(self.session, found, state)
        self.lines.say(f"resuming at step {self.step}")
        for name, (old, new) in sorted(_changed(state["config"], self.subject.config).items()):
            self.lines.say(f"note: {name} was {old!r} until this step and is {new!r} from now on")

    def _identity(self) -> Dict[str, Any]:
        """What must agree before a checkpoint is gone on from."""
        return {
            "model": self.subject.model,
            "task": self.subject.task,
            "network": dict(self.subject.network),
            "seed": self.settings.seed,
            "batch_size": self.settings.batch_size,
            "world_size": self.device.place.world_size,
        }

    def _proof(self) -> str:
        text = tf_runtime.proof(self.device, self.session, self.graph.forward)
        # The traced pass took a batch: begin again.
        self.session.run(self.graph.iterator.initializer)
        return text

    def _start_event(self, proof: str) -> Dict[str, Any]:
        settings = self.settings
        targets = Targets(
            settings.batch_size,
            settings.seed,
            settings.steps,
            self._epoch_of(settings.steps),
            self.step,
        )
        return start_event(
            self.subject,
            self.device,
            self.precision,
            targets,
            parameter_count(self.graph.network.network),
            proof,
        )

    def _first_line(self) -> str:
        return (
            "{} ({:,} parameters) on {}, {} rank(s), {}; {}: {}; {} steps, batch {} in all".format(
                self.subject.network["name"],
                parameter_count(self.graph.network.network),
                self.device.name,
                self.device.place.world_size,
                self.precision.implementation,
                self.subject.dataset["name"],
                ", ".join(
                    f"{count:,} {split}" for split, count in self.subject.dataset["counts"].items()
                ),
                self.settings.steps,
                self.global_batch,
            )
        )

    # --- steps ---

    def to_the_end(self) -> None:
        """Trains to the last step, or to where a signal asks to end; writes the last checkpoint."""
        self.lines.begin(self.step, self.earlier.seconds)
        self._mark = time.perf_counter()
        while self.step < self.settings.steps:
            stop, save = self._one_step()
            if stop:
                self.stop.agree()
                self._save()
                break
            self._between_steps(save)
        else:
            if self.finished:
                self.lines.say("the run had ended before: nothing is left to do")
            else:
                self._end_of_training()
        self._tell_compiled()

    def _one_step(self) -> Tuple[bool, bool]:
        """One run of the session; returns whether to stop, and whether it is time to save."""
        self.compiled.before_step()
        stored = self.dump.is_due(self.taken + 1)  # a graph of its own, to be compiled once
        values = self._run_step()
        seconds = time.perf_counter() - self._mark
        self.step_before, self.step = self.step, int(values["step"])
        self.taken += self.iterations
        self.lived += self.iterations
        self._record_step(values, seconds / self.iterations)
        recompiled = self.compiled.after_step()
        if not stored:
            self._tell_recompiled(recompiled)
        flags = self._agreed_flags(values)
        self._mark = time.perf_counter()
        return flags[0] > 0, flags[1] > 0

    def _run_step(self) -> Dict[str, Any]:
        coming = self.step + 1
        due = passes_multiple(self.step, coming, self.settings.diagnostics_every)
        fetches = self.graph.with_diagnostics if due else self.graph.fetches
        if self._is_profiled():
            folder = make_folder(Path(self.settings.output_path) / "profile", "--output_path")
            path = folder / f"timeline_step_{coming:08d}.json"
            self.lines.say(f"timeline of step {coming}: {path}")
            return dict(tf_runtime.run_with_timeline(self.session, fetches, path))
        if self.dump.is_due(self.taken + 1):
            return self.dump.run(self.session, fetches, self.lines.say)
        return dict(self.session.run(fetches))

    def _is_profiled(self) -> bool:
        """Whether the coming step is traced; an NPU's profile is its session's own business."""
        return (
            self.settings.profile
            and self.lived + 1 == PROFILED_STEP
            and self.first
            and self.device.kind != "npu"
        )

    def _tell_recompiled(self, graphs: int) -> None:
        if graphs:
            self.lines.say(
                f"note: {graphs} graph(s) compiled again for step {self.step}: something "
                "in the step "
                "changes its shape"
            )

    def _tell_compiled(self) -> None:
        """Says which graphs the NPU was seen to get."""
        proof = self.compiled.proof()
        if proof is not None:
            self.log.event("device", proof=proof)
            self.lines.say(proof)

    def _record_step(self, values: Dict[str, Any], seconds: float) -> None:
        """Tells the last step of the run, with the mean time of its steps."""
        loss, rate = float(values["loss"]), float(values["learning_rate"])
        waited = values.get("waited")
        skips = self.iterations - (self.step - self.step_before)
        fields: Dict[str, Any] = _skip_fields(skips, self.iterations)
        skipped = self.step == self.step_before
        if "loss_scale" in values:
            fields["loss_scale"] = float(values["loss_scale"])
        self.log.event(
            "step",
            step=self.step,
            epoch=self._epoch_of(self.step),
            loss=round(loss, 6),
            learning_rate=round(rate, 9),
            seconds=round(seconds, 6),
            data_seconds=None if waited is None else round(min(seconds, float(waited)), 6),
            samples=self.global_batch,
            **fields,
        )
        self._require_finite(loss, float(values["gradient_norm"]), "loss_scale" in values, skipped)
        self._tell_diagnostics(values)
        if not skipped:
            self._epoch_losses.append(loss)
            self.lines.step(self.step_before, self.step, loss, rate, seconds)

    def _require_finite(
        self, loss: float, gradient_norm: float, scaled: bool, skipped: bool
    ) -> None:
        under_way = self.step + (1 if skipped else 0)
        if not math.isfinite(loss):
            self._diverged(f"the loss is {loss} at step {under_way}")
        if not scaled and not math.isfinite(gradient_norm):
            self._diverged(f"the gradients' norm is {gradient_norm} at step {under_way}")
        self._skips_in_a_row = self._skips_in_a_row + 1 if skipped else 0
        if self._skips_in_a_row >= SKIPS_IN_A_ROW:
            self._diverged(
                f"the gradients of step {under_way} overflowed {SKIPS_IN_A_ROW} times in a row"
            )

    def _diverged(self, what: str) -> None:
        newest = self.checkpoints.newest() if self.first else None
        raise DivergenceError(
            "{}; the last good checkpoint is {}; lower --learning_rate, or "
            "change --precision_mode or --loss_scale".format(what, newest or "none")
        )

    def _tell_diagnostics(self, values: Dict[str, Any]) -> None:
        if not self._is_due(self.settings.diagnostics_every):
            return
        found = {
            name[len("diagnostic/") :]: round(float(value), 6)
            for name, value in values.items()
            if name.startswith("diagnostic/")
        }
        found["gradient_norm"] = round(float(values["gradient_norm"]), 6)
        self.log.event("diagnostics", step=self.step, values=found)

    # --- agreement ---

    def _flags(self) -> Sequence[float]:
        """This rank's wishes: to stop, to save."""
        due = time.time() - self._last_save_time >= self.settings.checkpoint_seconds
        return [float(self.stop.asked), float(due and self.first)]

    def _agreed_flags(self, values: Dict[str, Any]) -> Sequence[float]:
        in_step = flags_of(values)
        if in_step is not None:
            return in_step
        if self.device.place.world_size == 1:
            return self._flags()
        # On NPUs the exchange is a graph of its own, so it is not done at every step.
        if self._is_due(self.settings.log_every) or self.step >= self.settings.steps:
            return tf_runtime.sum_over_ranks(self.device, self._flags())
        return [0.0] * FLAGS

    # --- between steps ---

    def _between_steps(self, time_to_save: bool) -> None:
        settings, at_the_end = self.settings, self.step >= self.settings.steps
        if self._skips_in_a_row:
            return
        if self._is_due(self._epoch_steps()) or at_the_end:
            self._end_of_epoch()
        if self._is_due(settings.pictures_every) or (at_the_end and settings.pictures_every):
            self._draw()
        if self._is_due(settings.evaluate_every) and not at_the_end:
            self._evaluate("progress")
        if time_to_save or self._is_due(settings.checkpoint_every):
            self._save()
        self._mark = time.perf_counter()

    def _is_due(self, every: int) -> bool:
        """Whether the last run of the session reached or passed a multiple of `every` steps."""
        return passes_multiple(self.step_before, self.step, every)

    def _epoch_steps(self) -> int:
        return self.settings.epoch_steps or self.settings.evaluate_every or self.settings.steps

    def _epoch_of(self, step: int) -> int:
        return -(-step // self._epoch_steps())

    def _end_of_epoch(self) -> None:
        losses = self._epoch_losses
        self.log.event(
            "epoch",
            epoch=self._epoch_of(self.step),
            step=self.step,
            train_loss=round(sum(losses) / max(1, len(losses)), 6),
            metrics={},
            peak_memory=tf_runtime.memory_peak(self.device),
        )
        self._epoch_losses = []

    def _draw(self) -> None:
        if self.graph.network.pictures is None or not self.first:
            return
        draw = self.graph.network.pictures
        self._pictures.write(self.step, lambda: draw(self.session, self.step))

    def _evaluate(self, role: str) -> Sequence[Evaluation]:
        if self.graph.network.evaluate is None:
            return ()
        self.log.event("heartbeat", what=role)
        found = self.graph.network.evaluate(self.session, self.step, role)
        for result in found:
            self._tell_evaluation(result, role)
            if role == "progress":
                self._choose_best(result)
        return found

    def _tell_evaluation(self, result: Evaluation, role: str) -> None:
        self.log.event(
            "evaluation",
            split=result.split,
            role=role,
            step=self.step,
            epoch=self._epoch_of(self.step),
            n=result.n,
            metrics=dict(result.metrics),
        )
        self.lines.evaluation(self.step, result.split, role, result.n, result.metrics)

    def _choose_best(self, result: Evaluation) -> None:
        if result.score is None or not math.isfinite(result.score):
            return
        if self.best["score"] is None or result.score > self.best["score"]:
            self.best = {"step": self.step, "score": float(result.score)}
            self._save()
            if self._last_saved is not None:
                self.checkpoints.mark_best(self._last_saved)

    def _save(self) -> None:
        """Writes a checkpoint from the first rank, unless this step's is there already."""
        self._last_save_time = time.time()
        if not self.first:
            self.log.event("heartbeat", what="checkpoint")
            return
        if self._last_saved is not None and self._last_saved.step == self.step:
            return
        self._last_saved = self.checkpoints.save(
            self.step,
            self._state(),
            lambda prefix: self.graph.variables.write(self.session, prefix),
        )
        self.log.event(
            "checkpoint",
            step=self.step,
            epoch=self._epoch_of(self.step),
            path=self._last_saved.path.name,
            sha256=self._last_saved.sha256,
        )

    def _state(self) -> Dict[str, Any]:
        config = dict(self.subject.config)
        return dict(
            self._identity(),
            taken=self.taken,
            best=self.best,
            config=config,
            config_sha256=config_sha256(config),
            epoch_losses=self._epoch_losses,
            variables=self.graph.variables.described(),
        )

    # --- the end ---

    def _end_of_training(self) -> None:
        if self._epoch_losses:
            self._end_of_epoch()
        if self.settings.evaluate_every:
            self._evaluate("progress")
        self._save()
        self._evaluate_best(self._evaluate("final"))
        self.log.event("heartbeat", what="end")

    def _evaluate_best(self, final: Sequence[Evaluation]) -> None:
        """Evaluates the weights that were best on validation; the session has them afterwards."""
        best = tf_runtime.from_first_rank(self.device, int(self.best["step"]))
        if best == self.step:
            for result in final:
                self._tell_evaluation(result, "best")
        if best in (0, self.step):
            return
        current = self.step
        if self.first:
            path = self.checkpoints.folder / f"step_{best:08d}"
            self.graph.variables.restore(self.session, path, read_state(path))
        self.session.run(
            tf_runtime.broadcast_in_graph(self.device, self.graph.variables.global_variables)
        )
        self.step = best
        self._evaluate("best")
        self.step = current


def _skip_fields(skips: int, iterations: int) -> Dict[str, Any]:
    """What a step event says of steps that overflowed, and of several steps in one run."""
    fields: Dict[str, Any] = {"skipped": skips if skips > 1 else True} if skips else {}
    return fields if iterations == 1 else dict(fields, iterations=iterations)


def _changed(old: Dict[str, Any], new: Any) -> Dict[str, Tuple[Any, Any]]:
    names = set(old) | set(new)
    return {
        name: (old.get(name), new.get(name))
        for name in names
        if _plain(old.get(name)) != _plain(new.get(name))
    }


def _plain(value: Any) -> Any:
    """As JSON would bring it back."""
    return list(value) if isinstance(value, tuple) else value


def _write_graph(graph: Any, path: Path) -> None:
    write_atomically(path, str(graph.as_graph_def()))  # a proto's str is its text format
