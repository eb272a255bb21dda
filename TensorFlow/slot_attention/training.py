"""Trains one of the two networks; its entry points say which."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Tuple

from common.training import loop
from common.training.pictures import drawn_or_told
from common.training.run import Settings, Subject
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.description import Build
from common.training.tensorflow.engine import TensorFlowEngine
from slot_attention.data.batches import TrainingOrder
from slot_attention.data.pipeline import scene_batches
from slot_attention.network.choice import NetworkChoice
from slot_attention.options import OBJECT_DISCOVERY, SET_PREDICTION, Options
from slot_attention.recipe import epoch_steps, peak_learning_rate, training_steps
from slot_attention.session import MODEL, Session, open_session

SECONDS_OF_A_MINUTE = 60.0
# The step pictures of a task, and the metric of its curve.
_SHOWN = {OBJECT_DISCOVERY: ("slots", "fg_ari"), SET_PREDICTION: ("objects", "ap_inf")}


def run_training(
    options: Options, fields: Tuple[str, ...], build: Callable[[Session, NetworkChoice], Build]
) -> int:
    """Trains from start or checkpoint to the end.

    Args:
        fields: what a batch of training holds.
        build: makes the build function of the graph.

    Returns:
        0, or 128 + the number of the signal that ended the run early.
    """
    session = open_session(options)
    try:
        choice = session.choice
        warn_of_few_slots(session)

        def make_batches(first: int) -> Any:
            order = TrainingOrder(
                session.dataset.counts["train"],
                options.batch_size,
                options.seed,
                session.place.rank,
                session.place.world_size,
            )
            return scene_batches(session.dataset, "train", order, fields, session.workers, first)

        code = loop.train(
            TensorFlowEngine(
                build(session, choice),
                make_batches,
                session.device,
                session.precision,
                settings_of(session),
                subject_of(session),
            )
        )
        if code == 0 and session.place.rank == 0 and options.pictures_every:
            _show(Path(options.model_dir), options.task)
        return code
    finally:
        tf_runtime.close_device(session.device)


def _show(folder: Path, task: str) -> None:
    """Writes what the finished training shows of itself, and says where it is."""
    from slot_attention.pictures.training import show_training

    written = drawn_or_told("training.gif", lambda: show_training(folder, *_SHOWN[task]), print)
    for path in written or ():
        print(f"picture: {path}", flush=True)


def warn_of_few_slots(session: Session) -> None:
    """Says at the start when there are fewer slots than a scene can need."""
    choice = session.choice
    background = 1 if session.options.task == OBJECT_DISCOVERY else 0
    needed = session.dataset.most_objects + background
    if choice.slots.count < needed and session.place.rank == 0:
        print(
            "warning: {} slots, but scenes of {} have up to {} objects{}: slots will have to "
            "share; give --num_slots {} or --max_objects {}".format(
                choice.slots.count,
                session.dataset.facts.name,
                session.dataset.most_objects,
                " and a background" if background else "",
                needed,
                max(1, choice.slots.count - background),
            ),
            flush=True,
        )


def settings_of(session: Session) -> Settings:
    """How training goes, from the flags."""
    options = session.options
    return Settings(
        output_path=Path(options.model_dir),
        steps=training_steps(session),
        batch_size=options.batch_size,
        seed=options.seed,
        log_every=options.log_every,
        diagnostics_every=options.diagnostics_every,
        pictures_every=options.pictures_every,
        evaluate_every=options.evaluate_every,
        epoch_steps=epoch_steps(session),
        checkpoint_seconds=options.checkpoint_minutes * SECONDS_OF_A_MINUTE,
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
