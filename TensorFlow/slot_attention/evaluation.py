"""Evaluates the weights of a checkpoint: metrics as JSON and text, pictures, a record."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Callable, List, Mapping, NamedTuple

from common import tf_runtime
from common.files import make_folder, write_atomically
from common.results import run_record
from common.run_events import telling_the_end
from common.stop_signal import StopSignal
from common.tf_runtime import tf
from common.tf_training.description import Evaluation
from common.tf_training.progress import ProgressLines
from common.tf_training.run_start import Targets, open_run_log, start_event
from common.tf_training.step_graph import parameter_count
from slot_attention.network.checkpoints import FoundCheckpoint, find_weights, load_weights
from slot_attention.network.choice import NetworkChoice, chosen_network
from slot_attention.options import Options
from slot_attention.pictures.canvas import require_pillow
from slot_attention.session import Session, open_session
from slot_attention.training import square_size, subject_of, warn_of_few_slots

FOLDER = "evaluation"


class Evaluator(NamedTuple):
    """What a task does with a network.

    Attributes:
        network: with its variables made.
        probe: a tensor that takes one pass of the network, whose devices are looked at.
        evaluate: from a session to the figures. pictures: from a session to PNGs by name.
    """

    network: Any
    probe: Any
    evaluate: Callable[[Any], Evaluation]
    pictures: Callable[[Any], Mapping[str, bytes]]


def run_evaluation(options: Options,
                   make_evaluator: Callable[[Session, NetworkChoice], Evaluator]) -> int:
    """Evaluates --checkpoint_dir and writes what came out; returns the exit code."""
    require_pillow()
    found = find_weights(str(options.checkpoint_dir))
    options = dataclasses.replace(options, model_dir=_output_path(options))
    folder = make_folder(Path(options.model_dir), "--model_dir")
    session = open_session(options)
    try:
        choice = chosen_network(options, square_size(session), found.state.get("network"))
        warn_of_few_slots(session, choice)
        _evaluate(session, choice, found, make_evaluator, folder)
    finally:
        tf_runtime.close_device(session.device)
    return 0


def _output_path(options: Options) -> str:
    """--model_dir, else a folder beside the weights."""
    if options.model_dir:
        return options.model_dir
    place = Path(str(options.checkpoint_dir))
    return str((place if place.is_dir() else place.parent) / FOLDER)


def _evaluate(session: Session, choice: NetworkChoice, found: FoundCheckpoint,
              make_evaluator: Callable[[Session, NetworkChoice], Evaluator],
              folder: Path) -> None:
    rank = session.place.rank
    with open_run_log(folder, session.device) as log, telling_the_end(log, StopSignal()), \
            tf.Graph().as_default(), \
            tf_runtime.open_session(session.device, session.precision) as running:
        evaluator = make_evaluator(session, choice)
        load_weights(running, evaluator.network, found, session.options.task)
        log.event("start", **start_event(
            subject_of(session, choice), session.device, session.precision,
            Targets(session.options.evaluation_batch_size, session.options.seed),
            parameter_count(evaluator.network),
            tf_runtime.proof(session.device, running, evaluator.probe)))
        result = evaluator.evaluate(running)
        log.event("evaluation", split=result.split, role="final", step=found.step, epoch=0,
                  n=result.n, metrics=dict(result.metrics))
        if rank == 0:
            _tell(result, found.step)
            _write(folder, result, found, evaluator.pictures(running))
    if rank == 0:
        run_record.write_record(run_record.from_run_folder(folder), folder)
        print("metrics, pictures and record: {}".format(folder), flush=True)


def _tell(result: Evaluation, step: int) -> None:
    ProgressLines(0, 1, 1, True).evaluation(step, result.split, "final", result.n, result.metrics)


def _write(folder: Path, result: Evaluation, found: FoundCheckpoint,
           pictures: Mapping[str, bytes]) -> None:
    content = {"split": result.split, "n": result.n, "step": found.step,
               "metrics": dict(result.metrics)}
    write_atomically(folder / "metrics.json", json.dumps(content, indent=1) + "\n")
    write_atomically(folder / "metrics.txt", "\n".join(_lines(result)) + "\n")
    for name, png in pictures.items():
        write_atomically(folder / "{}.png".format(name), png)


def _lines(result: Evaluation) -> List[str]:
    return ["{} scenes of {}".format(result.n, result.split)] + [
        "{:<24} {:.4f}".format(name, value) for name, value in result.metrics.items()]
