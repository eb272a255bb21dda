"""What the benchmark measures, as data: the step, variants, stated figure, targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

from benchmarks.shared.figures import STATED_RATE, Check
from benchmarks.shared.request import BASELINE

PRECISION_MODES = {"ours_fp32": "must_keep_origin_dtype", "ours_bf16": "allow_mix_precision_bf16"}
VARIANTS = (BASELINE,) + tuple(PRECISION_MODES)
WAIT_TARGET = 0.05  # of a step


@dataclass(frozen=True)
class Case:
    """A training step: so many queries, each over all candidates; in rounds of `steps`."""

    batch_size: int = 128
    candidates: int = 1024
    steps: int = 1

    @property
    def step_images(self) -> int:
        """Images that one step encodes."""
        return self.batch_size + self.candidates

    @property
    def images(self) -> int:
        """Images that one round encodes."""
        return self.step_images * self.steps


STATED_CASE = Case()
STATED_SECONDS = 5.4  # of the reference's step at STATED_CASE on two cores, TensorFlow 1.15
TENSORFLOW_1_RATIO = 1.5  # over the baseline of the same run
TENSORFLOW_2_RATIO = 2.5  # over the stated figure of TensorFlow 1.15, scaled to the machine


def default_variants(major: int, bfloat16: bool) -> Tuple[str, ...]:
    """The variants that run where none are named."""
    return VARIANTS if major >= 2 and bfloat16 else (BASELINE, "ours_fp32")


def scaled_figure(case: Case, device_kind: str, rate: float) -> Optional[float]:
    """The stated images a second, scaled by the rate of convolutions; None where none holds."""
    if device_kind != "cpu" or case.step_images != STATED_CASE.step_images:
        return None
    return rate / STATED_RATE * STATED_CASE.step_images / STATED_SECONDS


def check_stated(
    major: int, variant: str, case: Case, device_kind: str, rate: float, measured: float
) -> Optional[Check]:
    """Compares the baseline's images a second on TensorFlow 1.15 with the stated figure."""
    scaled = scaled_figure(case, device_kind, rate)
    if scaled is None or variant != BASELINE or major != 1:
        return None
    return Check(STATED_CASE.step_images / STATED_SECONDS, scaled, measured)


def target_of(major: int, variant: str, device_kind: str) -> Optional[float]:
    """The ratio over the baseline of the same run that a variant is to reach, None for none."""
    ours: Dict[str, float] = {"ours_fp32": TENSORFLOW_1_RATIO}
    return ours.get(variant) if major == 1 and device_kind == "cpu" else None
