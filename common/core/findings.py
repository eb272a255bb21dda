"""What a check found: ok, warn or fail, with the remedy."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True)
class Finding:
    """One line of a report: ok, warn or fail; what was looked at, what was found, the remedy."""

    status: str
    what: str
    found: str
    remedy: str = ""
