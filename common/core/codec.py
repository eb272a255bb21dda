"""The one way in and out of JSON and YAML: files become attrs classes, whole or not at all.

    @attrs.frozen
    class Batch:
        size: int = attrs.field(validator=at_least(1))      # exact: true is no whole number
        kind: str = attrs.field(default="acc", validator=one_of("acc", "perf"))
        loss: AnyFloat = AnyFloat(0.0)                       # NaN, Infinity and their texts too
        total: Optional[int] = attrs.field(default=None, metadata=key("global"))

    batch = read_json(path, Batch)                   # ContentError: a line for every mistake
    batch = structured(value, Batch, "log, line 3")  # of a value that is parsed already
    write_json(path, batch)                          # atomic, in the fields' order

A class refuses keys that it has no field for, unless it has an attribute `ignores_other_keys`. A
field with metadata=OUTSIDE is none of the file's; called `name`, it takes the key under which a
mapping holds the class. What concerns several fields is told by a method mistakes(), which yields
key and text ("" for the class itself). Dataclasses are read alike, without validators.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import json
import math
import sys
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    NewType,
    Optional,
    Sequence,
    Tuple,
    Type,
    TypeVar,
    Union,
    cast,
    get_type_hints,
)

import attrs

from common.core.files import write_atomically
from common.core.parsing import ContentError, content_of, parse_json, parse_yaml
from common.core.text import listed, quoted, shortened

T = TypeVar("T")
Scalar = Union[str, int, float, bool]
AnyFloat = NewType("AnyFloat", float)  # one that need not be finite
Validator = Callable[[Any, Any, Any], None]  # raises ValueError: the key below perhaps, and a text
Names = Tuple[str, ...]  # where a value is in its file
Mistakes = List[Tuple[Names, str]]

_KEY, _OUTSIDE = "zoo_key", "zoo_outside"
OUTSIDE = {_OUTSIDE: True}  # metadata of a field that is not read from the file
_KINDS: Dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    AnyFloat: "a number",
}
_NOT_FINITE = ("nan", "inf", "infinity")
_SEQUENCES = (list, tuple, collections.abc.Sequence)


def key(name: str) -> Mapping[str, str]:
    """The metadata of a field that the file knows under another name."""
    return {_KEY: name}


def _validator(holds: Callable[[Any], bool], allowed: str) -> Validator:
    def validate(instance: Any, attribute: Any, value: Any) -> None:
        if value is not None and not holds(value):
            raise ValueError(f"must be {allowed}, not {quoted(value)}")

    validate.allowed = allowed  # type: ignore[attr-defined]  # for the message where it is missing
    return validate


def one_of(*allowed: Any) -> Validator:
    """One of a few values."""
    kinds = [(type(one), one) for one in allowed]
    told = f"one of {listed(allowed)}" if len(allowed) > 1 else quoted(allowed[0])
    return _validator(lambda value: (type(value), value) in kinds, told)


def at_least(low: float) -> Validator:
    """A number from `low` on."""
    return _validator(lambda value: value >= low, f"at least {low:g}")


def between(low: float, high: float) -> Validator:
    """A number above `low` and below `high`."""
    return _validator(lambda value: low < value < high, f"between {low:g} and {high:g}")


def filled(instance: Any, attribute: Any, value: Any) -> None:
    """A text, list or mapping with something in it."""
    if not value:
        raise ValueError("is empty")


def keys_of(*allowed: str) -> Validator:
    """A mapping that has these keys alone."""

    def validate(instance: Any, attribute: Any, value: Any) -> None:
        for name in value:
            if name not in allowed:
                raise ValueError(name, _is_no_key(allowed))

    return validate


def _is_no_key(allowed: Iterable[str]) -> str:
    return f"is not a key; allowed are {listed(allowed, 200)}"


def read_json(path: Path, kind: Type[T]) -> T:
    """A JSON file as a class; ContentError where it can't be read or is none."""
    return structured(parse_json(content_of(path), str(path)), kind, str(path))


def read_yaml(path: Path, kind: Type[T]) -> T:
    """A YAML file as a class; ContentError where it can't be read or is none."""
    return structured(parse_yaml(content_of(path), str(path)), kind, str(path))


def structured(value: Any, kind: Type[T], where: str) -> T:
    """A parsed value as a class.

    Args:
        where: what the errors call it: the file, and the line of one with many.

    Raises:
        ContentError: all that is wrong with it.
    """
    found: Mistakes = []
    made = _read(kind, value, (), found)
    if found:
        raise ContentError(where, [(_place(names), text) for names, text in found])
    return cast(T, made)


def _place(names: Names) -> str:
    told = ".".join(shortened(name) for name in names if name)
    return told.replace(".[", "[") or "the top level"


def _read(kind: Any, value: Any, path: Names, found: Mistakes) -> Any:
    """The value as this type; where it is none, `found` is told and the result means nothing."""
    origin: Any = getattr(kind, "__origin__", None)
    parts: Tuple[Any, ...] = getattr(kind, "__args__", ())
    if kind in _KINDS or (origin is Union and all(one in (*_KINDS, type(None)) for one in parts)):
        try:
            return _scalar((kind,) if kind in _KINDS else parts, value)
        except ValueError as error:
            found.append((path, str(error)))
    elif origin is Union and parts[1:] == (type(None),):
        return None if value is None else _read(parts[0], value, path, found)
    elif origin in _SEQUENCES and (origin is not tuple or parts[1:] == (...,)):
        if isinstance(value, list):
            kind = parts[0]
            made = [_read(kind, one, (*path, f"[{at}]"), found) for at, one in enumerate(value)]
            return tuple(made) if origin is tuple else made
        found.append((path, f"must be a list, not {quoted(value)}"))
    elif kind is Any:
        return value
    elif not isinstance(value, dict):
        found.append((path, f"must be a mapping, not {quoted(value)}"))
    elif _is_class(kind):
        return _class(kind, value, path, found)
    elif parts[0] is str:
        return _mapping(parts[1], value, path, found)
    else:
        raise TypeError(f"no file holds a {kind}")
    return None


