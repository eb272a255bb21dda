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
without validators.
"""

from __future__ import annotations

import collections.abc
import contextlib
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
    Iterator,
    List,
    Mapping,
    NewType,
    Sequence,
    Set,
    Tuple,
    Type,
    TypeVar,
    Union,
)

import attrs

from common.core.errors import ZooError
from common.core.files import write_atomically
from common.core.text import listed, quoted, shortened

T = TypeVar("T")
Scalar = Union[str, int, float, bool]
AnyFloat = NewType("AnyFloat", float)  # one that need not be finite

LARGEST_FILE = 64 << 20  # bytes
_DEEPEST_YAML = 100
_MOST_TOLD = 20  # mistakes of one file
_LONGEST_LINE = 300
_OPEN = "__zoo_open_keys__"
_REST, _KEY = "zoo_rest", "zoo_key"
_OUTSIDE = "zoo_outside"
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


class ContentError(ZooError):
    """What is wrong with a file; the message has a line for each mistake."""

    def __init__(self, where: str, told: Sequence[Tuple[str, str]]) -> None:
        where = shortened(where, 160)
        self._lines = [_line(where, path, text) for path, text in told[:_MOST_TOLD]]
        if len(told) > _MOST_TOLD:
            self._lines.append(f"{where}: {len(told) - _MOST_TOLD} more mistakes")
        super().__init__("\n".join(self._lines))

    @property
    def lines(self) -> List[str]:
        return self._lines


def _line(where: str, path: str, text: str) -> str:
    place = f"{where}: {shortened(path, 80)} " if path else f"{where} "
    return place + shortened(text, _LONGEST_LINE - len(place))


class _MistakesError(ValueError):
    """What a class says of its own fields."""

    def __init__(self, found: Sequence[Tuple[str, str]]) -> None:
        super().__init__(found)
        self.found = found


def key(name: str) -> Mapping[str, str]:
    """The metadata of a field that the file knows under another name."""
    return {_KEY: name}


def open_keys(kind: Type[T]) -> Type[T]:
    """Lets a class ignore the keys that it has no field for; a class decorator."""
    setattr(kind, _OPEN, True)
    return kind


# --- validators ---

Validator = Callable[[Any, Any, Any], None]


def _validator(holds: Callable[[Any], bool], allowed: str) -> Validator:
    def validate(instance: Any, attribute: Any, value: Any) -> None:
        if value is not None and not holds(value):
            raise ValueError(f"must be {allowed}, not {quoted(value)}")

    validate.allowed = allowed  # type: ignore[attr-defined]  # for the message where it is missing
    return validate


def one_of(*allowed: Any) -> Validator:
    """One of a few values."""
    return _validator(
        lambda value: any(value == one and type(value) is type(one) for one in allowed),
        (f"one of {listed(allowed)}" if len(allowed) > 1 else quoted(allowed[0])),
    )


def at_least(low: float) -> Validator:
    """A number from `low` on."""
    return _validator(lambda value: value >= low, f"at least {low:g}")


def keys_of(*allowed: str) -> Validator:
    """A mapping that has these keys alone."""

    def validate(instance: Any, attribute: Any, value: Any) -> None:
        text = f"is not a key; allowed are {listed(allowed, 200)}"
        found = [(name, text) for name in value if name not in allowed]
        if found:
            raise _MistakesError(found)

    return validate


def filled(instance: Any, attribute: Any, value: Any) -> None:
    """A text, list or mapping with something in it."""
    if not value:
        raise ValueError("is empty")


def between(low: float, high: float) -> Validator:
    """A number above `low` and below `high`."""
    return _validator(lambda value: low < value < high, f"between {low:g} and {high:g}")


# --- reading ---


def read_json(path: Path, kind: Type[T]) -> T:
    """A JSON file as a class; ContentError where it can't be read or is none."""
    return structured(parse_json(_content(path), str(path)), kind, str(path))


def read_yaml(path: Path, kind: Type[T]) -> T:
    """A YAML file as a class; ContentError where it can't be read or is none."""
    return structured(parse_yaml(_content(path), str(path)), kind, str(path))


