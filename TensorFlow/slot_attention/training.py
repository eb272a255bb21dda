"""Trains one of the two networks; its entry points say which."""

from __future__ import annotations

from typing import Any

from common.training import loop
from common.training.tensorflow.engine import TensorFlowEngine
from slot_attention.building import Task, build_training
from slot_attention.data.pipeline import scene_batches
from slot_attention.options import Options
from slot_attention.pictures.training import tell_pictures
from slot_attention.scene_run import (
    schedule_of,
    settings_of,
    subject_of,
    training_order,
    warn_of_few_slots,
)
from slot_attention.session import open_session


def run_training(options: Options, task: Task) -> int:
    """Trains to the end; returns 0, or 128 + the number of the signal that ended it early."""
    with open_session(options) as session:
        warn_of_few_slots(session)

        def make_batches(first: int) -> Any:
            order = training_order(session)
            return scene_batches(
                session.dataset, "train", order, task.figures.fields, session.workers, first
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
        tell_pictures(settings.output_path, task.figures.picture, task.figures.score)
    return code
