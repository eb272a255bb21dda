"""Read a file of tensors without running anything that is in it."""

from __future__ import annotations

import inspect
import pickle
import re
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, Tuple, Union

import torch

from common.core.errors import ZooError

STORAGES = (
    "BFloat16Storage",
    "BoolStorage",
    "ByteStorage",
    "CharStorage",
    "ComplexDoubleStorage",
    "ComplexFloatStorage",
    "DoubleStorage",
    "FloatStorage",
    "HalfStorage",
    "IntStorage",
    "LongStorage",
    "ShortStorage",
)
REBUILDERS = ("_rebuild_parameter", "_rebuild_tensor", "_rebuild_tensor_v2")


class ForbiddenName(pickle.UnpicklingError):
    """A pickle asks for something other than tensors, containers and numbers."""


def safe_load(path: Union[str, Path]) -> Any:
    """Return the tensors, containers and numbers that torch.save wrote into `path`, on the CPU.

    Reads the zip format and the one before it. Raises ZooError for a missing or truncated file,
    for one that isn't a checkpoint, and for one that names code: none of that code is run.
    """
    path = Path(path)
    _check_kind(path)
    try:
        return _load_tensors(path)
    except MemoryError:
        raise ZooError(f"{path} needs more memory than there is: is it damaged?") from None
    except Exception as error:  # damaged pickles raise every kind there is
        raise ZooError(_explain(path, error)) from None


def _check_kind(path: Path) -> None:
    """Refuse what torch.load would hand on to other readers than the pickle's."""
    try:
        with path.open("rb") as stream:
            empty = not stream.read(1)
        archive = tarfile.is_tarfile(str(path))
        script = zipfile.is_zipfile(str(path)) and _is_torchscript(path)
    except OSError as error:
        raise ZooError(f"can't read {path}: {error.strerror or error}") from None
    if empty:
        raise ZooError(f"{path} is empty: copy the checkpoint again")
    if archive:
        raise ZooError(f"{path} is a tar archive: unpack it and give the checkpoint inside")
    if script:
        raise ZooError(f"{path} is a TorchScript program, not a checkpoint: give the weights")


def _is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(str(path)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
    return any(name.rsplit("/", 1)[-1] == "constants.pkl" for name in names)


def _explain(path: Path, error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    forbidden = re.search(r"GLOBAL ([\w.]+)", str(error))
    if forbidden:
        return (
            f"{path} names {forbidden.group(1)}, which a checkpoint of tensors has no "
            "need of, so it is not loaded: "
            "give a file of tensors only, as torch.save(network.state_dict()) writes"
        )
    return f"{path} is truncated or not a checkpoint ({lines[0][:120]}): copy it again"


def _load_tensors(path: Path) -> Any:
    options: Dict[str, Any] = {"pickle_module": allow_list_pickle()}
    if "weights_only" in inspect.signature(torch.load).parameters:
        options = {"weights_only": True}
    return torch.load(str(path), map_location="cpu", **options)


def allow_list_pickle() -> SimpleNamespace:
    """Stand in for the pickle module where torch.load knows no weights_only (before 1.13)."""

    def load(stream: Any, **options: Any) -> Any:
        return AllowListUnpickler(stream, **options).load()

    return SimpleNamespace(__name__="allow_list_pickle", load=load, Unpickler=AllowListUnpickler)


# The unpickler written in Python: the one in C doesn't let BUILD be overridden.
class AllowListUnpickler(pickle._Unpickler):  # type: ignore[name-defined, misc]
    """Knows the names that tensors need; sets attributes on ordered dictionaries alone."""

    dispatch = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]

    def find_class(self, module: str, name: str) -> Any:
        """Return what module.name stands for, or raise ForbiddenName."""
        allowed = allowed_names()
        if (module, name) not in allowed:
            raise ForbiddenName(f"GLOBAL {module}.{name} is not allowed")
        return allowed[module, name]

    def load_build(self) -> None:
        """Set the attributes of the object below the top of the stack."""
        target = self.stack[-2]
        if type(target) is not OrderedDict:
            raise ForbiddenName(f"GLOBAL {type(target).__name__} may not be changed")
        pickle._Unpickler.load_build(self)  # type: ignore[attr-defined]

    dispatch[pickle.BUILD[0]] = load_build


def allowed_names() -> Dict[Tuple[str, str], Any]:
    """Return what a pickle may name: tensors' parts, containers and numbers."""
    allowed: Dict[Tuple[str, str], Any] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch", "Size"): torch.Size,
        ("torch", "device"): torch.device,
        ("_codecs", "encode"): _encode_latin1,
    }
    for name in STORAGES:
        if hasattr(torch, name):
            allowed["torch", name] = getattr(torch, name)
    for name in REBUILDERS:
        allowed["torch._utils", name] = getattr(torch._utils, name)
    for name, value in vars(torch).items():
        if isinstance(value, torch.dtype):
            allowed["torch", name] = value
    for module in ("builtins", "__builtin__"):
        for kind in (set, frozenset, bytearray, complex):
            allowed[module, kind.__name__] = kind
    return allowed


def _encode_latin1(text: str, encoding: str) -> bytes:
    """Rebuild bytes as protocol 2 writes them; no other encoding is offered."""
    if encoding not in ("latin1", "latin-1"):
        raise ForbiddenName("GLOBAL _codecs.encode to another encoding than latin1")
    return text.encode("latin1")
