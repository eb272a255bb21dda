"""Computes each operator of an "npu" tensor with torch's CPU kernel, on the same bytes."""

from __future__ import annotations

import ctypes
from typing import Any, Dict, List, Tuple

import numpy
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

# Left to torch_npu: what makes storage, and its own operators.
_MAKES_STORAGE = {
    "empty",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "empty_like",
    "set_",
    "resize_",
    "_pin_memory",
    "is_pinned",
    "record_stream",
}
_GIVES_NO_TENSOR = {"_local_scalar_dense", "item", "equal", "is_nonzero", "allclose"}


def _is_on_npu(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.device.type == "npu"


def _on_host(value: torch.Tensor) -> torch.Tensor:
    """A CPU tensor on the same memory."""
    size = value.untyped_storage().nbytes()
    if size == 0:
        return torch.empty_strided(value.size(), value.stride(), dtype=value.dtype)
    memory = (ctypes.c_char * size).from_address(value.untyped_storage().data_ptr())
    flat = torch.from_numpy(numpy.frombuffer(memory, dtype=numpy.uint8)).view(value.dtype)
    return flat.as_strided(value.size(), value.stride(), value.storage_offset())


def _on_npu(value: torch.Tensor) -> torch.Tensor:
    """A copy on the current device."""
    copy = torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device="npu")
    if value.numel():
        _on_host(copy).copy_(value)
    return copy


class Simulation(TorchDispatchMode):
    """The mode; it holds for the process from its first __enter__ on."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        named: Dict[str, Any] = dict(kwargs or {})
        values = tree_flatten((args, named))[0]
        wanted = named.get("device")
        kind = torch.device(wanted).type if wanted is not None else None
        if kind != "npu" and not any(map(_is_on_npu, values)):
            return function(*args, **named)
        space, operator = function._schema.name.split("::")
        if function._schema.name.startswith("npu::npu_format_cast"):
            return args[0]
        if space in ("npu", "c10d") or operator in _MAKES_STORAGE or _is_view(function, operator):
            return function(*args, **named)
        return _computed(function, operator, args, named, to_host=kind == "cpu")


def _is_view(function: Any, operator: str) -> bool:
    aliases = (argument.alias_info for argument in function._schema.arguments)
    return operator != "_to_copy" and any(
        alias is not None and not alias.is_write for alias in aliases
    )


def _computed(
    function: Any, operator: str, args: Tuple[Any, ...], named: Dict[str, Any], to_host: bool
) -> Any:
    given: List[Tuple[Any, Any]] = []

    def lent(value: Any) -> Any:
        if _is_on_npu(value):
            given.append((value, _on_host(value)))
            return given[-1][1]
        if isinstance(value, torch.device) and value.type == "npu":
            return torch.device("cpu")
        return value

    host_args, host_named = tree_map(lent, args), tree_map(lent, named)
    if host_named.get("device") is not None:
        host_named["device"] = torch.device("cpu")
    host_named.pop("pin_memory", None)
    result = function(*host_args, **host_named)
    if operator == "copy_":
        return args[0]
    if operator in _GIVES_NO_TENSOR:
        return result

    def returned(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        own = next((npu for npu, host in given if host is value), None)
        if own is not None:
            return own
        return value if to_host else _on_npu(value)

    return tree_map(returned, result)


_MODE = Simulation()


def start() -> None:
    """Simulates from now on."""
    _MODE.__enter__()
