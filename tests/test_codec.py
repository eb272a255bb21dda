"""JSON and YAML in and out: exact types, every mistake with its place, no traceback."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple, Type

import attrs
import pytest

from common.core.codec import (
    AnyFloat,
    Scalar,
    at_least,
    between,
    json_line,
    key,
    one_of,
    parse_json,
    parse_yaml,
    read_json,
    read_yaml,
    structured,
    write_json,
)
from common.core.errors import ZooError


@attrs.frozen
class Part:
    size: int = attrs.field(validator=at_least(1))
    kind: str = attrs.field(default="acc", validator=one_of("acc", "perf"))
    share: float = attrs.field(default=0.5, validator=between(0, 1))
    loss: AnyFloat = AnyFloat(0.0)
    total: Optional[int] = attrs.field(default=None, metadata=key("global"))
    cells: Tuple[Tuple[Scalar, ...], ...] = ()

    def mistakes(self) -> Iterator[Tuple[str, str]]:
        if self.total == 13:
            yield "global", "must not be 13"


@dataclasses.dataclass
class Whole:
    name: str
    parts: Dict[str, Part] = dataclasses.field(default_factory=dict)
    some: List[Part] = dataclasses.field(default_factory=list)
    one: Optional[Part] = None
    sure: bool = False


@attrs.frozen
class Open:
    ignores_other_keys = True
    a: int


WHOLE = {
    "name": "x",
    "parts": {
        "p": {"size": 3, "share": 0.25, "loss": "inf", "global": 5, "cells": [[1, "a", True]]}
    },
    "some": [{"size": 1}],
    "one": None,
}


def told(value: Any, kind: Type[Any] = Whole) -> List[str]:
    with pytest.raises(ZooError) as caught:
        structured(value, kind, "file.json")
    return caught.value.lines


def test_all_mistakes_are_told_each_in_a_line_with_file_and_key() -> None:
    assert told({"name": 3, "parts": {"p": {"size": 0, "kinds": "x"}, "q": 1}, "some": [{}]}) == [
        "file.json: name must be text, not 3",
        "file.json: parts.p.size must be at least 1, not 0",
        "file.json: parts.p.kinds is not a key; allowed are cells, global, kind, loss, share, size",
        "file.json: parts.q must be a mapping, not 1",
        "file.json: some[0].size is missing; it must be at least 1",
    ]


@pytest.mark.parametrize(
    "field, value, wrong",
    [
        ("size", True, "a whole number, not true"),
        ("size", 2.0, "a whole number, not 2.0"),
        ("size", "2", "a whole number, not '2'"),
        ("size", 10**400, "at most 63 bits, not 1000"),
        ("size", None, "a whole number, not nothing"),
        ("kind", "other", "one of acc, perf, not 'other'"),
        ("kind", ["acc"], "text, not a list"),
        ("share", 1, "between 0 and 1, not 1"),
        ("share", False, "a number, not false"),
        ("share", math.nan, "a finite number, not nan"),
        ("share", "nan", "a number, not 'nan'"),
        ("share", 10**400, "a finite number, not 1000"),
        ("loss", "lots", "a number, not 'lots'"),
        ("loss", True, "a number, not true"),
        ("loss", 10**400, "a finite number, not 1000"),
        ("global", 13, "must not be 13"),
        ("cells", [[None]], "text or a number or true or false, not nothing"),
        ("cells", "text", "a list, not 'text'"),
    ],
)
def test_a_value_of_another_type_or_out_of_range_is_refused(
    field: str, value: Any, wrong: str
) -> None:
    (line,) = told({"size": 1, **{field: value}}, Part)
    assert line.startswith(f"file.json: {field}") and wrong in line and len(line) <= 300


@pytest.mark.parametrize("value", [math.nan, "nan", "NaN", "-Infinity", "inf", 3, 2.5])
def test_a_number_that_need_not_be_finite_is_taken_where_it_is_asked(value: Any) -> None:
    found = structured({"size": 1, "loss": value}, Part, "file.json").loss
    assert isinstance(found, float) and repr(found) == repr(float(value))


def test_keys_without_a_field_are_refused_or_ignored() -> None:
    assert "b is not a key; allowed are" in told({"size": 1, "b": 2}, Part)[0]
    assert structured({"a": 1, "b": 2}, Open, "") == Open(1)


def test_long_values_keys_and_lists_of_mistakes_are_shortened() -> None:
    lines = told({"name": "x" * 5000 + "\n", "y" * 5000: 1, "some": [{"size": 0}] * 50})
    assert max(map(len, lines)) <= 300 and len(lines) == 21
    assert lines[-1] == "file.json: 31 more mistakes"


def test_a_class_is_written_in_the_order_of_its_fields_and_read_back_the_same(
    tmp_path: Path,
) -> None:
    whole = structured(WHOLE, Whole, "")
    part = Part(3, share=0.25, loss=math.inf, total=5, cells=((1, "a", True),))
    assert whole == Whole("x", {"p": part}, [Part(1)])
    write_json(tmp_path / "a.json", whole)
    assert read_json(tmp_path / "a.json", Whole) == whole
    assert read_yaml(tmp_path / "a.json", Whole) == whole
    assert list(json.loads((tmp_path / "a.json").read_text())["parts"]["p"]) == [
        "size", "kind", "share", "loss", "global", "cells",
    ]  # fmt: skip


def test_a_line_of_json_has_texts_for_numbers_that_json_lacks() -> None:
    assert json_line({"a": math.nan, "b": [-math.inf, 1]}) == '{"a":"nan","b":["-inf",1]}'


MALFORMED = [
    b"\xff\xfe",
    b"[" * 100000,
    b'{"a":' * 100000,
    b"1" * 5000,
    b"{",
    b'{"a": 1, "a": 2}',
    b'"\\ud800"',
    b"\x00",
]


@pytest.mark.parametrize("content", MALFORMED, ids=lambda content: repr(content[:12]))
@pytest.mark.parametrize("parse", [parse_json, parse_yaml])
def test_malformed_content_is_told_in_one_line(parse: Any, content: bytes) -> None:
    with pytest.raises(ZooError) as caught:
        parse(content, "file")
    (line,) = caught.value.lines
    assert line.startswith("file is no") and len(line) <= 300


@pytest.mark.parametrize("name", [".", "x" * 300, "loop", "absent", "nul\0"])
def test_a_file_that_cannot_be_read_is_told_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ZooError, match="can't be read") as caught:
        read_json(tmp_path / name, Whole)
    assert len(caught.value.lines) == 1


def test_a_huge_file_and_yaml_that_would_run_code_are_refused() -> None:
    with pytest.raises(ZooError, match="is not YAML"):
        parse_yaml("!!python/object/apply:os.system ['true']", "file")
    with pytest.raises(ZooError, match="larger than 64 MiB"):
        read_yaml(Path("/dev/zero"), Whole)
