"""Collects what the layers of a network give while a step runs, in execution order.

Names are the places of modules, numbered where one is used a second time.
"""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator, List, Tuple

import torch
from torch import nn

from common.training.activations import Recorder, noted, part, recorders

__all__ = ["noted", "part", "recording"]
Keep = Callable[[torch.Tensor], Any]


@contextlib.contextmanager
def recording(network: nn.Module, keep: Keep, separator: str = ".") -> Iterator[List[Any]]:
    """Fills the list it yields with (name, what `keep` makes of a tensor) when it is left.

    Args:
        separator: between the parts of a place.
    """
    found: List[Any] = []
    seen: List[Tuple[torch.Tensor, int]] = []

    def new(value: Any) -> bool:
        """A container gives what its last layer gave; the version tells of changes in place."""
        if not isinstance(value, torch.Tensor):
            return False
        known = any(value is one and value._version == version for one, version in seen)
        seen.append((value, value._version))
        return not known

    paths = {id(one): name.replace(".", separator) for name, one in network.named_modules()}
    recorder = Recorder(paths, separator, new, keep)
    recorders.append(recorder)

    def keeping(path: str) -> Callable[..., None]:
        return lambda _module, _inputs, output: recorder.keep(path, output)

    hooks = [one.register_forward_hook(keeping(paths[id(one)])) for one in network.modules()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
        recorders.remove(recorder)
        found.extend(recorder.found())
