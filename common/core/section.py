"""Reads one section of a YAML file; what is wrong is told with file, key and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Mapping, NoReturn, Optional, Sequence, Set, Tuple, Type, Union

import yaml

from common.core.errors import ZooError

Scalar = Union[str, int, float, bool]

_SCALARS = (str, int, float, bool)
_KIND_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def load_yaml(path: Path) -> Section:
    """Reads a YAML file whose top level is a mapping.

    Raises:
        ZooError: the file can't be read, is not YAML, or its top level is not a mapping.
    """
    try:
        with open(str(path), encoding="utf-8") as stream:
            content = yaml.load(stream, Loader=_SafeLoader)  # safe: a subclass of the safe loader
    except (OSError, UnicodeDecodeError) as error:
        raise ZooError(f"can't read {path}: {error}") from error
    except yaml.YAMLError as error:
        raise ZooError(f"{path} is not YAML: {error}") from error
    return Section(content, str(path), ())


class _SafeLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader, which also refuses a key given twice in place of dropping the first."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for position, key in enumerate(keys):
            if key in keys[:position]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", node.start_mark
                )
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]


class Section:
    """A mapping of the file: each key is asked for once, and done() refuses the ones left over."""

    def __init__(self, content: Any, file: str, path: Tuple[str, ...]) -> None:
        self._file, self._path = file, path
        if not isinstance(content, dict):
            raise ZooError(
                "{}: {} must be a mapping, not {}".format(
                    file, ".".join(path) or "the top level", _told(content)
                )
            )
        self._content: Dict[Any, Any] = content
        self._asked: Set[str] = set()

    def keys(self) -> List[str]:
        """The keys of this section, in the file's order."""
        return [str(key) for key in self._content]

    def has(self, key: str) -> bool:
        """Whether the key is there with a value; a key asked for so is a known one."""
        self._asked.add(key)
        return self._content.get(key) is not None

    def value(self, key: str, kind: Type[Any], default: Any = None) -> Any:
        """A text, number or truth value; without a default the key must be there."""
        found = self._take(key)
        if found is None:
            if default is None:
                self.fail(key, f"is missing; it must be {_KIND_NAMES[kind]}")
            return default
        if kind is float and isinstance(found, int) and not isinstance(found, bool):
            return float(found)
        if not isinstance(found, kind) or (kind is not bool and isinstance(found, bool)):
            self.fail(key, f"must be {_KIND_NAMES[kind]}, not {_told(found)}")
        return found

    def optional(self, key: str, kind: Type[Any]) -> Any:
        """Like value, None where the key is not there."""
        return self.value(key, kind) if self.has(key) else None

    def choice(self, key: str, allowed: Sequence[Any], default: Any = None) -> Any:
        """One of a few values."""
        found = self._take(key)
        found = default if found is None else found
        if found not in allowed:
            self.fail(
                key,
                "must be one of {}, not {}".format(
                    ", ".join(str(name) for name in allowed), _told(found)
                ),
            )
        return found

    def positive(self, key: str, default: Optional[int] = None) -> int:
        """A whole number of at least 1."""
        number = self.value(key, int, default)
        if number < 1:
            self.fail(key, f"must be at least 1, not {number}")
        return int(number)

    def texts(self, key: str) -> Tuple[str, ...]:
        """A list of texts; an absent key is an empty list."""
        found = self._take(key)
        found = [] if found is None else found
        if not isinstance(found, list) or not all(isinstance(part, str) for part in found):
            self.fail(key, f"must be a list of texts, not {_told(found)}")
        return tuple(found)

    def scalars(self, key: str) -> Dict[str, Scalar]:
        """A mapping from names to texts, numbers and truth values; an absent key is empty."""
        if not self.has(key):
            return {}
        section = self.section(key)
        return {name: section.scalar(name) for name in section.keys()}  # noqa: SIM118

    def scalar(self, key: str) -> Scalar:
        """A text, a number or a truth value."""
        found = self._take(key)
        if not isinstance(found, _SCALARS):
            self.fail(key, f"must be a text, a number, true or false, not {_told(found)}")
        return found

    def section(self, key: str) -> Section:
        """The mapping under a key; an absent key is an error."""
        return Section(self._take(key), self._file, self._path + (key,))

    def sections(self, key: str) -> Dict[str, Section]:
        """A mapping of mappings, by name."""
        outer = self.section(key)
        return {name: outer.section(name) for name in outer.keys()}  # noqa: SIM118

    def section_list(self, key: str) -> List[Section]:
        """A list of mappings; an absent key is an empty list."""
        found = self._take(key)
        found = [] if found is None else found
        if not isinstance(found, list):
            self.fail(key, f"must be a list, not {_told(found)}")
        return [
            Section(part, self._file, self._path + (f"{key}[{number}]",))
            for number, part in enumerate(found)
        ]

    def rows(self, key: str, width: int) -> Tuple[Tuple[Scalar, ...], ...]:
        """A list of rows of `width` cells each."""
        found = self._take(key)
        if not isinstance(found, list) or not all(isinstance(row, list) for row in found):
            self.fail(key, f"must be a list of rows, not {_told(found)}")
        for number, row in enumerate(found):
            if len(row) != width or not all(isinstance(cell, _SCALARS) for cell in row):
                self.fail(
                    f"{key}[{number}]",
                    f"must have {width} cells of text or number, one for each column",
                )
        return tuple(tuple(row) for row in found)

    def done(self) -> None:
        """Refuses keys that nothing asked for."""
        for key in self.keys():
            if key not in self._asked:
                self.fail(
                    key, "is not a key; allowed are {}".format(", ".join(sorted(self._asked)))
                )

    def fail(self, key: str, problem: str) -> NoReturn:
        """Raises the error of one key."""
        raise ZooError("{}: {} {}".format(self._file, ".".join(self._path + (key,)), problem))

    def _take(self, key: str) -> Any:
        self._asked.add(key)
        return self._content.get(key)


def _told(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list) else repr(value)
