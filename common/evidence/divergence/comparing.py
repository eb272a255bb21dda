"""Compares the tensors of two dumps in execution order, and judges by how far rounding goes."""

from __future__ import annotations

import math
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

import attrs
import numpy as np

from common.runs.dump import (
    ACTIVATION,
    FLOAT32,
    FORWARD,
    GRADIENT,
    LOSS,
    ROUNDING,
    WEIGHT,
    Dump,
    Entry,
)

WITHIN, DIVERGES, INCONCLUSIVE = "WITHIN TOLERANCE", "DIVERGES", "INCONCLUSIVE"
EXIT_CODES = {WITHIN: 0, DIVERGES: 1, INCONCLUSIVE: 2}
# Roundings that the error of a layer amounts to. A float32 layer sums up to a million numbers in
# an order of its device's own; with fewer bits only what goes in and comes out is rounded, for sums
# are kept in float32.
ROUNDINGS_OF_SUMS, ROUNDINGS_OF_ENDS = 256.0, 4.0
# A ReLU or a maximum whose inputs are within the error of each other takes the other way in one of
# the runs. Such are as many, in proportion, as activations differ by; in an L2 norm that counts
# with its square root.
BACKWARD_FACTOR = 5.0
# One element may be off by more than all together.
MAX_FACTOR = 8.0
# Where gradients may differ by their own size, this still tells a loss scale that was not taken
# off, or a gradient that never came.
SIZE_FACTOR = 8.0
# A tensor whose values are this small next to those of its kind is measured against them: the
# gradient of a bias that changes nothing is rounding error and nothing else, and Adam makes a whole
# step of it.
FLOOR: Dict[str, float] = {ACTIVATION: 1e-6, LOSS: 0.0, GRADIENT: 1e-2, WEIGHT: 1e-1}
Named = Mapping[Tuple[str, str], Entry]  # by kind and name


@attrs.frozen
class Tolerance:
    """The largest relative L2 difference; that of the largest element is MAX_FACTOR times it.

    Attributes:
        of_one: what the first layer may differ by.
        grows: whether it grows with depth, and backward with what activations differ by.
        reason: why, in words.
    """

    of_one: float
    grows: bool
    reason: str

    def forward(self, depth: int) -> float:
        """After so many layers, from 1: independent errors add up like a random walk."""
        return self.of_one * math.sqrt(depth) if self.grows else self.of_one

    def backward(self, depth: int, seen: float) -> float:
        """Of gradients and weights, after `depth` activations that differ by `seen` at most."""
        least = self.forward(depth)
        return max(least, BACKWARD_FACTOR * math.sqrt(min(seen, least))) if self.grows else least


def tolerance_for(one: str, other: str, given: Optional[float] = None) -> Tolerance:
    """The tolerance between two arithmetics, or the one that was asked for."""
    if given is not None:
        return Tolerance(given, False, f"{given:g} for every tensor (--relative)")
    name = max(one, other, key=lambda arithmetic: ROUNDING[arithmetic])
    roundings = ROUNDINGS_OF_SUMS if name == FLOAT32 else ROUNDINGS_OF_ENDS
    of_one = roundings * ROUNDING[name]
    reason = (
        f"{of_one:.2g} x sqrt(depth) forward ({roundings:g} roundings of {name}, "
        f"{ROUNDING[name]:.2g} each); backward {BACKWARD_FACTOR:g} x sqrt(largest difference of an "
        "activation)"
    )
    return Tolerance(of_one, True, reason)


@attrs.frozen
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
        excess: how many times the tolerance; infinite where a value is not finite.
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

    excess: float

    @property
    def is_finite(self) -> bool:
        """Whether both runs hold numbers only."""
        return not self.nonfinite_a and not self.nonfinite_b

    @property
    def is_within(self) -> bool:
        """Whether it stays within the tolerance; what is not finite does not."""
        return self.excess <= 1