def _scalar(kinds: Sequence[Any], value: Any) -> Any:
    """The value as the first of the kinds that takes it; a bool is no number."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number and type(value) in kinds:
        return value  # a text, a bool or None
    if type(value) is int and int in kinds:
        if abs(value) < 2**63:
            return value
        raise ValueError(f"must be a whole number of at most 63 bits, not {quoted(value)}")
    if number and (float in kinds or AnyFloat in kinds):
        if abs(value) <= sys.float_info.max or (isinstance(value, float) and AnyFloat in kinds):
            return float(value)
        raise ValueError(f"must be a finite number, not {quoted(value)}")
    text = value.lower().lstrip("+-") if isinstance(value, str) else ""
    if text in _NOT_FINITE and AnyFloat in kinds:
        return float(value)
    names = list(dict.fromkeys(_KINDS[kind] for kind in kinds if kind in _KINDS))
    if {"a number", "a whole number"} <= set(names):
        names.remove("a whole number")
    raise ValueError(f"must be {' or '.join(names)}, not {quoted(value)}")


def _mapping(kind: Any, value: Dict[Any, Any], path: Names, found: Mistakes) -> Dict[str, Any]:
    made = {}
    for name, part in value.items():
        if not isinstance(name, str):
            found.append((path, f"has the key {quoted(name)}, which is no text"))
            continue
        made[name] = one = _read(kind, part, (*path, name), found)
        if one is not None and _is_class(kind) and "name" in _fields(kind).outside:
            object.__setattr__(one, "name", name)
    return made


class _Field(NamedTuple):
    """A field that a file may hold: its name in the class, its type, what else holds for it."""

    name: str
    kind: Any
    required: bool
    validator: Optional[Validator]

    @property
    def allowed(self) -> str:
        """What the file must have here."""
        shape = "a list" if getattr(self.kind, "__origin__", None) in _SEQUENCES else "a mapping"
        told: str = getattr(self.validator, "allowed", _KINDS.get(self.kind, shape))
        return told


class _Fields(NamedTuple):
    """The fields of a class by the file's keys, and the names of those that no file holds."""

    inside: Dict[str, _Field]
    outside: Tuple[str, ...]


def _is_class(kind: Any) -> bool:
    return isinstance(kind, type) and (attrs.has(kind) or dataclasses.is_dataclass(kind))


@functools.lru_cache(maxsize=None)
def _fields(kind: Any) -> _Fields:
    kinds, inside, outside = get_type_hints(kind), {}, []
    nothing = (attrs.NOTHING, dataclasses.MISSING)
    all_fields: Any = attrs.fields(kind) if attrs.has(kind) else dataclasses.fields(kind)
    for field in all_fields:
        if _OUTSIDE in field.metadata:
            outside.append(field.name)
            continue
        factory = getattr(field, "default_factory", attrs.NOTHING)
        inside[field.metadata.get(_KEY, field.name)] = _Field(
            field.name,
            kinds[field.name],
            field.default in nothing and factory in nothing,
            getattr(field, "validator", None),
        )
    return _Fields(inside, tuple(outside))


def _class(kind: Any, value: Dict[Any, Any], path: Names, found: Mistakes) -> Any:
    fields, before = _fields(kind).inside, len(found)
    arguments = {}
    for name, field in fields.items():
        here = (*path, name)
        if name not in value:
            if field.required:
                found.append((here, f"is missing; it must be {field.allowed}"))
            continue
        wrong = len(found)
        arguments[field.name] = made = _read(field.kind, value[name], here, found)
        if field.validator is not None and len(found) == wrong:
            try:
                field.validator(None, field, made)
            except ValueError as error:
                *below, text = error.args
                found.append(((*here, *below), text))
    if not getattr(kind, "ignores_other_keys", False):
        others = [str(name) for name in value if name not in fields]
        found += [((*path, name), _is_no_key(sorted(fields))) for name in others]
    if len(found) > before:
        return None
    whole = kind(**arguments)
    for name, text in whole.mistakes() if hasattr(whole, "mistakes") else ():
        found.append(((*path, name), text))
    return whole


def plain(value: Any) -> Any:
    """A value as JSON can hold it: classes as mappings, NaN and infinities as texts."""
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, collections.abc.Mapping):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, Path):
        return str(value)
    fields = _fields(value.__class__).inside
    return {name: plain(getattr(value, field.name)) for name, field in fields.items()}


def json_line(value: Any) -> str:
    """A value as one line of JSON, without the line's end."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError):
        return json.dumps(plain(value), allow_nan=False, separators=(",", ":"))


def json_text(value: Any) -> str:
    """A value as indented JSON with a final newline."""
    return json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Writes a value as indented JSON, atomically."""
    write_atomically(path, json_text(value))
