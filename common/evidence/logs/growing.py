"""Arrays that grow by pieces without being copied: 18 bytes for each value of a series."""

from __future__ import annotations

import array
from typing import Dict, List, Optional, Sequence

import numpy as np

from common.evidence.logs.extraction import Rows
from common.evidence.logs.series import Series


class GrowingSeries:
    """Steps, values and writers of one series."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._steps, self._values = array.array("q"), array.array("d")
        self._writers = array.array("h")

    def add(self, rows: Rows) -> None:
        """Appends the values of one block."""
        self._steps.frombytes(np.ascontiguousarray(rows.steps, np.int64).tobytes())
        self._values.frombytes(np.ascontiguousarray(rows.values, np.float64).tobytes())
        self._writers.frombytes(np.ascontiguousarray(rows.writers, np.int16).tobytes())

    def of_writer(self, writer: int) -> Optional[Series]:
        """One writer's part, by step; of a step told twice the first value. None without any."""
        steps = np.frombuffer(self._steps, np.int64)
        values = np.frombuffer(self._values, np.float64)
        mine = np.frombuffer(self._writers, np.int16) == writer
        if not mine.all():
            steps, values = steps[mine], values[mine]
        if not len(steps):
            return None
        if not (steps[1:] > steps[:-1]).all():
            steps, first = np.unique(steps, return_index=True)
            values = values[first]
        return Series(self.name, steps, values)


class Collected:
    """The series of one log while it is read."""

    def __init__(self) -> None:
        self._growing: Dict[str, GrowingSeries] = {}

    def add(self, rows: Rows) -> None:
        """Takes the values of one block."""
        self._growing.setdefault(rows.name, GrowingSeries(rows.name)).add(rows)

    def lives(self, writers: Sequence[int]) -> List[Dict[str, Series]]:
        """The series of each life."""
        found: List[Dict[str, Series]] = []
        for writer in writers:
            parts = [growing.of_writer(writer) for growing in self._growing.values()]
            found.append({part.name: part for part in parts if part is not None})
        return found
