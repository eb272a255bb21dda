"""The two formats of rank tables before 1.0, recognised by their keys so that they can be named."""

from __future__ import annotations

from typing import Any, Iterator, Mapping, Tuple

KUBERNETES = "the Kubernetes variant (group_list with pod_name)"
TEMPLATE_2 = '"template 2" (group_list with board_id, chip_info, deploy_mode)'
UNKNOWN_GROUPS = "a table of groups (group_list)"
_MARKS = (
    ("pod_name", KUBERNETES),
    ("board_id", TEMPLATE_2),
    ("chip_info", TEMPLATE_2),
    ("deploy_mode", TEMPLATE_2),
    ("group_list", UNKNOWN_GROUPS),
)


def old_format(content: Mapping[str, Any]) -> Tuple[str, str]:
    """The older format's name and the place of the key that gives it away, "" and "" for none."""
    places = dict(reversed(list(_keys(content, ""))))
    return next(((name, places[mark]) for mark, name in _MARKS if mark in places), ("", ""))


def _keys(value: Any, place: str) -> Iterator[Tuple[str, str]]:
    """Every key, however deep, with its place."""
    if isinstance(value, dict):
        for key, below in value.items():
            path = f"{place}.{key}" if place else key
            yield key, path
            yield from _keys(below, path)
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _keys(below, f"{place}[{index}]")
