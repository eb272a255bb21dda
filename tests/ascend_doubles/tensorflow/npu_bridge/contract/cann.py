"""What the machine says: CANN's libraries, the adapter's release, the chip."""

from __future__ import annotations

import os
from typing import Tuple

NEEDED = ("ASCEND_HOME_PATH", "ASCEND_OPP_PATH")
_DEFAULT_ADAPTER, _DEFAULT_SOC = "1.15.0", "Ascend910A"


def require_cann() -> None:
    """1.3: the import needs CANN's runtime libraries, which set_env.sh puts on the path."""
    if not any(os.environ.get(name) for name in NEEDED):
        raise ImportError(
            "libge_runner.so: cannot open shared object file: No such file or "
            "directory (none of {} is set)".format(", ".join(NEEDED))
        )


def adapter() -> Tuple[int, ...]:
    """The release whose branch is imitated."""
    return tuple(
        int(part) for part in os.environ.get("ASCEND_DOUBLE_ADAPTER", _DEFAULT_ADAPTER).split(".")
    )


def since(major: int, minor: int) -> bool:
    """Whether the adapter is this release or a later one (1.1)."""
    return adapter()[:2] >= (major, minor)


def soc() -> str:
    """The chip's name."""
    return os.environ.get("ASCEND_DOUBLE_SOC", _DEFAULT_SOC)


def is_first_generation() -> bool:
    """The 910A family, without bfloat16 and without INF and NaN."""
    return soc() in ("Ascend910", "Ascend910A", "Ascend910B", "Ascend910ProA", "Ascend910ProB")


def shows_inf_and_nan() -> bool:
    """1.9: whether overflow is read from the gradients and not from the status register."""
    return since(1, 13) and not is_first_generation()
