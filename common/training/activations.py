"""Tensors that a network's parts give, by name in the order they come; both frameworks record so.

Code that is no layer says its own with `noted`.
"""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from common.runs.dump import numbered


class Recorder:
    """What came so far: unfinished names, and what is kept of each tensor.

    Args:
        paths: of the network's parts, by id. new: whether a value is a tensor that is not kept yet.
        stored: what is kept of it.
    """

    def __init__(
        self,
        paths: Dict[int, str],
        separator: str,
        new: Callable[[Any], bool],
        stored: Callable[[Any], Any] = lambda tensor: tensor,
    ) -> None:
        self.paths, self._separator, self._new, self._stored = paths, separator, new, stored
        self.calls: List[Any] = []
        self.parts: List[str] = []
        self._names: List[str] = []
        self._kept: List[Any] = []

    def keep(self, path: str, value: Any) -> None:
        """Keeps a tensor, or every tensor of a structure, that is not kept yet."""
        if isinstance(value, (list, tuple)):
            fields = getattr(value, "_fields", None) or map(str, range(len(value)))
            value = dict(zip(fields, value))
        if isinstance(value, dict):
            for field, part_ in value.items():
                self.keep(self.joined(path, field), part_)
        elif self._new(value):
            self._names.append(self.joined(*self.parts, path) or "output")
            self._kept.append(self._stored(value))

    def joined(self, *parts: str) -> str:
        """A path of parts, without the empty ones."""
        return self._separator.join(part_ for part_ in parts if part_)

    def found(self) -> List[Tuple[str, Any]]:
        """All names, numbered where one comes again, with what was kept."""
        return list(zip(numbered(self._names), self._kept))


recorders: List[Recorder] = []


def noted(name: str, tensor: Any, of: Optional[Any] = None) -> Any:
    """Gives a tensor a name where someone is recording; returns it in any case.

    Args:
        of: the part whose path the name begins with; None for the layer that is being called.
    """
    if recorders:
        recorder = recorders[-1]
        layer = of if of is not None else (recorder.calls[-1] if recorder.calls else None)
        recorder.keep(recorder.joined(recorder.paths.get(id(layer), ""), name), tensor)
    return tensor


@contextlib.contextmanager
def part(name: str) -> Iterator[None]:
    """Names what is recorded inside "<name>/…": one of several passes through the same layers."""
    parts = recorders[-1].parts if recorders else []
    parts.append(name)
    try:
        yield
    finally:
        parts.pop()
