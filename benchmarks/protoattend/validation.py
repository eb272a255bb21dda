"""Time and memory of a whole validation: many candidates, all test images, every metric.

    python -m benchmarks.protoattend.validation --candidates 32768 --images 10000

Images and weights are random, so that decisions have more prototypes than a trained network's: what
is measured is the slow case. Exit code: 0 where both limits are kept, 1 where one is not.
"""

from __future__ import annotations

import json
import resource
import time
from dataclasses import asdict, dataclass
from typing import Any, List, Optional, Sequence

import numpy as np

from common.core.command_line import Parser, add_debug_flag, exit_code_of, number_in

MEMORY_LIMIT = 2e9  # bytes, of the whole process
CONFIDENCE_LIMIT = 0.5  # seconds, for STATED decisions
STATED = 10000, 32768
CONFIDENCE_REPEATS = 5


@dataclass(frozen=True)
class Measured:
    """Seconds of the parts of a validation, and the process's peak memory in bytes.

    Attributes:
        candidates: to encode the database.
        decisions: to encode the images and decide on them.
        metrics: to make all metrics of the decisions.
        confidence: to turn attention weights into the confidence of every decision.
        prototypes: median number that makes up 90 % of a decision.
    """

    candidates: float
    decisions: float
    metrics: float
    confidence: float
    prototypes: float
    memory: int

    @property
    def total(self) -> float:
        """Seconds of the whole validation; the decisions have their confidence in them."""
        return self.candidates + self.decisions + self.metrics


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(prog="benchmarks.protoattend.validation", description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=number_in(int, 1), default=STATED[0], help="test images")
    parser.add_argument(
        "--candidates",
        type=number_in(int, 16),
        default=STATED[1],
        help="candidates of each decision",
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of text")
    add_debug_flag(parser)
    return parser


def measure(images: int, candidates: int) -> Measured:
    """Validates once, as protoattend.evaluate does, on the processor."""
    from benchmarks.protoattend.synthetic import synthetic_session
    from common.training.tensorflow import runtime as tf_runtime
    from common.training.tensorflow.initial_weights import HE_NORMAL, draw_initial_weights
    from common.training.tensorflow.runtime import tf
    from protoattend.network.prototype_network import PrototypeNetwork
    from protoattend.split_evaluation import SplitEvaluation

    session = synthetic_session(
        "cpu",
        "must_keep_origin_dtype",
        ["--eval_cand_size", str(candidates)],
        trained=candidates,
        tested=images,
    )
    network = PrototypeNetwork(session.architecture())
    evaluation = SplitEvaluation(session, network)
    running = tf_runtime.open_session(session.device, session.precision)
    running.run([tf.global_variables_initializer(), evaluation.initializer])
    draw_initial_weights(running, network, session.options.random_seed, HE_NORMAL)

    began = time.perf_counter()
    evaluation.prepare(running)
    encoded = time.perf_counter()
    decisions = evaluation.decide_test(running)
    decided = time.perf_counter()
    evaluation.report(decisions)
    reported = time.perf_counter()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Measured(
        encoded - began,
        decided - encoded,
        reported - decided,
        confidence_seconds(session, images, candidates),
        float(np.median(decisions.prototype_counts[:, 1])),
        memory,
    )


def confidence_seconds(session: Any, images: int, candidates: int) -> float:
    """From attention weights to the confidence of `images` decisions, batch by batch.

    The product with one-hot labels that PrototypePasses makes; the median of some repeats.
    """
    from benchmarks.protoattend.synthetic import CLASSES
    from common.training.tensorflow import runtime as tf_runtime
    from common.training.tensorflow.runtime import tf

    batch = session.options.evaluation_batch_size
    random = np.random.RandomState(3)
    with tf.Graph().as_default():
        weights = tf.Variable(tf.fill([batch, candidates], 1.0 / candidates))
        labels = random.randint(0, CLASSES, candidates)
        one_hot = tf.Variable(np.eye(CLASSES, dtype=np.float32)[labels])
        confidence = tf.reduce_max(tf.matmul(weights, one_hot), axis=-1)
        running = tf_runtime.open_session(session.device, session.precision)
        running.run(tf.global_variables_initializer())
        times = []
        for _ in range(CONFIDENCE_REPEATS):
            began = time.perf_counter()
            for _ in range(0, images, batch):
                running.run(confidence)
            times.append(time.perf_counter() - began)
    return sorted(times)[CONFIDENCE_REPEATS // 2]


def exceeded(measured: Measured, images: int, candidates: int) -> List[str]:
    """The limits that were not kept, a line each; that of time holds for STATED and below."""
    lines = []
    if measured.memory > MEMORY_LIMIT:
        lines.append(
            f"memory: {measured.memory / 1e9:.2f} GB, the limit is {MEMORY_LIMIT / 1e9:.1f} GB"
        )
    share = min(1.0, images * candidates / float(STATED[0] * STATED[1]))
    if images * candidates <= STATED[0] * STATED[1] and measured.confidence > (
        CONFIDENCE_LIMIT * share
    ):
        lines.append(
            f"confidence: {measured.confidence:.2f} s, the limit is "
            f"{CONFIDENCE_LIMIT * share:.2f} s"
        )
    return lines


def as_text(measured: Measured, images: int, candidates: int) -> str:
    """For people."""
    return "\n".join(
        [
            f"{images:,} images, {candidates:,} candidates, {measured.prototypes:g} "
            "prototypes for 90 % of a decision",
            f"whole validation: {measured.total:.1f} s (candidates "
            f"{measured.candidates:.1f}, decisions {measured.decisions:.1f}, metrics "
            f"{measured.metrics:.2f})",
            f"confidence alone: {measured.confidence:.3f} s; peak memory "
            f"{measured.memory / 1e9:.2f} GB",
        ]
    )


def run(argv: Optional[Sequence[str]] = None) -> int:
    """Measures and prints; 1 where a limit is exceeded."""
    arguments = make_parser().parse_args(argv)
    sizes = arguments.images, arguments.candidates
    measured = measure(*sizes)
    missed = exceeded(measured, *sizes)
    if arguments.json:
        print(json.dumps(dict(asdict(measured), total=measured.total, exceeded=missed), indent=2))
    else:
        print("\n".join([as_text(measured, *sizes)] + missed))
    return 1 if missed else 0


def main(argv: Optional[Sequence[str]] = None) -> int:
    """The entry of the command."""
    return exit_code_of(run, argv)


if __name__ == "__main__":
    import sys

    sys.exit(main())
