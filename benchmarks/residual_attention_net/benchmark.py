"""Speed of a training step, each variant against the plain baseline in the same run."""

from __future__ import annotations

import sys
from typing import Any, Dict, List, Optional, Sequence, Tuple

from benchmarks.residual_attention_net.variants import VARIANTS, default_names
from benchmarks.shared.harness import BASELINE, Benchmark, Case, main
from common.core.command_line import Parser, number_in
from common.core.errors import UsageError

BATCH_SIZE, STEPS, IMAGES = 32, 2, 50000
# Images a second on two cores at BATCH_SIZE, by major version of torch and variant.
STATED: Dict[Tuple[int, str], float] = {
    (1, BASELINE): 22.0,
    (2, BASELINE): 28.0,
    (2, "baseline_channels_last"): 36.0,
    (2, "baseline_bf16_channels_last"): 62.0,
}


def _add_flags(parser: Parser) -> None:
    parser.add_argument(
        "--images",
        type=number_in(int, 1),
        default=IMAGES,
        help="synthetic images to train on, as many as CIFAR-10 has",
    )


def cases(arguments: Any) -> List[Case]:
    """One; UsageError where a batch is larger than the images."""
    batch_size = arguments.batch_size or BATCH_SIZE
    if batch_size > arguments.images:
        raise UsageError(f"--batch_size {batch_size} is larger than --images {arguments.images}")
    flags = {"batch_size": batch_size, "images": arguments.images}
    return [Case("", f"batch {batch_size}", batch_size, arguments.steps or STEPS, flags)]


def stated(major: int, variant: str, case: Case) -> Optional[float]:
    """Images a second."""
    return STATED.get((major, variant)) if case.images == BATCH_SIZE else None


def chosen(device_kind: str, version: Tuple[int, ...], bfloat16: bool) -> Sequence[str]:
    """By device and torch."""
    return default_names(device_kind, version)


BENCHMARK = Benchmark(
    network="residual_attention_net",
    framework="torch",
    variants=tuple(VARIANTS),
    cases=cases,
    chosen=chosen,
    stated=stated,
    targets={(1, "ours_fp32"): 1.1, (2, "ours_fp32"): 1.25, (2, "ours_bf16"): 2.2},
    add_flags=_add_flags,
)

if __name__ == "__main__":
    sys.exit(main(BENCHMARK))
