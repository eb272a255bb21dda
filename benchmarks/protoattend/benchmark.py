"""Speed of ProtoAttend's training step, ours against the plain baseline in the same run."""

from __future__ import annotations

import sys
from typing import Any, List, Optional, Sequence, Tuple

from benchmarks.shared.harness import BASELINE, Benchmark, Case, main
from common.core.command_line import Parser, number_in

PRECISION_MODES = {"ours_fp32": "must_keep_origin_dtype", "ours_bf16": "allow_mix_precision_bf16"}
VARIANTS = (BASELINE, *PRECISION_MODES)
BATCH_SIZE, CANDIDATES = 128, 1024
STATED_SECONDS = 5.4  # of the reference's step on two cores, TensorFlow 1.15


def _add_flags(parser: Parser) -> None:
    parser.add_argument(
        "--candidates", type=number_in(int, 1), default=CANDIDATES, help="candidates per step"
    )


def cases(arguments: Any) -> List[Case]:
    """One: so many queries, each over all candidates."""
    batch_size, candidates = arguments.batch_size or BATCH_SIZE, arguments.candidates
    return [
        Case(
            "",
            f"{batch_size} queries and {candidates} candidates",
            batch_size + candidates,
            arguments.steps or 1,
            {"batch_size": batch_size, "candidates": candidates},
        )
    ]


def stated(major: int, variant: str, case: Case) -> Optional[float]:
    """The reference's images a second, those of queries and candidates."""
    images = BATCH_SIZE + CANDIDATES
    if (major, variant, case.images) != (1, BASELINE, images):
        return None
    return images / STATED_SECONDS


def chosen(device_kind: str, version: Tuple[int, ...], bfloat16: bool) -> Sequence[str]:
    """bfloat16 only where it is computed."""
    return VARIANTS if version >= (2,) and bfloat16 else (BASELINE, "ours_fp32")


BENCHMARK = Benchmark(
    network="protoattend",
    framework="tensorflow",
    variants=VARIANTS,
    cases=cases,
    chosen=chosen,
    stated=stated,
    targets={(1, "ours_fp32"): 1.5},
    later_target=2.5,
    most_wait=0.05,
    repeats=8,
    add_flags=_add_flags,
)

if __name__ == "__main__":
    sys.exit(main(BENCHMARK))
