"""What every benchmark's command line says: variants by name, and a device to compare on."""

from __future__ import annotations

from typing import List, Optional, Sequence

from common.core.errors import UsageError
from common.machine.devices import choose_device, detect

BASELINE = "baseline"


def named_variants(text: Optional[str], variants: Sequence[str]) -> Optional[List[str]]:
    """The variants that --variants names, the baseline always first; None where it is not given.

    Raises:
        UsageError: an unknown name.
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in variants:
            raise UsageError(
                "--variants: there is no variant {!r}; there are: {}".format(
                    name, ", ".join(variants)
                )
            )
    return [BASELINE] + [name for name in dict.fromkeys(names) if name != BASELINE]


def benchmark_device(asked: str) -> str:
    """The kind of device that --device asks for: "gpu" or "cpu".

    Raises:
        UsageError: an NPU.
    """
    kind = choose_device(asked, detect())
    if kind == "npu":
        raise UsageError("--device npu: this benchmark compares on gpu and cpu only")
    return kind
