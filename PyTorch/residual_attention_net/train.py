"""Trains a Residual Attention Network: python -m residual_attention_net.train --help."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

from common.core.command_line import run_program
from common.core.errors import ZooError
from common.core.files import make_folder
from common.core.stop_signal import StopSignal
from common.runs.events import earlier_lives, telling_the_end
from common.training.pictures import drawn_or_told
from common.training.torch import runtime as torch_runtime
from residual_attention_net import checkpoint
from residual_attention_net.checkpoint import CheckpointFolder
from residual_attention_net.distributed import sum_over_ranks, weights_agree
from residual_attention_net.network.reference_weights import LoadReport
from residual_attention_net.options import Options, parse_options
from residual_attention_net.recipes import Schedule, make_schedule
from residual_attention_net.run_events import open_run_log, start_event
from residual_attention_net.run_pictures import write_curves
from residual_attention_net.session import Session, open_session, open_stepper
from residual_attention_net.shared_checkpoint import load_best, load_newest
from residual_attention_net.tensor_dump import StepDump
from residual_attention_net.training import Habits, Targets, Training
from residual_attention_net.weights import load_weights


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Trains, or with --is_train=false evaluates; returns the exit code."""
    options = parse_options("train", argv)
    if not options.is_train:
        from residual_attention_net.evaluate import evaluate_weights

        return evaluate_weights(options)
    return train(options, _pretrained if options.is_pretrain else None)


def train(options: Options, prepare: Optional[Callable[[Session], LoadReport]] = None) -> int:
    """Runs a training from start or checkpoint to the end.

    Args:
        prepare: loads first weights into the session's network, unless a checkpoint does.

    Returns:
        0, or 128 + the number of the signal that ended the run early.
    """
    stop = StopSignal().install()
    make_folder(Path(options.output_path), "--output_path")
    try:
        _train(open_session(options), stop, prepare)
    finally:
        torch_runtime.leave_process_group()
    return stop.exit_code if stop.asked else 0


def _train(
    session: Session, stop: StopSignal, prepare: Optional[Callable[[Session], LoadReport]]
) -> None:
    targets, schedule = plan_of(session)
    with open_run_log(session) as log, telling_the_end(log, stop):
        training = Training(
            session, schedule, targets, _habits(session), _checkpoints(session.options), log, stop
        )
        training.dump = StepDump(session, targets.steps, training.lines.say)
        complete = session.options.resume and earlier_lives(log.path).complete
        _put_weights_in_place(training, prepare)
        finished = _agreed(complete and training.position.step >= targets.steps, session)
        log.event("start", **start_event(session, targets, training.position.step))
        training.lines.say(_first_line(session, targets, schedule))
        if training.run() and not finished:
            _final_evaluations(training)
            if session.is_first and session.options.pictures_every:
                folder = Path(session.options.output_path)
                drawn_or_told("curves.png", lambda: write_curves(folder), training.lines.say)
        elif finished:
            training.lines.say("the run had ended before: nothing is left to do")


def _agreed(finished: bool, session: Session) -> bool:
    """What the first rank's log says, on every rank."""
    told = [float(finished and session.is_first)]
    return sum_over_ranks(told, session.device.device)[0] > 0


def plan_of(session: Session) -> Tuple[Targets, Schedule]:
    """Steps, epochs and learning rates of a run."""
    options, per_epoch = session.options, session.train_loader.batches_per_epoch
    steps = options.train_steps or per_epoch * options.total_epochs
    targets = Targets(steps_per_epoch=per_epoch, steps=steps, epochs=-(-steps // per_epoch))
    recipe = (
        session.recipe
        if options.learning_rate is None
        else dataclasses.replace(session.recipe, learning_rate=options.learning_rate)
    )
    return targets, make_schedule(
        recipe, session.global_batch, per_epoch, steps, options.scale_learning_rate
    )


def _habits(session: Session) -> Habits:
    """On a CPU every step is looked at; on an accelerator a look costs a synchronisation."""
    options = session.options
    return Habits(
        window=1 if session.device.kind == "cpu" else options.log_every,
        log_every=options.log_every,
        evaluate_every=options.evaluate_every,
        pictures_every=options.pictures_every,
        checkpoint_seconds=60.0 * options.checkpoint_minutes,
    )


def _checkpoints(options: Options) -> CheckpointFolder:
    folder = CheckpointFolder(Path(options.output_path) / "ckpt", options.keep_checkpoints)
    folder.prepare()
    return folder


def _pretrained(session: Session) -> LoadReport:
    return load_weights(session.network, str(session.options.pth_path))


def _put_weights_in_place(
    training: Training, prepare: Optional[Callable[[Session], LoadReport]]
) -> None:
    session, content = training.session, None
    if session.options.resume:
        content = _newest_content(training)
        session.network.load_state_dict(content["model"])
    elif training.dump is not None and training.dump.source is not None:
        training.dump.load_weights()
    elif prepare is not None:
        for line in prepare(session).lines():
            training.lines.say(line)
    open_stepper(session)
    if not weights_agree(session.network, session.device.device):
        raise ZooError(
            "the ranks hold different weights before the first step; every rank must "
            "see the same --output_path and --pth_path"
        )
    if content is not None:
        training.restore(content)
    if training.dump is not None and training.dump.source is not None:
        training.begin_from_dump(training.dump)


def _newest_content(training: Training) -> Dict[str, Any]:
    session, folder = training.session, training.checkpoints
    content = load_newest(folder, session.place.rank, session.device.device)
    checkpoint.require_same_network(content, session.network, folder.folder)
    training.lines.say("resuming at step {}".format(content["position"]["step"]))
    return content


def _first_line(session: Session, targets: Targets, schedule: Schedule) -> str:
    return (
        "{} ({:,} parameters) on {}, {} rank(s), {}; {}: {:,} training, {:,} validation, {:,} "
        "test samples; {} epochs of {} steps, batch {} in all, peak learning rate {:g}".format(
            session.options.network,
            session.complexity.parameters,
            session.device.name,
            session.place.world_size,
            session.precision.implementation,
            session.splits.name,
            *[session.splits.counts[part] for part in ("train", "validation", "test")],
            targets.epochs,
            targets.steps_per_epoch,
            session.global_batch,
            schedule.peak,
        )
    )


def _final_evaluations(training: Training) -> None:
    """The test set, once with the final weights, once with those that were best on validation."""
    session = training.session
    epoch = (training.position.step - 1) // training.targets.steps_per_epoch
    final = training.evaluate_split("test", "final", session.test_loader, epoch)
    if training.best.epoch == epoch + 1:
        training.tell_evaluation(final, "test", "best", epoch, **_chosen_by(training))
        return
    best = _best_weights(training)
    if best is None:
        return
    current = {name: value.clone() for name, value in session.network.state_dict().items()}
    session.network.load_state_dict(best["model"])
    training.evaluate_split(
        "test",
        "best",
        session.test_loader,
        training.best.epoch - 1,
        int(best["position"]["step"]),
        **_chosen_by(training),
    )
    session.network.load_state_dict(current)


def _chosen_by(training: Training) -> Dict[str, float]:
    return {"validation_accuracy": round(training.best.accuracy, 4)}


def _best_weights(training: Training) -> Optional[Dict[str, Any]]:
    """The content of the checkpoint that was best on validation."""
    if not training.best.epoch:
        return None
    session = training.session
    return load_best(training.checkpoints, session.place.rank, session.device.device)


if __name__ == "__main__":
    run_program(main)
