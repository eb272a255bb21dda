"""The flags of training that store the tensors of one step; imports no framework."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Optional

from common.core.errors import UsageError
from common.core.flags import TRAININGS, Flags, count, path, unrecorded
from common.runs.dump.dump_format import INDEX, step_folder
from common.runs.dump.reading import Dump, find_dump


@dataclasses.dataclass(frozen=True)
class DumpFlags(Flags):
    """Which step is stored, and where it begins; of trainings alone."""

    dump_tensors: Optional[int] = unrecorded(
        "store activations, gradients and updated weights of step K, for zoo diverge",
        kind=count,
        metavar="K",
        group="comparing runs",
        only=TRAININGS,
    )
    dump_from: Optional[str] = unrecorded(
        "begin at the step that RUN stored, with its weights, batch and noise, and store the same "
        "(one rank)",
        kind=path,
        metavar="RUN",
        only=TRAININGS,
    )


def open_source(
    source: Optional[str], step: Optional[int], resume: bool, world_size: int
) -> Optional[Dump]:
    """The dump that --dump_from names; None without it.

    Raises:
        UsageError: no dump there, or flags that contradict.
    """
    if source is None:
        return None
    if resume:
        raise UsageError(
            "--dump_from begins with another run's weights and --resume with this "
            "one's own: give one of them"
        )
    if world_size > 1:
        raise UsageError(
            "--dump_from is for one rank: a dump holds the batch of rank 0 alone; "
            "run both runs with --ranks 1"
        )
    return find_dump(Path(source), step)


def is_stored(step: Optional[int], done: int, run_folder: Path) -> bool:
    """Whether a resumed training has passed the step to be stored, and has stored it.

    Raises:
        UsageError: it has passed it and did not store it.
    """
    if step is None or step > done:
        return False
    if (step_folder(run_folder, step) / INDEX).is_file():
        return True
    raise UsageError(
        f"step {step} is to be stored, but training goes on after step {done}: give a larger "
        "--dump_tensors, or leave it out"
    )


def dumped_step(step: Optional[int], source: Optional[Dump], last: int) -> Optional[int]:
    """The step to be stored; None for none.

    Raises:
        UsageError: training ends before it.
    """
    found = source.subject.step if source is not None else step
    if found is not None and found > last:
        raise UsageError(
            f"step {found} is to be stored, but training ends at step {last}: give more steps "
            "or a smaller --dump_tensors"
        )
    return found
