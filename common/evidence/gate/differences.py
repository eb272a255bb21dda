"""Why a run has no reference: what differs from the nearest one that is stored."""

from __future__ import annotations

import dataclasses
from typing import Any, List, Mapping, Optional, Sequence, Tuple

from common.evidence.gate.baseline import Baseline, Key

ABSENT = "absent"
_SHOWN = 40  # characters of a value; dataset predicates are long


def differences(baseline: Baseline, key: Key, recipe: Mapping[str, Any]) -> List[str]:
    """What differs, as "name: stored -> now"; first what is no matter of the recipe."""
    return _of_key(baseline.key, key) + _of_recipe(baseline.recipe, recipe)


def _of_key(stored: Key, now: Key) -> List[str]:
    before, after = dataclasses.asdict(stored), dataclasses.asdict(now)
    return [
        _told(name, before[name], after[name])
        for name in before
        if name != "recipe_sha256" and before[name] != after[name]
    ]


def _of_recipe(stored: Mapping[str, Any], now: Mapping[str, Any]) -> List[str]:
    before, after = dict(_flat(stored, "")), dict(_flat(now, ""))
    return [
        _told(name, before.get(name, ABSENT), after.get(name, ABSENT))
        for name in sorted(set(before) | set(after))
        if before.get(name, ABSENT) != after.get(name, ABSENT)
    ]


def _flat(content: Mapping[str, Any], prefix: str) -> List[Tuple[str, Any]]:
    """The leaves of nested mappings by dotted name."""
    found: List[Tuple[str, Any]] = []
    for name, value in content.items():
        if isinstance(value, dict) and value:
            found += _flat(value, prefix + name + ".")
        else:
            found.append((prefix + name, value))
    return found


def _told(name: str, before: Any, after: Any) -> str:
    return f"{name}: {_short(before)} -> {_short(after)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def nearest(
    stored: Sequence[Baseline], key: Key, recipe: Mapping[str, Any]
) -> Optional[Tuple[Baseline, List[str]]]:
    """The reference of the same task that differs least, with what differs; None without any."""
    same_task = [baseline for baseline in stored if baseline.key.task == key.task]
    if not same_task:
        return None
    return min(
        ((baseline, differences(baseline, key, recipe)) for baseline in same_task),
        key=lambda pair: len(pair[1]),
    )