def structured(value: Any, kind: Type[T], where: str) -> T:
    """A parsed value as a class.

    Args:
        where: what the errors call it: the file, and the line of one with many.

    Raises:
        ContentError: all that is wrong with it.
    """
    try:
        return _converter().structure(value, kind)  # type: ignore[no-any-return]
    except Exception as error:
        raise ContentError(where, list(_told(error, ""))) from error


def parse_json(content: Union[str, bytes], where: str) -> Any:
    """The value in a JSON text; a key that comes twice is refused."""
    with _parsing(where, "JSON"):
        text = content if isinstance(content, str) else content.decode("utf-8")
        return _printable(json.loads(text, object_pairs_hook=_once), text)


def parse_yaml(content: Union[str, bytes], where: str) -> Any:
    """The value in a YAML text; tags that run code and a key that comes twice are refused."""
    import yaml

    with _parsing(where, "YAML"):
        text = content if isinstance(content, str) else content.decode("utf-8")
        try:
            _check_depth(text)
            return _printable(yaml.load(text, Loader=_yaml_loader()), text)  # a safe loader
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from error


def _content(path: Path) -> bytes:
    try:
        with open(str(path), "rb") as stream:
            content = stream.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        problem = f"can't be read ({getattr(error, 'strerror', None) or error})"
        raise ContentError(str(path), [("", problem)]) from error
    if len(content) > LARGEST_FILE:
        raise ContentError(str(path), [("", f"is larger than {LARGEST_FILE >> 20} MiB")])
    return content


@contextlib.contextmanager
def _parsing(where: str, language: str) -> Iterator[None]:
    try:
        yield
    except RecursionError as error:
        raise ContentError(where, [("", f"is no {language} of ours: nested too deeply")]) from error
    except (ValueError, OverflowError, TypeError) as error:  # UnicodeDecodeError among them
        long_number = "int_max_str_digits" in str(error)
        problem = "a number has thousands of digits" if long_number else str(error)
        raise ContentError(where, [("", f"is not {language}: {problem}")]) from error


def _once(pairs: Sequence[Tuple[str, Any]]) -> Dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {quoted(twice)} is given twice")
    return found


def _printable(value: Any, text: str) -> Any:
    """Refuses halves of surrogate pairs, which nothing can print or write."""
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise ValueError("a text holds half a surrogate pair") from None
    return value


def _check_depth(text: str) -> None:
    """Refuses what would overflow the stack of libyaml, which does not look."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=_yaml_loader()):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST_YAML:
            raise RecursionError


@functools.lru_cache(maxsize=None)
def _yaml_loader() -> Any:
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """The safe loader, which also refuses a key given twice."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Dict[Any, Any]:
            seen: Set[Any] = set()
            for part, _ in getattr(node, "value", ()):
                name = self.construct_object(part, deep=True)
                if isinstance(name, collections.abc.Hashable) and name in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {quoted(name)} is given twice", node.start_mark
                    )
                if isinstance(name, str):
                    seen.add(name)
            return super().construct_mapping(node, deep)  # type: ignore[no-any-return]

    return Loader


# --- from values to classes ---


@functools.lru_cache(maxsize=None)
def _converter() -> Any:
    import cattrs  # a tenth of a second: only where something is read

    converter = cattrs.Converter(detailed_validation=True)
    for kind in (str, int, float, bool):
        converter.register_structure_hook(kind, functools.partial(_scalar, (kind,)))
    converter.register_structure_hook_func(
        lambda kind: kind is AnyFloat, functools.partial(_scalar, (AnyFloat,))
    )
    converter.register_structure_hook_factory(_is_union, _union_hook)
    converter.register_structure_hook_factory(
        lambda kind: getattr(kind, "__origin__", None) in _SEQUENCES,
        functools.partial(_sequence_hook, converter),
    )
    converter.register_structure_hook_factory(
        lambda kind: getattr(kind, "__origin__", None) in _MAPPINGS,
        functools.partial(_mapping_hook, converter),
    )
    converter.register_structure_hook_factory(
        lambda kind: isinstance(kind, type) and _is_class(kind),
        functools.partial(_class_hook, converter),
    )
    return converter


