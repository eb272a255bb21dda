"""Speed of a training step of both tasks, ours against the plain baseline in the same run."""

from __future__ import annotations

import sys
from typing import Any, Dict, List, Optional, Sequence, Tuple

from benchmarks.shared.harness import BASELINE, Benchmark, Case, MemoryLimit, main
from common.core.command_line import Parser

OBJECT_DISCOVERY, SET_PREDICTION = "object_discovery", "set_prediction"
PRECISION_MODES = {"ours_fp32": "must_keep_origin_dtype", "ours_bf16": "allow_mix_precision_bf16"}
VARIANTS = (BASELINE, *PRECISION_MODES)
# Batch size and steps of a round.
TASKS: Dict[str, Tuple[int, int]] = {OBJECT_DISCOVERY: (4, 1), SET_PREDICTION: (16, 3)}
# Seconds an image on two cores, by major version of TensorFlow, task and batch sizes: the TF2
# reference on 2.15, the upstream port on 1.15 (the middle of 0.93 to 0.98).
STATED: Dict[Tuple[int, str], Tuple[float, Tuple[int, ...]]] = {
    (1, OBJECT_DISCOVERY): (0.955, (4, 8)),
    (2, OBJECT_DISCOVERY): (0.35, (4, 8)),
    (2, SET_PREDICTION): (0.025, (16,)),
}


def _add_flags(parser: Parser) -> None:
    parser.add_argument("--task", choices=sorted(TASKS), help="one task only")
    parser.add_argument("--no_memory", action="store_true", help="leave out peak memory")


def cases(arguments: Any) -> List[Case]:
    """The tasks to measure, with the batch size and steps that were asked for."""
    return [
        case_of(task, arguments.batch_size or batch_size, arguments.steps or steps)
        for task, (batch_size, steps) in TASKS.items()
        if arguments.task in (None, task)
    ]


def case_of(task: str, batch_size: int, steps: int = 1) -> Case:
    """A task at a batch size."""
    flags = {"task": task, "batch_size": batch_size}
    return Case(task, f"batch {batch_size}", batch_size, steps, flags)


def stated(major: int, variant: str, case: Case) -> Optional[float]:
    """Images a second."""
    seconds, batch_sizes = STATED.get((major, case.name), (0.0, ()))
    return 1 / seconds if variant == BASELINE and case.images in batch_sizes else None


def chosen(device_kind: str, version: Tuple[int, ...], bfloat16: bool) -> Sequence[str]:
    """bfloat16 only where it is computed."""
    return VARIANTS if version >= (2,) and bfloat16 else (BASELINE, "ours_fp32")


BENCHMARK = Benchmark(
    network="slot_attention",
    framework="tensorflow",
    variants=VARIANTS,
    cases=cases,
    chosen=chosen,
    stated=stated,
    targets={(1, "ours_fp32"): 1.0, (2, "ours_fp32"): 1.0, (2, "ours_bf16"): 1.5},
    most_wait=0.05,
    memory=MemoryLimit(OBJECT_DISCOVERY, "ours_fp32", 8, 2.2e9),
    repeats=8,
    add_flags=_add_flags,
)

if __name__ == "__main__":
    sys.exit(main(BENCHMARK))
