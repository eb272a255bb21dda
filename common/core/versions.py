"""Version numbers compared as numbers: "1.10" is newer than "1.8"."""

from __future__ import annotations

import re
from typing import Tuple


def version_numbers(text: str) -> Tuple[int, ...]:
    """The leading numbers of a version: "1.8.1+cpu" -> (1, 8, 1), "2.13.0a0" -> (2, 13, 0).

    A text without a leading number gives (), which is older than everything.
    """
    match = re.match(r"\d+(?:\.\d+)*", text.strip().lstrip("vV"))
    return tuple(int(part) for part in match.group().split(".")) if match else ()
