"""Compares the tensors of two dumps in execution order; knows no files and no words."""

from __future__ import annotations

import dataclasses
import math
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from common.evidence.divergence.tolerance import FLOOR, MAX_FACTOR, SIZE_FACTOR, Tolerance
from common.runs.dump.dump_format import FORWARD, Entry, Index

Name = Tuple[str, str]  # kind, name


class Measured(NamedTuple):
    """Norms of a pair of tensors, a and b, and of their difference, in float64.

    Attributes:
        largest_a, largest_b: the largest magnitudes.
        nonfinite_a, nonfinite_b: how many values are infinite or not a number.
    """

    size: int
    norm_a: float
    norm_b: float
    norm_difference: float
    largest_a: float
    largest_b: float
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
        return (
            self.is_finite
            and self.relative <= self.tolerance
            and self.largest_relative <= self.largest_tolerance
            and self.size_ratio <= SIZE_FACTOR
        )

    @property
    def excess(self) -> float:
        """How many times the tolerance; infinite where a value is not finite."""
        if not self.is_finite:
            return math.inf
        return max(
            self.relative / self.tolerance if self.tolerance else _sign(self.relative),
            self.largest_relative / self.largest_tolerance
            if self.largest_tolerance
            else _sign(self.largest_relative),
            self.size_ratio / SIZE_FACTOR if self.size_ratio > SIZE_FACTOR else 0.0,
        )


def _sign(value: float) -> float:
    return math.inf if value > 0 else 0.0


def obstacles(a: Index, b: Index) -> List[str]:
    """Why two dumps are not of the same computation, most telling first; none is what it takes."""
    found = _of_subjects(a, b)
    if found:
        return found
    return _of_inputs(a.inputs, b.inputs) + _of_names(a.tensors, b.tensors)


def _of_subjects(a: Index, b: Index) -> List[str]:
    pairs = [
        ("network", f"{a.subject.model} {a.subject.task}", f"{b.subject.model} {b.subject.task}"),
        ("network", _shown(a.subject.network), _shown(b.subject.network)),
        ("number of ranks", str(a.subject.world_size), str(b.subject.world_size)),
    ]
    return [
        f"the {what} differs: A has {one}, B has {other}"
        for what, one, other in pairs
        if one != other
    ]


def _shown(network: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(network.items()))


def _of_inputs(a: Sequence[Entry], b: Sequence[Entry]) -> List[str]:
    """What the step was computed from: its batch, noise, weights, optimizer state, settings."""
    one, other = _by_name(a), _by_name(b)
    unequal: Dict[str, List[str]] = {}
    for kind, name in [*one, *(key for key in other if key not in one)]:
        key = (kind, name)
        if key not in one or key not in other or one[key].sha256 != other[key].sha256:
            unequal.setdefault(kind, []).append(name)
    totals = {kind: sum(1 for key in {**one, **other} if key[0] == kind) for kind in unequal}
    return [
        f"{len(names)} of {totals[kind]} {_PLURALS.get(kind, kind)} differ before the "
        f"step ({_few(names)})"
        for kind, names in unequal.items()
    ]


_PLURALS = {
    "batch": "tensors of the batch",
    "noise": "tensors of noise",
    "weight before": "weights",
    "optimizer": "tensors of the optimizer",
    "setting": "settings",
}


def _of_names(a: Sequence[Entry], b: Sequence[Entry]) -> List[str]:
    one, other = _by_name(a), _by_name(b)
    found = []
    for label, here, there in (("A", one, other), ("B", other, one)):
        alone = [key for key in here if key not in there]
        if alone:
            found.append(
                "{} of {} tensors are in {} only ({})".format(
                    len(alone), len(here), label, _few(["{} {}".format(*key) for key in alone])
                )
            )
    return found


def _by_name(entries: Iterable[Entry]) -> Dict[Name, Entry]:
    return {(entry.kind, entry.name): entry for entry in entries}


def _few(names: Sequence[str], count: int = 3) -> str:
    more = ", …" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def common_names(a: Index, b: Index) -> List[Name]:
    """(kind, name) of what both runs have, in A's execution order."""
    there = _by_name(b.tensors)
    return [key for key in _by_name(a.tensors) if key in there]


def differently_shaped(a: Index, b: Index) -> List[str]:
    """The tensors that have another shape in B, in words."""
    there = _by_name(b.tensors)
    return [
        f"{entry.kind} {entry.name} is {list(entry.stored)} in A, "
        f"{list(there[entry.kind, entry.name].stored)} in B"
        for entry in a.tensors
        if (entry.kind, entry.name) in there
        and entry.stored != there[entry.kind, entry.name].stored
    ]


def measure(a: np.ndarray, b: np.ndarray) -> Measured:
    """Measures a pair of tensors of one shape; values that are not finite are left out."""
    one, other = np.asarray(a, np.float64), np.asarray(b, np.float64)
    finite_a, finite_b = np.isfinite(one), np.isfinite(other)
    both = finite_a & finite_b
    one, other = np.where(both, one, 0.0), np.where(both, other, 0.0)
    difference = other - one
    return Measured(
        one.size,
        _norm(one),
        _norm(other),
        _norm(difference),
        _largest(one),
        _largest(other),
        _largest(difference),
        int(np.sum(~finite_a)),
        int(np.sum(~finite_b)),
    )


def _norm(values: np.ndarray) -> float:
    return float(np.sqrt(np.sum(np.square(values))))


def _largest(values: np.ndarray) -> float:
    return float(np.max(np.abs(values))) if values.size else 0.0


def differences(
    entries: Sequence[Entry], measured: Sequence[Measured], tolerance: Tolerance
) -> List[Difference]:
    """Sets measured pairs into relation to their kind and the tolerance at their depth.

    Args:
        entries: of run A, in execution order; `measured` belongs to them one by one.
    """
    pairs = list(zip(entries, measured))
    floors = {
        kind: FLOOR[kind] * _root_mean_square([pair for entry, pair in pairs if entry.kind == kind])
        for kind in FLOOR
    }
    forward = [
        _difference(entry, pair, number, floors[entry.kind], tolerance.forward(number))
        for number, (entry, pair) in enumerate(pairs, 1)
        if entry.kind in FORWARD
    ]
    allowed = tolerance.backward(
        max(1, len(forward)),
        max([item.relative for item in forward if item.is_finite], default=0.0),
    )
    return forward + [
        _difference(entry, pair, number, floors[entry.kind], allowed)
        for number, (entry, pair) in enumerate(pairs, 1)
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
    largest = max(pair.largest_a, pair.largest_b, floor)
    return Difference(
        entry.kind,
        entry.name,
        entry.shape,
        place,
        _over(pair.norm_difference, norm),
        _over(norm, smaller) if norm else 1.0,
        pair.largest_difference,
        _over(pair.largest_difference, largest),
        tolerance,
        tolerance * MAX_FACTOR,
        pair.nonfinite_a,
        pair.nonfinite_b,
    )


def _over(part: float, whole: float) -> float:
    return part / whole if whole else _sign(part)


def first_outside(found: Sequence[Difference]) -> Optional[Difference]:
    """The first tensor in execution order that leaves the tolerance."""
    return next((item for item in found if not item.is_within), None)


def worst(found: Sequence[Difference]) -> Optional[Difference]:
    """The tensor that is the furthest outside, or the nearest to it; the first among equals."""
    return max(found, key=lambda item: item.excess, default=None)