def _over(part: Any, whole: Any) -> np.ndarray:
    """part / whole; of nothing infinitely often, or 0 where the part is 0 too."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, np.divide(part, whole), np.where(part > 0, math.inf, 0.0))


def measure(a: np.ndarray, b: np.ndarray) -> Tuple[float, ...]:
    """Measures a pair of tensors of one shape; values that are not finite are left out.

    Returns:
        The number of elements, the L2 norms of a, b and b - a in float64, the largest magnitude in
        a or b and in b - a, and how many values of a and b are infinite or not a number.
    """
    pair = np.stack([np.asarray(a, np.float64), np.asarray(b, np.float64)])
    finite = np.isfinite(pair)
    one, other = np.where(finite.all(axis=0), pair, 0.0)
    arrays = (one, other, other - one)
    norms = [float(np.sqrt(np.sum(np.square(array)))) for array in arrays]
    most_a, most_b, most = (float(np.max(np.abs(array), initial=0.0)) for array in arrays)
    return (one.size, *norms, max(most_a, most_b), most, *(int(np.sum(~side)) for side in finite))


def differences(
    entries: Sequence[Entry],
    pairs: Iterable[Tuple[np.ndarray, np.ndarray]],
    tolerance: Tolerance,
) -> List[Difference]:
    """Sets pairs of tensors into relation to their kind and the tolerance at their depth.

    Args:
        entries: of run A, in execution order; `pairs` belong to them one by one.
    """
    measured = np.array([measure(one, other) for one, other in pairs]).reshape(-1, 8).T
    size, norm_a, norm_b, norm, most, largest, missing_a, missing_b = measured
    kinds = np.array([entry.kind for entry in entries], dtype=str)
    floor = np.zeros(len(entries))  # of the root mean square of the kind
    for kind, share in FLOOR.items():
        own = kinds == kind
        if size[own].sum():
            floor[own] = share * math.sqrt((norm_a[own] ** 2).sum() / size[own].sum())
    least = floor * np.sqrt(size)
    larger, smaller = (np.maximum(of(norm_a, norm_b), least) for of in (np.maximum, np.minimum))
    relative, forward = _over(norm, larger), np.isin(kinds, FORWARD)
    seen = relative[forward & (missing_a + missing_b == 0)].max(initial=0.0)
    backward = tolerance.backward(max(1, int(forward.sum())), float(seen))
    places = range(1, len(entries) + 1)
    allowed = np.where(forward, [tolerance.forward(place) for place in places], backward)
    size_ratio = np.where(larger > 0, _over(larger, smaller), 1.0)
    largest_relative = _over(largest, np.maximum(most, floor))
    excess = np.maximum(_over(relative, allowed), _over(largest_relative, allowed * MAX_FACTOR))
    excess = np.maximum(excess, np.where(size_ratio > SIZE_FACTOR, size_ratio / SIZE_FACTOR, 0))
    excess[missing_a + missing_b > 0] = math.inf
    columns: List[np.ndarray] = [relative, size_ratio, largest, largest_relative]
    columns += [allowed, allowed * MAX_FACTOR, missing_a.astype(int), missing_b.astype(int), excess]
    return [
        Difference(entry.kind, entry.name, entry.shape, place, *numbers)
        for entry, place, *numbers in zip(entries, places, *(one.tolist() for one in columns))
    ]


@attrs.frozen
class Outcome:
    """What zoo diverge found.

    Attributes:
        obstacles: why it is not the same computation; with any the outcome is INCONCLUSIVE.
        differences: of every tensor that could be compared, in execution order.
    """

    a: Dump
    b: Dump
    tolerance: Tolerance
    obstacles: Tuple[str, ...]
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


def compare_dumps(a: Dump, b: Dump, relative: Optional[float] = None) -> Outcome:
    """Compares run B with run A, tensor by tensor in A's execution order.

    Args:
        relative: the tolerance of every tensor; None for that of the runs' arithmetic.

    Raises:
        UsageError: a tensor is damaged.
    """
    tolerance = tolerance_for(a.subject.arithmetic, b.subject.arithmetic, relative)
    here, there = _named(a.index.tensors), _named(b.index.tensors)
    shared = [key for key in here if key in there and here[key].stored == there[key].stored]
    entries, others = ([side[key] for key in shared] for side in (here, there))
    found = differences(entries, zip(a.tensors(entries), b.tensors(others)), tolerance)
    return Outcome(a, b, tolerance, tuple(_obstacles(a, b, here, there)), tuple(found))


def _named(entries: Sequence[Entry]) -> Named:
    return {(entry.kind, entry.name): entry for entry in entries}


def _obstacles(a: Dump, b: Dump, here: Named, there: Named) -> Iterator[str]:
    """Why two dumps are not of the same computation, most telling first; none is what it takes."""
    other = [
        f"the {name.replace('_', ' ')} differs: A has {one}, B has {two}"
        for name in ("model", "task", "network", "world_size")
        for one, two in [(getattr(a.subject, name), getattr(b.subject, name))]
        if one != two
    ]
    yield from other
    if not other:
        one, two = _named(a.index.inputs), _named(b.index.inputs)
        every = dict.fromkeys([*one, *two])
        unequal = [
            key
            for key in every
            if key not in one or key not in two or one[key].sha256 != two[key].sha256
        ]
        for kind in dict.fromkeys(kind for kind, _ in unequal):
            names = [name for key, name in unequal if key == kind]
            total = sum(key == kind for key, _ in every)
            yield f"{len(names)} of {total} inputs ({kind}) differ before the step: {_few(names)}"
        for label, own, others in (("A", here, there), ("B", there, here)):
            alone = [" ".join(key) for key in own if key not in others]
            if alone:
                yield f"{len(alone)} of {len(own)} tensors are in {label} only ({_few(alone)})"
    for key, entry in here.items():
        if key in there and entry.stored != there[key].stored:
            shapes = f"{list(entry.stored)} in A, {list(there[key].stored)} in B"
            yield f"{' '.join(key)} is {shapes}"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
