"""Evaluates set prediction: python -m slot_attention.set_prediction.eval --help."""

from __future__ import annotations

from typing import Any, Optional, Sequence

from common.core.command_line import run_program
from slot_attention.options import SET_PREDICTION, parse_options

PICTURED = 8


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Evaluates a checkpoint; returns the exit code."""
    options = parse_options(SET_PREDICTION, "eval", argv)
    # After the flags: TensorFlow takes seconds to import, a wrong flag should not.
    from slot_attention.evaluation import run_evaluation

    return run_evaluation(options, make_evaluator)


def make_evaluator(session: Any, choice: Any) -> Any:
    """Builds the pass over the test split into the default graph."""
    from slot_attention.evaluation import Evaluator
    from slot_attention.set_prediction.building import (
        built_network,
        prediction_pass,
        prediction_png,
    )
    from slot_attention.set_prediction.matching_precision import evaluate_pass

    (network, probe), options = built_network(choice), session.options
    count = None if options.full_eval else options.evaluation_count
    scenes = prediction_pass(session, choice, network, session.test_split, count)

    def draw(running: Any) -> bytes:
        return prediction_png(scenes.first(running, PICTURED))

    def evaluate(running: Any) -> Any:
        return evaluate_pass(running, scenes, session.test_split)

    return Evaluator(network, probe, evaluate, "objects", draw)


if __name__ == "__main__":
    run_program(main)
