"""Read a file of tensors without running anything that is in it."""

from __future__ import annotations

import inspect
import re
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, Tuple, Union

import torch

from common.core.errors import ZooError, first_line
from common.data.safe_pickle import AllowListUnpickler, encode_latin1

_TYPES = "BFloat16 Bool Byte Char ComplexDouble ComplexFloat Double Float Half Int Long Short"
_REBUILDERS = ("_rebuild_parameter", "_rebuild_tensor", "_rebuild_tensor_v2")


def safe_load(path: Union[str, Path]) -> Any:
    """Return the tensors, containers and numbers that torch.save wrote into `path`, on the CPU.

    Reads the zip format and the one before it. Raises ZooError for a missing or truncated file,
    for one that isn't a checkpoint, and for one that names code: none of that code is run.
    """
    path = Path(path)
    try:
        _refuse_programs(path)
        return _load_tensors(path)
    except ZooError:
        raise
    except OSError as error:
        raise ZooError(f"can't read {path}: {error.strerror or error}") from None
    except Exception as error:  # damaged pickles and archives raise every kind there is
        forbidden = re.search(r"GLOBAL ([\w.]+)", str(error))
        if forbidden:
            raise ZooError(
                f"{path} names {forbidden.group(1)}, which a checkpoint of tensors has no need of, "
                "so it is not loaded: give a file of tensors only, as "
                "torch.save(network.state_dict()) writes"
            ) from None
        reason = first_line(error)[:120]
        raise ZooError(
            f"{path} is truncated or not a checkpoint ({reason}): copy it again"
        ) from None


def _load_tensors(path: Path) -> Any:
    options: Dict[str, Any] = {"pickle_module": allow_list_pickle()}
    if "weights_only" in inspect.signature(torch.load).parameters:
        options = {"weights_only": True}
    return torch.load(str(path), map_location="cpu", **options)


def _refuse_programs(path: Path) -> None:
    """Refuses what torch.load would hand on to other readers than the pickle's."""
    with path.open("rb") as stream:
        if not stream.read(1):
            raise ZooError(f"{path} is empty: copy the checkpoint again")
    names = []
    if zipfile.is_zipfile(str(path)):
        with zipfile.ZipFile(str(path)) as archive:
            names = archive.namelist()
    program = any(name.rsplit("/", 1)[-1] == "constants.pkl" for name in names)
    if program or tarfile.is_tarfile(str(path)):
        kind = "TorchScript program" if program else "tar archive"
        raise ZooError(f"{path} is a {kind}, not a checkpoint: give the file of weights alone")


def allow_list_pickle() -> SimpleNamespace:
    """Stand in for the pickle module where torch.load knows no weights_only (before 1.13)."""

    def load(stream: Any, **options: Any) -> Any:
        return TensorUnpickler(stream, **options).load()

    return SimpleNamespace(__name__="allow_list_pickle", load=load, Unpickler=TensorUnpickler)


def _allowed_names() -> Dict[Tuple[str, str], Any]:
    """What a pickle may name: tensors' parts, containers and numbers."""
    allowed: Dict[Tuple[str, str], Any] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch", "Size"): torch.Size,
        ("torch", "device"): torch.device,
        ("_codecs", "encode"): encode_latin1,
    }
    for name in (kind + "Storage" for kind in _TYPES.split()):
        if hasattr(torch, name):
            allowed["torch", name] = getattr(torch, name)
    for name in _REBUILDERS:
        allowed["torch._utils", name] = getattr(torch._utils, name)
    for name, value in vars(torch).items():
        if isinstance(value, torch.dtype):
            allowed["torch", name] = value
    for module in ("builtins", "__builtin__"):
        for kind in (set, frozenset, bytearray, complex):
            allowed[module, kind.__name__] = kind
    return allowed


class TensorUnpickler(AllowListUnpickler):
    """Knows the names that tensors need; sets attributes on ordered dictionaries alone."""

    allowed = _allowed_names()
    buildable = (OrderedDict,)
