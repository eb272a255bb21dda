"""The comparison of two dumps as a whole: what was compared, how, and the verdict."""

from __future__ import annotations

import dataclasses
from typing import Iterator, List, Optional, Tuple

from common.evidence.divergence.comparing import (
    Difference,
    Measured,
    common_names,
    differences,
    differently_shaped,
    first_outside,
    measure,
    obstacles,
)
from common.evidence.divergence.tolerance import Tolerance, tolerance_for
from common.runs.dump.dump_format import Subject
from common.runs.dump.reading import Dump

WITHIN, DIVERGES, INCONCLUSIVE = "WITHIN TOLERANCE", "DIVERGES", "INCONCLUSIVE"
EXIT_CODES = {WITHIN: 0, DIVERGES: 1, INCONCLUSIVE: 2}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What zoo diverge found.

    Attributes:
        obstacles: why it is not the same computation; with any the outcome is INCONCLUSIVE.
        notes: what a reader should know besides.
        differences: of every tensor that could be compared, in execution order.
        inputs: how many tensors the step was computed from.
    """

    a: Subject
    b: Subject
    labels: Tuple[str, str]
    tolerance: Tolerance
    inputs: int
    obstacles: Tuple[str, ...]
    notes: Tuple[str, ...]
    differences: Tuple[Difference, ...]

    @property
    def verdict(self) -> str:
        """One of EXIT_CODES."""
        if self.obstacles or not self.differences:
            return INCONCLUSIVE
        return WITHIN if self.first is None else DIVERGES

    @property
    def first(self) -> Optional[Difference]:
        """The first tensor in execution order that leaves the tolerance."""
        return first_outside(self.differences)

    @property
    def tells_nothing_backward(self) -> bool:
        """Whether gradients may differ by as much as they are large."""
        return any(item.tolerance >= 1 for item in self.differences)


def compare_dumps(a: Dump, b: Dump, relative: Optional[float] = None) -> Outcome:
    """Compares run B with run A, tensor by tensor in A's execution order.

    Args:
        relative: the tolerance of every tensor; None for that of the runs' arithmetic.

    Raises:
        UsageError: a tensor is damaged.
    """
    tolerance = tolerance_for(a.subject.arithmetic, b.subject.arithmetic, relative)
    found = obstacles(a.index, b.index) + differently_shaped(a.index, b.index)
    shapes = {(entry.kind, entry.name): entry.stored for entry in b.index.tensors}
    entries = {(entry.kind, entry.name): entry for entry in a.index.tensors}
    names = [
        name for name in common_names(a.index, b.index) if entries[name].stored == shapes[name]
    ]
    measured: List[Measured] = [
        measure(one, other) for one, other in zip(a.tensors(names), b.tensors(names))
    ]
    return Outcome(
        a.subject,
        b.subject,
        (str(a.folder), str(b.folder)),
        tolerance,
        len(a.index.inputs),
        tuple(found),
        tuple(_notes(a, b)),
        tuple(differences([entries[name] for name in names], measured, tolerance)),
    )


def _notes(a: Dump, b: Dump) -> Iterator[str]:
    if a.subject.step != b.subject.step:
        yield f"A's step is {a.subject.step}, B's {b.subject.step}"
    if a.subject.world_size > 1 and a.subject.world_size == b.subject.world_size:
        yield (
            f"gradients are means over {a.subject.world_size} ranks, and the dumps hold "
            "rank 0's batch alone: that "
            "the other ranks had equal batches is not checked"
        )
    parts = [entry for entry in a.index.tensors if entry.stored != entry.shape]
    if parts:
        yield f"of {len(parts)} large activations only the first samples are stored"
