"""run.json: what the launcher says of a run, from its first second to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

import attrs

from common.core.codec import OUTSIDE, at_least, one_of, read_json, write_json
from common.core.errors import ZooError

MARKER = "run.json"
RUNNING, COMPLETE, FAILED, INTERRUPTED = "running", "complete", "failed", "interrupted"


@attrs.frozen
class Marker:
    """The content of run.json, as far as anybody asks for it.

    Attributes:
        state: "" where the folder only holds the log of another run (log_of).
        seeds: of a launch of several, whose runs lie in folders below.
        not_begun: of such a launch, by a seed's folder, why its run could not begin.
        sessions: how often the run was begun or resumed.
        threads: that the launcher gave each rank; 0 where it gave none.
        fault: what is wrong with a file that can't be read; everything else is empty then.
    """

    ignores_other_keys = True
    state: str = attrs.field(
        default="", validator=one_of("", RUNNING, COMPLETE, FAILED, INTERRUPTED)
    )
    exit_code: Optional[int] = None
    reason: Optional[str] = None
    model: Optional[str] = None
    task: Optional[str] = None
    case: Optional[str] = None
    command: Optional[str] = None
    seeds: Tuple[int, ...] = ()
    not_begun: Dict[str, str] = attrs.field(factory=dict)
    sessions: int = attrs.field(default=0, validator=at_least(0))
    log_of: str = ""
    threads: int = attrs.field(default=0, validator=at_least(0))
    fault: str = attrs.field(default="", metadata=OUTSIDE)


def read_marker(folder: Path) -> Marker:
    """What run.json says; an empty marker where there is none, or one with its fault."""
    path = Path(folder) / MARKER
    try:
        return read_json(path, Marker) if path.exists() else Marker()
    except (ZooError, OSError, ValueError) as error:  # the last: a name that no file can have
        return Marker(fault=" ".join(str(error).split()))


def write_marker(folder: Path, content: Mapping[str, Any]) -> None:
    """Writes run.json, atomically."""
    write_json(Path(folder) / MARKER, content)
