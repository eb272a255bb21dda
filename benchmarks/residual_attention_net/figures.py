"""The figures that are stated for this network, and the ratios it is to reach."""

from __future__ import annotations

from typing import Dict, Optional, Tuple

from benchmarks.shared.figures import STATED_RATE, Check

STATED_BATCH_SIZE = 32
# Images a second on two cores, by major version of torch and variant.
STATED: Dict[Tuple[int, str], float] = {
    (1, "baseline"): 22.0,
    (2, "baseline"): 28.0,
    (2, "baseline_channels_last"): 36.0,
    (2, "baseline_bf16_channels_last"): 62.0,
}
# What a variant must reach against the baseline of the same run, on a CPU.
TARGETS: Dict[Tuple[int, str], float] = {
    (1, "ours_fp32"): 1.1,
    (2, "ours_fp32"): 1.25,
    (2, "ours_bf16"): 2.2,
}


def check_stated(
    torch_major: int, variant: str, batch_size: int, device_kind: str, rate: float, measured: float
) -> Optional[Check]:
    """Compare with the stated figure scaled by the measured rate; None where none is stated."""
    stated = STATED.get((torch_major, variant))
    if stated is None or batch_size != STATED_BATCH_SIZE or device_kind != "cpu":
        return None
    return Check(stated, stated * rate / STATED_RATE, measured)


def target_of(torch_major: int, variant: str, device_kind: str) -> Optional[float]:
    """The ratio that a variant is to reach, None where none is set."""
    return TARGETS.get((torch_major, variant)) if device_kind == "cpu" else None
