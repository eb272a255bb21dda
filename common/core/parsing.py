"""The content of JSON and YAML files as values: whatever the bytes are, a value or a ZooError."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple, Union

from common.core.errors import ZooError
from common.core.text import quoted, shortened

LARGEST_FILE = 64 << 20  # bytes
_DEEPEST_YAML = 100
_MOST_TOLD = 20  # mistakes of one file
_LONGEST_LINE = 300


class ContentError(ZooError):
    """What is wrong with a file; the message has a line for each mistake."""

    def __init__(self, where: str, told: Sequence[Tuple[str, str]]) -> None:
        self.mistakes = tuple(told)  # place and text of each
        where, lines = shortened(where, 160), []
        for path, text in told[:_MOST_TOLD]:
            place = f"{where}: {shortened(path, 80)} " if path else f"{where} "
            lines.append(place + shortened(text, _LONGEST_LINE - len(place)))
        if len(told) > _MOST_TOLD:
            lines.append(f"{where}: {len(told) - _MOST_TOLD} more mistakes")
        super().__init__("\n".join(lines))

    @property
    def lines(self) -> List[str]:
        return str(self).splitlines()


def parse_json(content: Union[str, bytes], where: str) -> Any:
    """The value in a JSON text; a key that comes twice is refused."""
    with _parsing(where, "JSON"):
        text = content if isinstance(content, str) else content.decode("utf-8")
        return _printable(json.loads(text, object_pairs_hook=_once), text)


def parse_yaml(content: Union[str, bytes], where: str) -> Any:
    """The value in a YAML text; tags that run code and a key that comes twice are refused."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """The safe loader, which also refuses a key given twice."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Dict[Any, Any]:
            names = [self.construct_object(part, deep=True) for part, _ in node.value]
            _once([(name, None) for name in names if isinstance(name, str)])
            return super().construct_mapping(node, deep)  # type: ignore[no-any-return]

    with _parsing(where, "YAML"):
        text = content if isinstance(content, str) else content.decode("utf-8")
        try:
            depth = 0  # libyaml does not look, and overflows the stack
            for event in yaml.parse(text, Loader=Loader):
                depth += isinstance(event, yaml.CollectionStartEvent)
                depth -= isinstance(event, yaml.CollectionEndEvent)
                if depth > _DEEPEST_YAML:
                    raise RecursionError
            return _printable(yaml.load(text, Loader=Loader), text)
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from error


def content_of(path: Path) -> bytes:
    """The bytes of a file; ContentError where it can't be read or is far too large."""
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
    found: Dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {quoted(name)} is given twice")
        found[name] = value
    return found


def _printable(value: Any, text: str) -> Any:
    """Refuses halves of surrogate pairs, which nothing can print or write."""
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise ValueError("a text holds half a surrogate pair") from None
    return value
