"""Reads data from a pickle, which may call any importable function, by a list of names."""

from __future__ import annotations

import pickle
from typing import Any, Dict, Tuple

Names = Dict[Tuple[str, str], Any]
# The unpickler written in Python: the one in C lets BUILD not be overridden, and takes gigabytes
# for one large number of a memo's place.
_Unpickler: Any = pickle._Unpickler


class ForbiddenName(pickle.UnpicklingError):
    """A pickle asks for a name that is not in the allow-list."""


class AllowListUnpickler(_Unpickler):
    """Knows the names of `allowed` alone, and sets the state of `buildable` types alone."""

    allowed: Names = {}
    buildable: Tuple[type, ...] = ()
    dispatch = dict(_Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        """What module.name stands for; raises ForbiddenName where it stands for nothing."""
        if (module, name) not in self.allowed:
            raise ForbiddenName(f"GLOBAL {module}.{name} is not allowed")
        return self.allowed[module, name]

    def load_build(self) -> None:
        """Sets the state of the object below the top of the stack."""
        target = self.stack[-2]
        if type(target) not in self.buildable:
            raise ForbiddenName(f"GLOBAL {type(target).__name__} may not be changed")
        _Unpickler.load_build(self)

    dispatch[pickle.BUILD[0]] = load_build


def encode_latin1(text: object, encoding: object) -> bytes:
    """Bytes as protocol 2 writes them: a call of _codecs.encode; no other encoding is offered."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ForbiddenName("GLOBAL _codecs.encode to another encoding than latin1")
    return text.encode("latin1")
