"""The files that pin operations' types: customize_dtypes and modify_mixlist (1.8)."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from npu_bridge.contract.failures import error

_TYPES = r"(float16|float32|float|bfloat16|double|bool|u?int(8|16|32|64))"
_LIST = rf"{_TYPES}?(,{_TYPES}?)*?"
_LINE = re.compile(
    r"(OpType::[^:\s]+:|[^:\s]+::)"
    rf"(InputDtype:{_LIST},OutputDtype:{_LIST}|(Input|Output)Dtype:{_LIST})"
)
_LISTS, _CHANGES = ("black-list", "white-list"), ("to-remove", "to-add")


def check_custom_types(path: str) -> None:
    """Raises InternalError where the file is missing or a line is of another form."""
    for number, line in enumerate(_read(path).splitlines(), 1):
        if not _LINE.fullmatch(line):
            raise error(
                f"customize_dtypes: line {number} of {path} is not of the form OpType::<type>:"
                f"InputDtype:<types>,OutputDtype:<types>: {line!r}"
            )


def check_mixlist(path: str) -> None:
    """Raises InternalError where the file is missing or holds no lists of types."""
    try:
        found: Any = json.loads(_read(path))
    except ValueError as problem:
        raise error(f"modify_mixlist: {path} is no JSON ({problem})") from problem
    if not isinstance(found, dict) or not found or set(found) - set(_LISTS):
        raise error(f"modify_mixlist: {path} must have black-list and white-list")
    for name, changes in found.items():
        if (
            not isinstance(changes, dict)
            or set(changes) - set(_CHANGES)
            or not all(
                isinstance(types, list) and all(isinstance(one, str) for one in types)
                for types in changes.values()
            )
        ):
            raise error(
                f"modify_mixlist: {name} of {path} must have to-remove and to-add, lists of "
                "operations' types"
            )


def _read(path: str) -> str:
    # A relative path is looked for where the process was started.
    if not os.path.isfile(os.path.abspath(path)):
        raise error(f"{os.path.abspath(path)} does not exist")
    with open(path, encoding="utf-8") as file:
        return file.read()
