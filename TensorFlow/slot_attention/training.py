"""Trains one of the two networks; its entry points say which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.training import loop
from common.training.pictures import drawn_or_told
from common.training.run import Settings, Subject
from common.training.schedule import Schedule, rate_for_ranks
from common.training.tensorflow.engine import TensorFlowEngine
from slot_attention.building import Task, build_training
from slot_attention.data.batches import TrainingOrder
from slot_attention.data.pipeline import scene_batches
from slot_attention.options import OBJECT_DISCOVERY, SET_PREDICTION, Options
from slot_attention.session import MODEL, Session, open_session

# The step pictures of a task, and the metric of its curve.
_SHOWN = {OBJECT_DISCOVERY: ("slots", "fg_ari"), SET_PREDICTION: ("objects", "ap_inf")}


def run_training(options: Options, task: Task) -> int:
    """Trains to the end; returns 0, or 128 + the number of the signal that ended it early."""
    with open_session(options) as session:
        warn_of_few_slots(session)

        def make_batches(first: int) -> Any:
            order = training_order(session)
            return scene_batches(
                session.dataset, "train", order, task.fields, session.workers, first
            )

        schedule, settings = schedule_of(session), settings_of(session)
        engine = TensorFlowEngine(
            build_training(task, session, schedule),
            make_batches,
            session.device,
            session.precision,
            settings,
            subject_of(session),
        )
        code = loop.train(engine)
    if code == 0 and session.place.rank == 0 and options.pictures_every:
        _show(settings.output_path, options.task)
    return code


def _show(folder: Path, task: str) -> None:
    """Writes what the finished training shows of itself, and says where it is."""
    from slot_attention.pictures.training import show_training

    written = drawn_or_told("training.gif", lambda: show_training(folder, *_SHOWN[task]), print)
    for path in written or ():
        print(f"picture: {path}", flush=True)


def warn_of_few_slots(session: Session) -> None:
    """Says at the start when there are fewer slots than a scene can need."""
    slots, most = session.choice.slots.count, session.dataset.most_objects
    background = int(session.options.task == OBJECT_DISCOVERY)
    needed = most + background
    if slots < needed:
        session.say(
            f"warning: {slots} slots, but scenes of {session.dataset.facts.name} have up to {most} "
            f"objects{' and a background' if background else ''}: slots will have to share; give "
            f"--num_slots {needed} or --max_objects {max(1, slots - background)}"
        )


def training_order(session: Session) -> TrainingOrder:
    """Which scenes this rank takes at which step."""
    options, place = session.options, session.place
    count = len(session.dataset.split("train").images)
    return TrainingOrder(count, options.batch_size, options.seed, place.rank, place.world_size)


def peak_learning_rate(session: Session) -> float:
    """--learning_rate; see schedule.rate_for_ranks for --scale_learning_rate."""
    options = session.options
    return rate_for_ranks(
        options.learning_rate, options.scale_learning_rate, session.place.world_size
    )


def schedule_of(session: Session) -> Schedule:
    """The learning rate of a run."""
    options = session.options
    return Schedule(
        peak_learning_rate(session),
        options.warmup_steps,
        options.decay,
        options.decay_rate,
        options.decay_steps,
        settings_of(session).steps,
    )


def settings_of(session: Session) -> Settings:
    """How training goes, from the flags: --num_train_steps, or --train_epochs over the data."""
    options, epochs = session.options, session.options.train_epochs
    epoch_steps = training_order(session).steps_per_epoch
    return Settings(
        output_path=Path(options.model_dir),
        steps=options.num_train_steps if epochs is None else epochs * epoch_steps,
        batch_size=options.batch_size,
        seed=options.seed,
        log_every=options.log_every,
        diagnostics_every=options.diagnostics_every,
        pictures_every=options.pictures_every,
        evaluate_every=options.evaluate_every,
        epoch_steps=epoch_steps,
        checkpoint_seconds=options.checkpoint_minutes * 60,
        keep=options.keep_checkpoints,
        resume=options.resume,
        profile=options.profile,
        dump_tensors=options.dump_tensors,
        dump_from=options.dump_from,
    )


def subject_of(session: Session) -> Subject:
    """What the run log and the checkpoints say of the run."""
    options, choice = session.options, session.choice
    config = dict(
        options.config(),
        peak_learning_rate=peak_learning_rate(session),
        resolution=choice.resolution,
        num_slots=choice.slots.count,
        num_iterations=choice.slots.iterations,
    )
    return Subject(
        MODEL,
        options.task,
        f"{MODEL}.{options.task}",
        choice.described(),
        session.dataset_record(),
        config,
    )
