"""What a run computed in, as far as rounding goes."""

from __future__ import annotations

from typing import Dict

from common.machine.precision import Precision

FLOAT32, TF32, FLOAT16, BFLOAT16 = "float32", "tf32", "float16", "bfloat16"
# Half the distance of 1 from the next number: the largest relative error of one rounding.
ROUNDING: Dict[str, float] = {
    FLOAT32: 2.0**-24,
    TF32: 2.0**-11,
    FLOAT16: 2.0**-11,
    BFLOAT16: 2.0**-8,
}
_PLAIN = "must_keep_origin_dtype"


def arithmetic_of(precision: Precision) -> str:
    """The coarsest arithmetic of a precision: a key of ROUNDING."""
    if precision.half_weights or precision.apex_opt_level is not None:
        return FLOAT16
    if precision.autocast_dtype is not None:
        return precision.autocast_dtype
    if precision.tf32:
        return TF32
    if precision.device_kind != "npu" or precision.name == _PLAIN:
        return FLOAT32
    # The chip's own modes: what is not the plain one reads 16 bits.
    return BFLOAT16 if "bf16" in precision.name else FLOAT16


def coarser(one: str, other: str) -> str:
    """The arithmetic with the larger rounding error of two."""
    return max(one, other, key=lambda name: ROUNDING.get(name, 1.0))
