"""Evaluates the weights of a checkpoint: metrics as JSON and text, pictures, a record."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple

from common.core.files import make_folder
from common.training.tensorflow import evaluation_run
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.description import Evaluation
from common.training.tensorflow.evaluation_run import EvaluationRun
from common.training.tensorflow.stored_weights import FoundCheckpoint, find_weights
from slot_attention.network.checkpoints import load_weights
from slot_attention.network.choice import NetworkChoice, chosen_network
from slot_attention.options import Options
from slot_attention.session import Session, open_session
from slot_attention.training import square_size, subject_of, warn_of_few_slots


class Evaluator(NamedTuple):
    """What a task does with a network.

    Attributes:
        network: with its variables made.
        probe: a tensor that takes one pass of the network, whose devices are looked at.
        evaluate: from a session to the figures.
        picture: the name of the picture. draw: from a session to its PNG.
    """

    network: Any
    probe: Any
    evaluate: Callable[[Any], Evaluation]
    picture: str
    draw: Callable[[Any], bytes]


MakeEvaluator = Callable[[Session, NetworkChoice], Evaluator]


def run_evaluation(options: Options, make_evaluator: MakeEvaluator) -> int:
    """Evaluates --checkpoint_dir and writes what came out; returns the exit code."""
    found = find_weights(str(options.checkpoint_dir))
    options = dataclasses.replace(
        options,
        model_dir=evaluation_run.output_folder(options.model_dir, str(options.checkpoint_dir)),
    )
    folder = make_folder(Path(options.model_dir), "--model_dir")
    session = open_session(options)
    try:
        choice = chosen_network(options, square_size(session), found.state.get("network"))
        warn_of_few_slots(session, choice)
        run = EvaluationRun(
            folder,
            session.device,
            session.precision,
            subject_of(session, choice),
            options.evaluation_batch_size,
            options.seed,
            found.step,
        )
        evaluation_run.run_evaluation(
            run, lambda running: _evaluator(running, session, choice, found, make_evaluator)
        )
    finally:
        tf_runtime.close_device(session.device)
    return 0


def _evaluator(
    running: Any,
    session: Session,
    choice: NetworkChoice,
    found: FoundCheckpoint,
    make_evaluator: MakeEvaluator,
) -> evaluation_run.Evaluator:
    evaluator = make_evaluator(session, choice)
    load_weights(running, evaluator.network, found, session.options.task)

    def files(running: Any, result: Evaluation) -> evaluation_run.Files:
        return {
            **_metric_files(result, found.step),
            f"{evaluator.picture}.png": lambda: evaluator.draw(running),
        }

    return evaluation_run.Evaluator(evaluator.network, evaluator.probe, evaluator.evaluate, files)


def _metric_files(result: Evaluation, step: int) -> Dict[str, str]:
    content = {"split": result.split, "n": result.n, "step": step, "metrics": dict(result.metrics)}
    return {
        "metrics.json": json.dumps(content, indent=1) + "\n",
        "metrics.txt": "\n".join(_lines(result)) + "\n",
    }


def _lines(result: Evaluation) -> List[str]:
    return [f"{result.n} scenes of {result.split}"] + [
        f"{name:<24} {value:.4f}" for name, value in result.metrics.items()
    ]
