"""The flags of training that store the tensors of one step; imports no framework."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from common.core.command_line import number_in
from common.core.errors import UsageError
from common.runs.dump.dump_format import INDEX, step_folder
from common.runs.dump.reading import Dump, find_dump

DUMP_FLAGS = ("dump_tensors", "dump_from")


def add_dump_flags(group: Any) -> None:
    """Adds --dump_tensors and --dump_from."""
    group.add_argument(
        "--dump_tensors",
        type=number_in(int, 1),
        metavar="K",
        help="store activations, gradients and updated weights of step K, for zoo diverge",
    )
    group.add_argument(
        "--dump_from",
        metavar="RUN",
        help="begin at the step that RUN stored, with its weights, batch and noise, "
        "and store the same (one rank)",
    )


def open_source(
    path: Optional[str], step: Optional[int], resume: bool, world_size: int
) -> Optional[Dump]:
    """The dump that --dump_from names; None without it.

    Raises:
        UsageError: no dump there, or flags that contradict.
    """
    if path is None:
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
    return find_dump(Path(path), step)


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