_SEQUENCES = (list, tuple, collections.abc.Sequence)
_MAPPINGS = (dict, collections.abc.Mapping)


def _is_class(kind: Any) -> bool:
    return attrs.has(kind) or dataclasses.is_dataclass(kind)


def _is_union(kind: Any) -> bool:
    """A choice of scalars, None perhaps among them; Optional of a class is cattrs' own."""
    parts = getattr(kind, "__args__", ())
    return getattr(kind, "__origin__", None) is Union and all(
        part in _KINDS or part is type(None) for part in parts
    )


def _union_hook(kind: Any) -> Any:
    return functools.partial(_scalar, kind.__args__)


def _scalar(kinds: Sequence[Any], value: Any, _: Any) -> Any:
    """The value as the first of the kinds that takes it; a bool is no number."""
    if type(value) in kinds and not isinstance(value, (int, float)):
        return value  # a text, or None
    if isinstance(value, bool):
        if bool in kinds:
            return value
    elif isinstance(value, int) and int in kinds:
        if abs(value) < 2**63:
            return value
        raise ValueError(f"must be a whole number of at most 63 bits, not {quoted(value)}")
    elif isinstance(value, (int, float)) and (float in kinds or AnyFloat in kinds):
        if abs(value) <= sys.float_info.max or (isinstance(value, float) and AnyFloat in kinds):
            return float(value)
        raise ValueError(f"must be a finite number, not {quoted(value)}")
    elif isinstance(value, str) and AnyFloat in kinds and value.lower().lstrip("+-") in _NOT_FINITE:
        return float(value)
    names = list(dict.fromkeys(_KINDS[kind] for kind in kinds if kind in _KINDS))
    if "a number" in names and "a whole number" in names:
        names.remove("a whole number")
    raise ValueError(f"must be {' or '.join(names)}, not {quoted(value)}")


def _sequence_hook(converter: Any, kind: Any) -> Any:
    element = kind.__args__[0]
    made_as = tuple if kind.__origin__ is tuple else list

    def read(value: Any, _: Any) -> Any:
        if not isinstance(value, list):
            raise ValueError(f"must be a list, not {quoted(value)}")
        return made_as(part for _, part in _parts(converter, enumerate(value), element, kind))

    return read


def _mapping_hook(converter: Any, kind: Any) -> Any:
    element = kind.__args__[1]
    named = _is_class(element) and _OUTSIDE in getattr(
        _all_fields(element).get("name"), "metadata", ()
    )

    def read(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"must be a mapping, not {quoted(value)}")
        for name in value:
            if not isinstance(name, str):
                raise ValueError(f"has the key {quoted(name)}, which is no text")
        made = dict(_parts(converter, value.items(), element, kind))
        for name, part in made.items() if named else ():
            object.__setattr__(part, "name", name)
        return made

    return read


def _parts(converter: Any, parts: Any, element: Any, kind: Any) -> List[Tuple[Any, Any]]:
    from cattrs.errors import IterableValidationError, IterableValidationNote

    made: List[Tuple[Any, Any]] = []
    errors: List[Any] = []
    for at, part in parts:
        try:
            made.append((at, converter.structure(part, element)))
        except Exception as error:
            note = IterableValidationNote("", at, element)
            error.__notes__ = [*getattr(error, "__notes__", []), note]
            errors.append(error)
    if errors:
        raise IterableValidationError("", errors, kind)
    return made


def _class_hook(converter: Any, kind: Any) -> Any:
    """Reads a class by cattrs' own function, each field checked by itself so that all are told."""
    from cattrs.gen import make_dict_structure_fn, override

    fields = _all_fields(kind)
    rest = next((name for name, field in fields.items() if field.metadata.get(_REST)), None)
    overrides: Dict[str, Any] = {
        name: override(
            rename=_key_of(field),
            omit=name == rest or _OUTSIDE in field.metadata,
            struct_hook=functools.partial(_field, converter, field),
        )
        for name, field in fields.items()
    }
    closed = rest is None and not getattr(kind, _OPEN, False)
    make = make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=closed, **overrides)
    known = {_key_of(field) for name, field in _fields(kind).items() if name != rest}

    def read(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"must be a mapping, not {quoted(value)}")
        made = make(value, kind)
        if rest is not None:
            kept = {name: part for name, part in value.items() if name not in known}
            object.__setattr__(made, rest, kept)
        found = list(made.mistakes()) if hasattr(made, "mistakes") else []
        if found:
            raise _MistakesError(found)
        return made

    return read


