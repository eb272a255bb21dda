"""Collects what the layers of a network give while a step runs, in execution order.

Names are the places of modules, numbered where one is used a second time. Code that is no module
says its own with `noted`.
"""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator, List, Optional, Tuple

import torch
from torch import nn

from common.runs.dump import numbered

Keep = Callable[[torch.Tensor], Any]


class _Recorder:
    """What came so far: unfinished names, and what is kept of each tensor."""

    def __init__(self, network: nn.Module, keep: Keep, separator: str) -> None:
        self.separator, self._keep = separator, keep
        self.paths = {
            id(module): name.replace(".", separator) for name, module in network.named_modules()
        }
        self.parts: List[str] = []
        self.found: List[Tuple[str, Any]] = []
        self._seen: List[Tuple[torch.Tensor, int]] = []

    def keep(self, path: str, value: Any) -> None:
        """Keeps a tensor, or every tensor of a structure, that is not kept yet.

        A container gives what its last layer gave; the version tells of changes in place.
        """
        if isinstance(value, (list, tuple)):
            value = {str(number): part for number, part in enumerate(value)}
        if isinstance(value, dict):
            for field, part in value.items():
                self.keep(self.joined(path, field), part)
        elif isinstance(value, torch.Tensor):
            known = any(value is one and value._version == version for one, version in self._seen)
            if not known:
                self._seen.append((value, value._version))
                name = self.joined(*self.parts, path) or "output"
                self.found.append((name, self._keep(value)))

    def joined(self, *parts: str) -> str:
        return self.separator.join(part for part in parts if part)


_recorders: List[_Recorder] = []


@contextlib.contextmanager
def recording(network: nn.Module, keep: Keep, separator: str = ".") -> Iterator[List[Any]]:
    """Fills the list it yields with (name, what `keep` makes of a tensor) when it is left.

    Args:
        separator: between the parts of a place.
    """
    recorder, found = _Recorder(network, keep, separator), []  # type: ignore[var-annotated]
    _recorders.append(recorder)

    def keeping(path: str) -> Callable[..., None]:
        return lambda _module, _inputs, output: recorder.keep(path, output)

    hooks = [
        module.register_forward_hook(keeping(recorder.paths[id(module)]))
        for module in network.modules()
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
        _recorders.remove(recorder)
        names = numbered([name for name, _ in recorder.found])
        found.extend(zip(names, (kept for _, kept in recorder.found)))


def noted(name: str, tensor: torch.Tensor, of: Optional[nn.Module] = None) -> torch.Tensor:
    """Gives a tensor a name where someone is recording; returns it in any case.

    Args:
        of: the module whose place the name begins with.
    """
    if _recorders:
        recorder = _recorders[-1]
        recorder.keep(recorder.joined(recorder.paths.get(id(of), ""), name), tensor)
    return tensor


@contextlib.contextmanager
def part(name: str) -> Iterator[None]:
    """Names what is recorded inside "<name>/…": one of several passes through the same layers."""
    if not _recorders:
        yield
        return
    _recorders[-1].parts.append(name)
    try:
        yield
    finally:
        _recorders[-1].parts.pop()
