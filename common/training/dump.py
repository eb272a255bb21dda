"""The dump of one training step, for zoo diverge: what both engines share of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Mapping, Optional, Sequence

from common.core.errors import UsageError, ZooError
from common.machine.devices import OpenedDevice
from common.machine.precision import Precision
from common.machine.ranks import Place
from common.runs.dump import (
    INDEX,
    Dump,
    Tensor,
    arithmetic_of,
    find_dump,
    step_folder,
    write_dump,
)
from common.runs.dump import Subject as DumpSubject
from common.training.run import Settings, Subject

ATTEMPTS = 40  # of a step whose gradients overflow, until its loss scale is small enough


class StepDump:
    """The dump of a run, if one was asked for: what is stored of which step, and begun with.

    Attributes:
        step: the one that is stored, None for none. source: the dump that training begins from.
    """

    def __init__(
        self,
        settings: Settings,
        subject: Subject,
        device: OpenedDevice,
        place: Place,
        precision: Precision,
    ) -> None:
        """Opens the dump to begin from, if any.

        Raises:
            UsageError: there is none, it is of another network, or the flags contradict.
        """
        self.settings, self.place = settings, place
        self._subject, self._device, self._precision = subject, device, precision
        self.source = _open_source(settings, place.world_size)
        self.step = settings.dump_tensors if self.source is None else self.source.subject.step
        self.say: Callable[[str], None] = print
        if self.step is not None and self.step > settings.steps:
            raise UsageError(
                f"step {self.step} is to be stored, but training ends at step {settings.steps}: "
                "give more steps or a smaller --dump_tensors"
            )
        if self.source is not None:
            there, here = self.source.subject, self.described()
            if (there.model, there.task, there.network) != (here.model, here.task, here.network):
                raise UsageError(
                    f"--dump_from {settings.dump_from} is of {there.model} {there.task} "
                    f"{there.network}, this run of {here.model} {here.task} {here.network}: "
                    "give the flags of that run"
                )

    @property
    def begins_after(self) -> Optional[int]:
        """The steps that are done when training begins from another run's dump."""
        return None if self.source is None else self.source.subject.step - 1

    def is_stored(self, done: int) -> bool:
        """Whether a resumed training has passed the step to be stored, and has stored it.

        Raises:
            UsageError: it has passed it and did not store it.
        """
        if self.step is None or self.step > done:
            return False
        if (step_folder(Path(self.settings.output_path), self.step) / INDEX).is_file():
            self.say(f"note: step {self.step} is stored already")
            return True
        raise UsageError(
            f"step {self.step} is to be stored, but training goes on after step {done}: give a "
            "larger --dump_tensors, or leave it out"
        )

    def described(self, step: Optional[int] = None) -> DumpSubject:
        """What a dump of this run says of it."""
        return DumpSubject(
            self._subject.model,
            self._subject.task,
            json.loads(json.dumps(self._subject.network)),  # as a dump gives it back
            self._device.framework,
            f"{self._device.kind} ({self._device.name})",
            self._precision.as_record(),
            arithmetic_of(self._precision),
            step or self.step or 0,
            self.place.world_size,
            self.settings.dump_from or "",
        )

    def store(self, step: int, inputs: Sequence[Tensor], tensors: Sequence[Tensor]) -> None:
        """Writes a step; of one that repeats another run's, its own settings among the inputs."""
        source = None if self.source is None else self.source.index
        folder = Path(self.settings.output_path)
        written = write_dump(folder, self.described(step), inputs, tensors, source)
        self.say(f"step {step}: {len(tensors)} tensors are in {written}")

    def overflowed(self, times: int) -> ZooError:
        """What is wrong where a step can't be done without an overflow."""
        return ZooError(
            f"the gradients of step {self.step} overflowed {times} times in a row: give a smaller "
            "--loss_scale"
        )


def _open_source(settings: Settings, world_size: int) -> Optional[Dump]:
    if settings.dump_from is None:
        return None
    if settings.resume:
        raise UsageError(
            "--dump_from begins with another run's weights and --resume with this "
            "one's own: give one of them"
        )
    if world_size > 1:
        raise UsageError(
            "--dump_from is for one rank: a dump holds the batch of rank 0 alone; "
            "run both runs with --ranks 1"
        )
    return find_dump(Path(settings.dump_from), settings.dump_tensors)


def require_fit(there: Mapping[str, Any], here: Mapping[str, Any], what: str) -> None:
    """Raises UsageError where names or shapes of a dump are not those of this run.

    Args:
        there: arrays by name. here: shapes by name, None for a size that may be any.
    """
    for name in sorted(set(there) | set(here)):
        one = list(there[name].shape) if name in there else None
        other = list(here[name]) if name in here else None
        fits = (
            one is not None
            and other is not None
            and len(one) == len(other)
            and all(size in (None, stored) for size, stored in zip(other, one))
        )
        if not fits:
            raise UsageError(
                f"--dump_from has the {what} {name} as {one or 'nothing'}, this run as "
                f"{other or 'nothing'}: give the flags of that run, --batch_size included"
            )
