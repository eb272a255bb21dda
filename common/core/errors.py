"""The errors a user can mend, each one line long, with its exit code; and what a check found."""

from __future__ import annotations

import dataclasses
from typing import List

from common.core.text import shortened

USAGE_EXIT_CODE = 64
OK, WARN, FAIL = "ok", "warn", "fail"
_LONGEST_LINE = 1000  # characters, of which a file's own content may be most


class ZooError(Exception):
    """What is wrong, where, and what to do, in one line; shown without a traceback.

    Raise it for anything a user can mend. Programming errors stay ordinary exceptions.
    """

    exit_code = 1

    @property
    def lines(self) -> List[str]:
        """What the terminal shows: one line, more only of a file with several mistakes."""
        return [shortened(" ".join(str(self).split()), _LONGEST_LINE)]


class UsageError(ZooError):
    """A command line that can't be understood: unknown flag, wrong type, value out of range."""

    exit_code = USAGE_EXIT_CODE


class InfrastructureError(ZooError):
    """The machine failed, not the model: a full disk, a port in use, a lost process."""

    exit_code = 3


def first_line(error: Exception) -> str:
    """The first line of what an error says, without the long tail that frameworks add."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of a report: ok, warn or fail; what was looked at, what was found, the remedy."""

    status: str
    what: str
    found: str
    remedy: str = ""
