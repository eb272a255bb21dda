"""Trains and evaluates either of the two networks, which the options name."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from common.training import loop
from common.training.evaluation_run import Files, output_folder
from common.training.run import Evaluation
from common.training.stored_weights import find_weights
from common.training.tensorflow import session as tf_session
from common.training.tensorflow.engine import TensorFlowEngine
from common.training.tensorflow.session import Evaluator
from slot_attention.building import ScenePass, build_training, built_network, load_weights
from slot_attention.data.pipeline import scene_batches
from slot_attention.options import Options
from slot_attention.pictures.training import tell_pictures
from slot_attention.scene_run import settings_of, subject_of, training_order, warn_of_few_slots
from slot_attention.session import open_session
from slot_attention.tasks import FIGURES, evaluation_files


def run_training(options: Options) -> int:
    """Trains to the end; returns 0, or 128 + the number of the signal that ended it early."""
    figures = FIGURES[options.task]
    with open_session(options) as session:
        warn_of_few_slots(session)

        def make_batches(first: int) -> Any:
            order = training_order(session)
            return scene_batches(
                session.dataset, "train", order, figures.fields, session.workers, first
            )

        settings = settings_of(session)
        about = (session.device, session.precision, settings, subject_of(session))
        code = loop.train(TensorFlowEngine(build_training(session), make_batches, *about))
    if code == 0 and session.place.rank == 0 and options.pictures_every:
        tell_pictures(settings.output_path, figures.picture, figures.score)
    return code


def run_evaluation(options: Options) -> int:
    """Evaluates --checkpoint_dir and writes what came out; returns the exit code."""
    checkpoint = str(options.checkpoint_dir)
    found = find_weights(checkpoint)
    folder = output_folder(options.model_dir, checkpoint)
    options = dataclasses.replace(options, model_dir=folder)
    session = open_session(options, found.state.get("network"))
    warn_of_few_slots(session)

    def evaluator(running: Any) -> Evaluator:
        network, probe = built_network(options.task, session.choice)
        count = None if options.full_eval else options.evaluation_count
        scenes = ScenePass(session, network, session.test_split, count)
        load_weights(running, network, found, options.task)

        def files(running: Any, result: Evaluation) -> Files:
            first = functools.partial(scenes.first, running)
            return evaluation_files(FIGURES[options.task], session, found.step, result, first)

        return Evaluator(network, probe, scenes.evaluate, files)

    return tf_session.run_evaluation(
        session, folder, subject_of(session), options.seed, found.step, evaluator
    )