@functools.lru_cache(maxsize=None)
def _fields(kind: Any) -> Dict[str, Any]:
    """The fields that are read from the file, by name."""
    found = _all_fields(kind).items()
    return {name: field for name, field in found if _OUTSIDE not in field.metadata}


def _all_fields(kind: Any) -> Dict[str, Any]:
    """The fields of an attrs class or a dataclass by name, their types resolved."""
    if attrs.has(kind):
        attrs.resolve_types(kind)
        return {field.name: field for field in attrs.fields(kind) if field.init}
    import typing

    types = typing.get_type_hints(kind)
    found = {field.name: field for field in dataclasses.fields(kind) if field.init}
    for field in found.values():
        field.type = types[field.name]
    return found


def _key_of(field: Any) -> str:
    return str(field.metadata.get(_KEY, field.name))


def _field(converter: Any, field: Any, value: Any, _: Any) -> Any:
    made = converter.structure(value, field.type)
    validator = getattr(field, "validator", None)
    if validator is not None:
        validator(None, field, made)
    return made


# --- what is wrong, in words ---


def _told(error: BaseException, path: str) -> Iterator[Tuple[str, str]]:
    """Path and text of each mistake; what is no mistake of the file's is raised again."""
    from cattrs.errors import (
        ClassValidationError,
        ForbiddenExtraKeysError,
        IterableValidationError,
    )

    if isinstance(error, (ClassValidationError, IterableValidationError)):
        noted, others = error.group_exceptions()
        part: Any
        note: Any
        for part, note in noted:
            below = _below(path, _name_of(error, note))
            if isinstance(part, KeyError):
                yield below, f"is missing; it must be {_allowed(_fields(error.cl)[note.name])}"
            else:
                yield from _told(part, below)
        for part in others:
            yield from _told(part, path)
    elif isinstance(error, ForbiddenExtraKeysError):
        allowed = listed(sorted(_key_of(field) for field in _fields(error.cl).values()), 200)
        for name in sorted(error.extra_fields, key=str):
            yield _below(path, name), f"is not a key; allowed are {allowed}"
    elif isinstance(error, _MistakesError):
        for name, text in error.found:
            yield (_below(path, name) if name else path or "the top level"), text
    elif isinstance(error, ValueError):
        yield path or "the top level", str(error)
    else:
        raise error


def _name_of(error: Any, note: Any) -> Any:
    from cattrs.errors import AttributeValidationNote

    if isinstance(note, AttributeValidationNote):
        return _key_of(_fields(error.cl)[note.name])
    return note.index


def _allowed(field: Any) -> str:
    kinds: Dict[Any, str] = {list: "a list", tuple: "a list", dict: "a mapping"}
    kind = _KINDS.get(field.type) or kinds.get(getattr(field.type, "__origin__", None), "a mapping")
    return str(getattr(getattr(field, "validator", None), "allowed", kind))


def _below(path: str, name: Any) -> str:
    if isinstance(name, int):
        return f"{path}[{name}]"
    return f"{path}.{shortened(str(name))}" if path else shortened(str(name))


# --- writing ---


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
    for name, field in _fields(value.__class__).items():
        if field.metadata.get(_REST):
            content.update(plain(getattr(value, name)))
        else:
            content[_key_of(field)] = plain(getattr(value, name))
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


def write_yaml(path: Path, value: Any) -> None:
    """Writes a value as YAML in the fields' order, atomically."""
    import yaml

    write_atomically(path, yaml.safe_dump(plain(value), sort_keys=False, allow_unicode=True))
