"""What the benchmark measures, as data: tasks, variants, stated figures, targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

from benchmarks.shared.figures import STATED_RATE, Check
from benchmarks.shared.request import BASELINE

OBJECT_DISCOVERY, SET_PREDICTION = "object_discovery", "set_prediction"
PRECISION_MODES = {"ours_fp32": "must_keep_origin_dtype", "ours_bf16": "allow_mix_precision_bf16"}
VARIANTS = (BASELINE,) + tuple(PRECISION_MODES)
MEMORY_BATCH_SIZE = 8
MEMORY_TARGET = 2.2e9  # bytes, object discovery in training at MEMORY_BATCH_SIZE, fp32
WAIT_TARGET = 0.05  # of a step


@dataclass(frozen=True)
class Case:
    """A task at a batch size, in rounds of so many steps."""

    task: str
    batch_size: int
    steps: int

    @property
    def images(self) -> int:
        """Images of one round."""
        return self.batch_size * self.steps


CASES: Dict[str, Case] = {
    OBJECT_DISCOVERY: Case(OBJECT_DISCOVERY, 4, 1),
    SET_PREDICTION: Case(SET_PREDICTION, 16, 3),
}
# Seconds an image on two cores, by major version of TensorFlow, task and batch sizes: the TF2
# reference on 2.15, the upstream port on 1.15 (the middle of 0.93 to 0.98).
STATED: Dict[Tuple[int, str], Tuple[float, Tuple[int, ...]]] = {
    (1, OBJECT_DISCOVERY): (0.955, (4, 8)),
    (2, OBJECT_DISCOVERY): (0.35, (4, 8)),
    (2, SET_PREDICTION): (0.025, (16,)),
}
# What a variant must reach against the baseline of the same run, on a CPU.
TARGETS: Dict[Tuple[int, str], float] = {
    (1, "ours_fp32"): 1.0,
    (2, "ours_fp32"): 1.0,
    (2, "ours_bf16"): 1.5,
}


def default_variants(major: int, bfloat16: bool) -> Tuple[str, ...]:
    """The variants that run where none are named."""
    return VARIANTS if major >= 2 and bfloat16 else (BASELINE, "ours_fp32")


def check_stated(
    major: int, variant: str, case: Case, device_kind: str, rate: float, measured: float
) -> Optional[Check]:
    """Compares images a second with the stated figure, scaled by the rate of convolutions."""
    seconds, batch_sizes = STATED.get((major, case.task), (0.0, ()))
    if variant != BASELINE or device_kind != "cpu" or case.batch_size not in batch_sizes:
        return None
    return Check(1 / seconds, rate / STATED_RATE / seconds, measured)


def target_of(major: int, variant: str, device_kind: str) -> Optional[float]:
    """The ratio that a variant is to reach, None where none is set."""
    return TARGETS.get((major, variant)) if device_kind == "cpu" else None
