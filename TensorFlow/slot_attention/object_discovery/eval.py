"""Evaluates object discovery: python -m slot_attention.object_discovery.eval --help."""

from __future__ import annotations

from typing import Any, Optional, Sequence

from common.core.command_line import run_program
from slot_attention.options import OBJECT_DISCOVERY, parse_options

PICTURED = 8


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Evaluates a checkpoint; returns the exit code."""
    options = parse_options(OBJECT_DISCOVERY, "eval", argv)
    # After the flags: TensorFlow takes seconds to import, a wrong flag should not.
    from slot_attention.evaluation import run_evaluation

    return run_evaluation(options, make_evaluator)


def make_evaluator(session: Any, choice: Any) -> Any:
    """Builds the pass over the test split into the default graph."""
    from common.training.tensorflow import runtime as tf_runtime
    from slot_attention.evaluation import Evaluator
    from slot_attention.object_discovery.building import (
        built_network,
        discovery_pass,
        slot_png,
    )
    from slot_attention.object_discovery.segmentation import evaluate_pass

    (network, probe), options = built_network(choice), session.options
    count = None if options.full_eval else options.evaluation_count
    scenes = discovery_pass(session, choice, network, session.test_split, count)

    def evaluate(running: Any) -> Any:
        return evaluate_pass(
            running,
            scenes,
            session.dataset.has_masks,
            session.dataset.background_entities,
            lambda values: tf_runtime.sum_over_ranks(session.device, values),
            session.test_split,
        )

    def draw(running: Any) -> bytes:
        return slot_png(session, scenes.first(running, PICTURED))

    return Evaluator(network, probe, evaluate, "slots", draw)


if __name__ == "__main__":
    run_program(main)
