"""Evaluates the weights of a checkpoint: metrics as JSON and text, pictures, a record."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from common.training.evaluation_run import Files, metrics_text, output_folder
from common.training.run import Evaluation
from common.training.stored_weights import find_weights
from common.training.tensorflow import evaluation_run
from common.training.tensorflow.evaluation_run import Evaluator
from slot_attention.building import PICTURED, ScenePass, Task, built_network
from slot_attention.network.checkpoints import load_weights
from slot_attention.options import Options
from slot_attention.session import open_session
from slot_attention.training import subject_of, warn_of_few_slots


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
        load_weights(running, network, found, task.name)

        def files(running: Any, result: Evaluation) -> Files:
            metrics = dict(result.metrics)
            told = {"split": result.split, "n": result.n, "step": found.step, "metrics": metrics}
            return {
                "metrics.json": json.dumps(told, indent=1) + "\n",
                "metrics.txt": metrics_text(f"{result.n} scenes of {result.split}", metrics),
                f"{task.picture}.png": lambda: task.draw(session, scenes.first(running, PICTURED)),
            }

        return Evaluator(
            network,
            probe,
            lambda running: task.evaluate(running, session, scenes, session.test_split),
            files,
        )

    return evaluation_run.run_evaluation(
        session, folder, subject_of(session), options.seed, found.step, evaluator
    )
