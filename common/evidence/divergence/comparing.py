"""Compares the tensors of two dumps in execution order, and judges by how far rounding goes."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import attrs
import numpy as np

from common.runs.dump.arithmetic import FLOAT32, ROUNDING, coarser
from common.runs.dump.dump_format import (
    ACTIVATION,
    FORWARD,
    GRADIENT,
    LOSS,
    WEIGHT,
    Entry,
    Index,
    Subject,
)
from common.runs.dump.reading import Dump

SCHEMA_VERSION = 1  # of the JSON
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
_PLURALS = {
    "batch": "tensors of the batch",
    "noise": "tensors of noise",
    "weight before": "weights",
    "optimizer": "tensors of the optimizer",
    "setting": "settings",
}
Name = Tuple[str, str]  # kind, name


# --- how far apart two runs may be ---


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
    name = coarser(one, other)
    roundings = ROUNDINGS_OF_SUMS if name == FLOAT32 else ROUNDINGS_OF_ENDS
    of_one = roundings * ROUNDING[name]
    reason = (
        f"{of_one:.2g} x sqrt(depth) forward ({roundings:g} roundings of {name}, "
        f"{ROUNDING[name]:.2g} each); backward {BACKWARD_FACTOR:g} x sqrt(largest difference of an "
        "activation)"
    )
    return Tolerance(of_one, True, reason)


# --- pairs of tensors ---


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


def measure(a: np.ndarray, b: np.ndarray) -> Measured:
    """Measures a pair of tensors of one shape; values that are not finite are left out."""
    pair = np.stack([np.asarray(a, np.float64), np.asarray(b, np.float64)])
    finite = np.isfinite(pair)
    one, other = np.where(finite.all(axis=0), pair, 0.0)
    arrays = (one, other, other - one)
    norm_a, norm_b, norm = (float(np.sqrt(np.sum(np.square(array)))) for array in arrays)
    most_a, most_b, most = (float(np.max(np.abs(array), initial=0.0)) for array in arrays)
    missing_a, missing_b = (int(np.sum(~side)) for side in finite)
    return Measured(one.size, norm_a, norm_b, norm, max(most_a, most_b), most, missing_a, missing_b)


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


def differences(
    entries: Sequence[Entry], measured: Sequence[Measured], tolerance: Tolerance
) -> List[Difference]:
    """Sets measured pairs into relation to their kind and the tolerance at their depth.

    Args:
        entries: of run A, in execution order; `measured` belongs to them one by one.
    """
    floors = {}
    for kind, floor in FLOOR.items():
        own = [pair for entry, pair in zip(entries, measured) if entry.kind == kind]
        size, squares = sum(pair.size for pair in own), sum(pair.norm_a**2 for pair in own)
        floors[kind] = floor * math.sqrt(squares / size) if size else 0.0  # of the root mean square
    found: List[Difference] = []
    for forward in (True, False):
        seen = max([item.relative for item in found if item.is_finite], default=0.0)
        backward = tolerance.backward(max(1, len(found)), seen)
        for place, (entry, pair) in enumerate(zip(entries, measured), 1):
            if (entry.kind in FORWARD) == forward:
                allowed = tolerance.forward(place) if forward else backward
                found.append(_difference(entry, pair, place, floors[entry.kind], allowed))
    return found


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


# --- whether it is the same computation ---


def _named(entries: Sequence[Entry]) -> Dict[Name, Entry]:
    return {(entry.kind, entry.name): entry for entry in entries}


def obstacles(a: Index, b: Index) -> Iterator[str]:
    """Why two dumps are not of the same computation, most telling first; none is what it takes."""
    sides = []
    for one in (a.subject, b.subject):
        network = ", ".join(f"{name} {value}" for name, value in sorted(one.network.items()))
        sides.append((f"{one.model} {one.task}", network, str(one.world_size)))
    other = [
        f"the {what} differs: A has {x}, B has {y}"
        for what, x, y in zip(("network", "network", "number of ranks"), *sides)
        if x != y
    ]
    yield from other
    here, there = _named(a.tensors), _named(b.tensors)
    if not other:
        yield from _of_inputs(_named(a.inputs), _named(b.inputs))
        for label, own, others in (("A", here, there), ("B", there, here)):
            alone = [" ".join(key) for key in own if key not in others]
            if alone:
                yield f"{len(alone)} of {len(own)} tensors are in {label} only ({_few(alone)})"
    for key, entry in here.items():
        if key in there and entry.stored != there[key].stored:
            shapes = f"{list(entry.stored)} in A, {list(there[key].stored)} in B"
            yield f"{' '.join(key)} is {shapes}"


def _of_inputs(a: Mapping[Name, Entry], b: Mapping[Name, Entry]) -> Iterator[str]:
    """What the step was computed from: its batch, noise, weights, optimizer state, settings."""
    every = dict.fromkeys([*a, *b])
    unequal = [
        key for key in every if key not in a or key not in b or a[key].sha256 != b[key].sha256
    ]
    for kind in dict.fromkeys(kind for kind, _ in unequal):
        names = [name for key, name in unequal if key == kind]
        total = sum(key == kind for key, _ in every)
        what = _PLURALS.get(kind, kind)
        yield f"{len(names)} of {total} {what} differ before the step ({_few(names)})"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


# --- the outcome ---


@attrs.frozen
class Outcome:
    """What zoo diverge found.

    Attributes:
        inputs: how many tensors the step was computed from.
        obstacles: why it is not the same computation; with any the outcome is INCONCLUSIVE.
        notes: what a reader should know besides.
        differences: of every tensor that could be compared, in execution order.
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


def compare_dumps(a: Dump, b: Dump, relative: Optional[float] = None) -> Outcome:
    """Compares run B with run A, tensor by tensor in A's execution order.

    Args:
        relative: the tolerance of every tensor; None for that of the runs' arithmetic.

    Raises:
        UsageError: a tensor is damaged.
    """
    tolerance = tolerance_for(a.subject.arithmetic, b.subject.arithmetic, relative)
    there = _named(b.index.tensors)
    entries = {
        name: entry
        for name, entry in _named(a.index.tensors).items()
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
    firsts = [item for item in items if not item["within"]]
    factors = {"largest_factor": MAX_FACTOR, "size_factor": SIZE_FACTOR}
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": outcome.verdict,
        "a": {**dataclasses.asdict(outcome.a), "folder": outcome.labels[0]},
        "b": {**dataclasses.asdict(outcome.b), "folder": outcome.labels[1]},
        "tolerance": {**attrs.asdict(outcome.tolerance), **factors},
        "inputs": outcome.inputs,
        "obstacles": outcome.obstacles,
        "notes": outcome.notes,
        "first": firsts[0] if firsts else None,
        "tensors": items,
    }


def _item(item: Difference) -> Dict[str, Any]:
    content = {**attrs.asdict(item), "within": item.is_within}
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in content.items()
    }
