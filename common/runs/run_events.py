"""What every run says of itself in the run log: how it was called, and how it ended."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import Iterator, Sequence

from common.core.stop_signal import StopSignal
from common.runs.events import RunLog
from common.runs.provenance import without_folders


@contextlib.contextmanager
def telling_the_end(log: RunLog, stop: StopSignal) -> Iterator[None]:
    """Writes the end event, whichever way the run ends."""
    try:
        yield
    except BaseException as error:
        log.event(
            "end",
            status="failed",
            reason=" ".join(str(error).split())[:500] or type(error).__name__,
        )
        raise
    if stop.asked:
        log.event("end", status="interrupted", reason=f"signal {stop.number}")
    else:
        log.event("end", status="complete", reason="")


def shown_command(argv: Sequence[str], package: str) -> str:
    """The command line without the folders of this machine, which a kept record has no use for.

    Args:
        argv: as sys.argv.
        package: the package of the entry point, such as "slot_attention.object_discovery".
    """
    words = ["python", "-m", f"{package}.{Path(argv[0]).stem}"]
    words += without_folders(argv[1:])
    return " ".join(shlex.quote(word) for word in words)
