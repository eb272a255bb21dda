"""Evaluates the weights of a checkpoint: metrics as JSON and text, pictures, a record."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from common.training.evaluation_run import Files, output_folder
from common.training.run import Evaluation
from common.training.stored_weights import find_weights
from common.training.tensorflow import evaluation_run
from common.training.tensorflow.evaluation_run import Evaluator
from slot_attention.building import ScenePass, Task, built_network
from slot_attention.network.checkpoints import load_weights
from slot_attention.options import Options
from slot_attention.scene_run import subject_of, warn_of_few_slots
from slot_attention.session import open_session
from slot_attention.tasks import evaluation_files


def run_evaluation(options: Options, task: Task) -> int:
    """Evaluates --checkpoint_dir and writes what came out; returns the exit code."""
    checkpoint = str(options.checkpoint_dir)
    found = find_weights(checkpoint)
    folder = output_folder(options.model_dir, checkpoint)
    options = dataclasses.replace(options, model_dir=folder)
    session = open_session(options, found.state.get("network"))
    warn_of_few_slots(session)

    def evaluator(running: Any) -> Evaluator:
        network, probe = built_network(task, session.choice)
        count = None if options.full_eval else options.evaluation_count
        scenes = ScenePass(task, session, network, session.test_split, count)
        load_weights(running, network, found, task.figures.name)

        def files(running: Any, result: Evaluation) -> Files:
            first = functools.partial(scenes.first, running)
            return evaluation_files(task.figures, session, found.step, result, first)

        return Evaluator(network, probe, scenes.evaluate, files)

    return evaluation_run.run_evaluation(
        session, folder, subject_of(session), options.seed, found.step, evaluator
    )
