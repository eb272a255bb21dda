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

A class refuses keys that it has no field for; `@open_keys` lets it ignore them, and a field with
metadata=REST keeps them. A field with metadata=OUTSIDE is none of the file's; called `name`, it
takes the key under which a mapping holds the class. What concerns several fields is told by a
method mistakes(), which yields key and text ("" for the class itself). Dataclasses are read alike,
without validators. The readers are made here and not by cattrs, which takes a third of the time in
which a launch begins, and takes what is nearly right: "abc" for a list, 1.9 for a whole number.
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
Validator = Callable[[Any, Any, Any], None]
Reader = Callable[[Any], Any]  # raises ValueError, _WrongError where the parts of a value are wrong
Mistakes = List[Tuple[str, str]]  # the path below a value, and what is wrong there

_OPEN = "__zoo_open_keys__"
_REST, _KEY, _OUTSIDE = "zoo_rest", "zoo_key", "zoo_outside"
REST = {_REST: True}  # metadata of the field that keeps the keys without a field
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
_MAPPINGS = (dict, collections.abc.Mapping)


class _WrongError(ValueError):
    """All that is wrong with the parts of a value."""

    def __init__(self, found: Mistakes) -> None:
        super().__init__(found)
        self.found = found


def key(name: str) -> Mapping[str, str]:
    """The metadata of a field that the file knows under another name."""
    return {_KEY: name}


def open_keys(kind: Type[T]) -> Type[T]:
    """Lets a class ignore the keys that it has no field for; a class decorator."""
    setattr(kind, _OPEN, True)
    return kind


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
        _parts((name, _refusing(allowed), None) for name in value if name not in allowed)

    return validate


def _refusing(keys: Iterable[str]) -> Reader:
    text = f"is not a key; allowed are {listed(keys, 200)}"

    def refuse(value: Any) -> Any:
        raise ValueError(text)

    return refuse


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
    try:
        made: T = _reader(cast(Any, kind))(value)
        return made
    except ValueError as error:
        told = [(path or "the top level", text) for path, text in _told(error)]
        raise ContentError(where, told) from error


@functools.lru_cache(maxsize=None)
def _reader(kind: Any) -> Reader:
    """What makes a value of this type."""
    origin: Any = getattr(kind, "__origin__", None)
    parts: Tuple[Any, ...] = getattr(kind, "__args__", ())
    if kind is Any:
        return lambda value: value
    if kind in _KINDS:
        return functools.partial(_scalar, (kind,))
    if origin is Union and all(part in _KINDS or part is type(None) for part in parts):
        return functools.partial(_scalar, parts)
    if origin is Union and parts[1:] == (type(None),):
        read = _reader(parts[0])
        return lambda value: None if value is None else read(value)
    if origin in _SEQUENCES and (origin is not tuple or parts[1:] == (...,)):
        return functools.partial(_sequence, _reader(parts[0]), tuple if origin is tuple else list)
    if origin in _MAPPINGS and parts[0] is str:
        field = _all_fields(parts[1]).get("name") if _is_class(parts[1]) else None
        return functools.partial(_mapping, _reader(parts[1]), field is not None and field.outside)
    if _is_class(kind):
        return _class_reader(kind)
    raise TypeError(f"no file holds a {kind}")


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


def _sequence(read: Reader, made_as: Callable[[Any], Any], value: Any) -> Any:
    if not isinstance(value, list):
        raise ValueError(f"must be a list, not {quoted(value)}")
    return made_as(_parts((f"[{at}]", read, part) for at, part in enumerate(value)).values())


def _mapping(read: Reader, named: bool, value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"must be a mapping, not {quoted(value)}")
    for name in value:
        if not isinstance(name, str):
            raise ValueError(f"has the key {quoted(name)}, which is no text")
    made = _parts((name, read, part) for name, part in value.items())
    for name, part in made.items() if named else ():
        object.__setattr__(part, "name", name)
    return made


