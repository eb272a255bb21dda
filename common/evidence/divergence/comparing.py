"""Compares the tensors of two dumps in execution order; knows no files."""

from __future__ import annotations

import dataclasses
import math
from typing import Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from common.evidence.divergence.tolerance import FLOOR, MAX_FACTOR, SIZE_FACTOR, Tolerance
from common.runs.dump.dump_format import FORWARD, Entry, Index

Name = Tuple[str, str]  # kind, name
_PLURALS = {
    "batch": "tensors of the batch",
    "noise": "tensors of noise",
    "weight before": "weights",
    "optimizer": "tensors of the optimizer",
    "setting": "settings",
}


class Measured(NamedTuple):
    """Norms of a pair of tensors, a and b, and of their difference, in float64.

    Attributes:
        largest: the largest magnitude in either.
        nonfinite_a, nonfinite_b: how many values are infinite or not a number.
    """

    size: int
    norm_a: float
    norm_b: float
    norm_difference: float
    largest: float
    largest_difference: float
    nonfinite_a: int
    nonfinite_b: int


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far a tensor of run B is from that of run A.

    Attributes:
        place: in execution order, from 1.
        relative: |b - a| over the larger norm, or over the floor of its kind.
        size_ratio: the larger norm over the smaller one. Of a tensor of zeros, or one a thousand
            times too large, `relative` is 1 and no more.
        largest: the largest difference of an element.
        largest_relative: the same over the largest value.
        tolerance: of `relative`; `largest_tolerance` of `largest_relative`.
    """

    kind: str
    name: str
    shape: Tuple[int, ...]
    place: int
    relative: float
    size_ratio: float
    largest: float
    largest_relative: float
    tolerance: float
    largest_tolerance: float
    nonfinite_a: int
    nonfinite_b: int

    @property
    def is_finite(self) -> bool:
        """Whether both runs hold numbers only."""
        return not self.nonfinite_a and not self.nonfinite_b

    @property
    def is_within(self) -> bool:
        """Whether it stays within the tolerance; what is not finite does not."""
        return self.excess <= 1

    @property
    def excess(self) -> float:
        """How many times the tolerance; infinite where a value is not finite."""
        if not self.is_finite:
            return math.inf
        return max(
            _over(self.relative, self.tolerance),
            _over(self.largest_relative, self.largest_tolerance),
            self.size_ratio / SIZE_FACTOR if self.size_ratio > SIZE_FACTOR else 0.0,
        )


def _over(part: float, whole: float) -> float:
    return part / whole if whole else math.inf if part > 0 else 0.0


def named(entries: Sequence[Entry]) -> Dict[Name, Entry]:
    """Entries by kind and name, in their order."""
    return {(entry.kind, entry.name): entry for entry in entries}


def obstacles(a: Index, b: Index) -> List[str]:
    """Why two dumps are not of the same computation, most telling first; none is what it takes."""
    one, other = a.subject, b.subject
    pairs = [
        ("network", f"{one.model} {one.task}", f"{other.model} {other.task}"),
        ("network", _shown(one.network), _shown(other.network)),
        ("number of ranks", str(one.world_size), str(other.world_size)),
    ]
    found = [f"the {what} differs: A has {x}, B has {y}" for what, x, y in pairs if x != y]
    if not found:
        found = [*_of_inputs(named(a.inputs), named(b.inputs)), *_of_names(a, b)]
    return found + _of_shapes(named(a.tensors), named(b.tensors))


def _shown(network: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(network.items()))


def _of_inputs(a: Mapping[Name, Entry], b: Mapping[Name, Entry]) -> Iterator[str]:
    """What the step was computed from: its batch, noise, weights, optimizer state, settings."""
    every = [*a, *(key for key in b if key not in a)]
    unequal = [
        key for key in every if key not in a or key not in b or a[key].sha256 != b[key].sha256
    ]
    for kind in dict.fromkeys(kind for kind, _ in unequal):
        names = [name for key, name in unequal if key == kind]
        total = sum(1 for key, _ in every if key == kind)
        what = _PLURALS.get(kind, kind)
        yield f"{len(names)} of {total} {what} differ before the step ({_few(names)})"


def _of_names(a: Index, b: Index) -> Iterator[str]:
    one, other = named(a.tensors), named(b.tensors)
    for label, here, there in (("A", one, other), ("B", other, one)):
        alone = [" ".join(key) for key in here if key not in there]
        if alone:
            yield f"{len(alone)} of {len(here)} tensors are in {label} only ({_few(alone)})"


def _of_shapes(a: Mapping[Name, Entry], b: Mapping[Name, Entry]) -> List[str]:
    return [
        f"{' '.join(key)} is {list(entry.stored)} in A, {list(b[key].stored)} in B"
        for key, entry in a.items()
        if key in b and entry.stored != b[key].stored
    ]


def _few(names: Sequence[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (", …" if len(names) > count else "")


def measure(a: np.ndarray, b: np.ndarray) -> Measured:
    """Measures a pair of tensors of one shape; values that are not finite are left out."""
    pair = np.stack([np.asarray(a, np.float64), np.asarray(b, np.float64)])
    finite = np.isfinite(pair)
    one, other = np.where(finite.all(axis=0), pair, 0.0)
    difference = other - one
    return Measured(
        one.size,
        _norm(one),
        _norm(other),
        _norm(difference),
        max(_largest(one), _largest(other)),
        _largest(difference),
        int(np.sum(~finite[0])),
        int(np.sum(~finite[1])),
    )


def _norm(values: np.ndarray) -> float:
    return float(np.sqrt(np.sum(np.square(values))))


def _largest(values: np.ndarray) -> float:
    return float(np.max(np.abs(values), initial=0.0))


def differences(
    entries: Sequence[Entry], measured: Sequence[Measured], tolerance: Tolerance
) -> List[Difference]:
    """Sets measured pairs into relation to their kind and the tolerance at their depth.

    Args:
        entries: of run A, in execution order; `measured` belongs to them one by one.
    """
    pairs = list(enumerate(zip(entries, measured), 1))
    floors = {
        kind: floor * _root_mean_square([pair for _, (entry, pair) in pairs if entry.kind == kind])
        for kind, floor in FLOOR.items()
    }
    forward = [
        _difference(entry, pair, place, floors[entry.kind], tolerance.forward(place))
        for place, (entry, pair) in pairs
        if entry.kind in FORWARD
    ]
    seen = max([item.relative for item in forward if item.is_finite], default=0.0)
    allowed = tolerance.backward(max(1, len(forward)), seen)
    return forward + [
        _difference(entry, pair, place, floors[entry.kind], allowed)
        for place, (entry, pair) in pairs
        if entry.kind not in FORWARD
    ]


def _root_mean_square(pairs: Sequence[Measured]) -> float:
    size = sum(pair.size for pair in pairs)
    return math.sqrt(sum(pair.norm_a**2 for pair in pairs) / size) if size else 0.0


def _difference(
    entry: Entry, pair: Measured, place: int, floor: float, tolerance: float
) -> Difference:
    least = floor * math.sqrt(pair.size)
    norm, smaller = (max(choose(pair.norm_a, pair.norm_b), least) for choose in (max, min))
    return Difference(
        entry.kind,
        entry.name,
        entry.shape,
        place,
        _over(pair.norm_difference, norm),
        _over(norm, smaller) if norm else 1.0,
        pair.largest_difference,
        _over(pair.largest_difference, max(pair.largest, floor)),
        tolerance,
        tolerance * MAX_FACTOR,
        pair.nonfinite_a,
        pair.nonfinite_b,
    )
