"""The flags of the dump of one training step; imports no numpy, as zoo launch reads flags too."""

from __future__ import annotations

import dataclasses
from typing import Optional

from common.core.flags import TRAININGS, Flags, count, path, unrecorded


@dataclasses.dataclass(frozen=True)
class DumpFlags(Flags):
    """Which step is stored, and where it begins; of trainings alone."""

    dump_tensors: Optional[int] = unrecorded(
        "store activations, gradients and updated weights of step K, for zoo diverge",
        kind=count,
        metavar="K",
        group="comparing runs",
        only=TRAININGS,
    )
    dump_from: Optional[str] = unrecorded(
        "begin at the step that RUN stored, with its weights, batch and noise, and store the same "
        "(one rank)",
        kind=path,
        metavar="RUN",
        only=TRAININGS,
    )
