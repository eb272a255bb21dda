"""The comparison of two dumps as a whole: what was compared, how, and the verdict."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Dict, Iterator, Optional, Tuple

from common.evidence.divergence.comparing import (
    Difference,
    differences,
    measure,
    named,
    obstacles,
)
from common.evidence.divergence.tolerance import (
    MAX_FACTOR,
    SIZE_FACTOR,
    Tolerance,
    tolerance_for,
)
from common.runs.dump.dump_format import Subject
from common.runs.dump.reading import Dump

SCHEMA_VERSION = 1  # of the JSON
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
        return next((item for item in self.differences if not item.is_within), None)

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
    there = named(b.index.tensors)
    entries = {
        name: entry
        for name, entry in named(a.index.tensors).items()
        if name in there and entry.stored == there[name].stored
    }
    pairs = zip(a.tensors(list(entries)), b.tensors(list(entries)))
    measured = [measure(one, other) for one, other in pairs]
    return Outcome(
        a.subject,
        b.subject,
        (str(a.folder), str(b.folder)),
        tolerance,
        len(a.index.inputs),
        tuple(obstacles(a.index, b.index)),
        tuple(_notes(a, b)),
        tuple(differences(list(entries.values()), measured, tolerance)),
    )


def _notes(a: Dump, b: Dump) -> Iterator[str]:
    if a.subject.step != b.subject.step:
        yield f"A's step is {a.subject.step}, B's {b.subject.step}"
    if a.subject.world_size > 1 and a.subject.world_size == b.subject.world_size:
        yield (
            f"gradients are means over {a.subject.world_size} ranks, and the dumps hold rank 0's "
            "batch alone: that the other ranks had equal batches is not checked"
        )
    parts = [entry for entry in a.index.tensors if entry.stored != entry.shape]
    if parts:
        yield f"of {len(parts)} large activations only the first samples are stored"


def as_json(outcome: Outcome) -> Dict[str, Any]:
    """The comparison as dictionaries and numbers; null where there is none."""
    items = [_item(item) for item in outcome.differences]
    first = outcome.first
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": outcome.verdict,
        "a": {**dataclasses.asdict(outcome.a), "folder": outcome.labels[0]},
        "b": {**dataclasses.asdict(outcome.b), "folder": outcome.labels[1]},
        "tolerance": {
            **dataclasses.asdict(outcome.tolerance),
            "largest_factor": MAX_FACTOR,
            "size_factor": SIZE_FACTOR,
        },
        "inputs": outcome.inputs,
        "obstacles": list(outcome.obstacles),
        "notes": list(outcome.notes),
        "first": None if first is None else _item(first),
        "tensors": items,
    }


def _item(item: Difference) -> Dict[str, Any]:
    content = {**dataclasses.asdict(item), "within": item.is_within}
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in content.items()
    }