def _parts(parts: Iterable[Tuple[str, Reader, Any]]) -> Dict[str, Any]:
    """Each part as its reader makes it, by name; all that is wrong with them at once."""
    made: Dict[str, Any] = {}
    found: Mistakes = []
    for name, read, part in parts:
        try:
            made[name] = read(part)
        except ValueError as error:
            found += _told(error, name)
    if found:
        raise _WrongError(found)
    return made


def _told(error: ValueError, name: str = "") -> Mistakes:
    """Path and text of each mistake below a name."""
    found = error.found if isinstance(error, _WrongError) else [("", str(error))]
    name = shortened(name)
    return [
        (name + ("." if name and path and path[0] != "[" else "") + path, text)
        for path, text in found
    ]


class _Field(NamedTuple):
    """A field of a class: what its constructor, and what the file calls it; what it may hold."""

    argument: str
    key: str
    kind: Any
    required: bool
    validator: Optional[Validator]
    keeps_rest: bool
    outside: bool

    def read(self, value: Any) -> Any:
        if value is attrs.NOTHING:
            shapes = [(_SEQUENCES, "a list"), (_MAPPINGS, "a mapping"), (None, "a mapping")]
            origin = getattr(self.kind, "__origin__", None)
            shape = next(name for group, name in shapes if group is None or origin in group)
            allowed = getattr(self.validator, "allowed", _KINDS.get(self.kind, shape))
            raise ValueError(f"is missing; it must be {allowed}")
        made = _reader(self.kind)(value)
        if self.validator is not None:
            self.validator(None, self, made)
        return made


def _is_class(kind: Any) -> bool:
    return isinstance(kind, type) and (attrs.has(kind) or dataclasses.is_dataclass(kind))


@functools.lru_cache(maxsize=None)
def _all_fields(kind: Any) -> Dict[str, _Field]:
    """The fields of a class of attrs or a dataclass by name."""
    kinds, of_attrs = get_type_hints(kind), attrs.has(kind)
    fields: Iterable[Any] = attrs.fields(kind) if of_attrs else dataclasses.fields(kind)
    nothing = (attrs.NOTHING, dataclasses.MISSING)
    return {
        field.name: _Field(
            argument=field.name.lstrip("_") if of_attrs else field.name,
            key=field.metadata.get(_KEY, field.name),
            kind=kinds[field.name],
            required=field.default in nothing
            and getattr(field, "default_factory", attrs.NOTHING) in nothing,
            validator=getattr(field, "validator", None),
            keeps_rest=_REST in field.metadata,
            outside=_OUTSIDE in field.metadata,
        )
        for field in fields
        if field.init
    }


def _class_reader(kind: Any) -> Reader:
    fields = {field.key: field for field in _all_fields(kind).values() if not field.outside}
    rest = next((field for field in fields.values() if field.keeps_rest), None)
    if rest is not None:
        del fields[rest.key]

    closed = rest is None and not getattr(kind, _OPEN, False)
    refuse = _refusing(sorted(fields))

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"must be a mapping, not {quoted(value)}")
        parts: List[Tuple[str, Reader, Any]] = [
            (name, field.read, value.get(name, attrs.NOTHING))
            for name, field in fields.items()
            if name in value or field.required
        ]
        others = {name: part for name, part in value.items() if name not in fields}
        parts += [(str(name), refuse, None) for name in others if closed]
        arguments = {fields[name].argument: part for name, part in _parts(parts).items()}
        if rest is not None:
            arguments[rest.argument] = others
        whole = kind(**arguments)
        found = list(whole.mistakes()) if hasattr(whole, "mistakes") else []
        if found:
            raise _WrongError(found)
        return whole

    return read


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
    content: Dict[str, Any] = {}
    for name, field in _all_fields(value.__class__).items():
        if field.keeps_rest:
            content.update(plain(getattr(value, name)))
        elif not field.outside:
            content[field.key] = plain(getattr(value, name))
    return content


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
