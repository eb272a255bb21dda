"""The dump of one training step, for zoo diverge: what both engines share of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

from common.core.errors import UsageError, ZooError
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
from common.training.run import Engine


class StepDump:
    """The dump of a run, if one was asked for: what is stored of which step, and begun with.

    Attributes:
        step: the one that is stored, None for none. source: the dump that training begins from.
        begins_after: the steps that are done then; None without a source.
    """

    def __init__(self, engine: Engine) -> None:
        """Opens the dump to begin from, if any.

        Args:
            engine: with its settings, subject, device, place and precision.

        Raises:
            UsageError: there is none, it is of another network, or the flags contradict.
        """
        self._engine, settings = engine, engine.settings
        self.source: Optional[Dump] = None
        self.step, self.begins_after = settings.dump_tensors, None
        if settings.dump_from is not None:
            self.source = self._opened_source(settings.dump_from)
            self.step = self.source.subject.step
            self.begins_after = self.step - 1
        if self.step is not None and self.step > settings.steps:
            raise UsageError(
                f"step {self.step} is to be stored, but training ends at step {settings.steps}: "
                "give more steps or a smaller --dump_tensors"
            )

    def _opened_source(self, path: str) -> Dump:
        settings = self._engine.settings
        if settings.resume or self._engine.place.world_size > 1:
            raise UsageError(
                "--dump_from begins with another run's weights and the batch of its first rank: "
                "run it with --ranks 1 and without --resume; of --resume and it give one of them"
            )
        source = find_dump(Path(path), settings.dump_tensors)
        there, here = (
            (about.model, about.task, about.network)
            for about in (source.subject, self.described(source.subject.step))
        )
        if there != here:
            raise UsageError(
                f"--dump_from {path} is of {there}, this run of {here}: give the flags of that run"
            )
        return source

    def tell_if_passed(self, done: int) -> None:
        """Tells where a resumed training has passed the step to be stored."""
        if self.step is None or self.step > done:
            return
        folder = step_folder(Path(self._engine.settings.output_path), self.step)
        stored = "is stored already" if (folder / INDEX).is_file() else "can't be stored any more"
        self._engine.say(f"note: step {self.step} {stored}: training goes on after step {done}")

    def described(self, step: int) -> DumpSubject:
        """What the dump of a step says of this run."""
        engine = self._engine
        return DumpSubject(
            engine.subject.twin_of or engine.subject.model,
            engine.subject.task,
            json.loads(json.dumps(engine.subject.network)),  # to compare with what is read
            engine.device.framework,
            f"{engine.device.kind} ({engine.device.name})",
            engine.precision.as_record(),
            arithmetic_of(engine.precision),
            step,
            engine.place.world_size,
            engine.settings.dump_from or "",
        )

    def store(self, step: int, inputs: Sequence[Tensor], tensors: Sequence[Tensor]) -> None:
        """Writes a step; of one that repeats another run's, its own settings among the inputs."""
        source = None if self.source is None else self.source.index
        folder = Path(self._engine.settings.output_path)
        written = write_dump(folder, self.described(step), inputs, tensors, source)
        self._engine.say(f"step {step}: {len(tensors)} tensors are in {written}")

    def overflowed(self) -> None:
        """Tells that the step's gradients overflowed; raises ZooError where another run's was."""
        told = f"step {self.step} overflowed, so its tensors are not stored: give"
        if self.source is not None:
            raise ZooError(f"{told} a smaller --loss_scale")
        self._engine.say(f"note: {told} a later step to --dump_tensors, or a smaller --loss_scale")


def require_fit(there: Mapping[str, Any], here: Mapping[str, Any], what: str) -> None:
    """Raises UsageError where names or shapes of a dump are not those of this run.

    Args:
        there: arrays by name. here: shapes by name, None for a size that may be any.
    """
    for name in sorted(set(there) | set(here)):
        one = list(there[name].shape) if name in there else None
        other = list(here[name]) if name in here else None
        if one is not None and other is not None and len(one) == len(other):
            other = [size or stored for size, stored in zip(other, one)]
        if one != other:
            raise UsageError(
                f"--dump_from has the {what} {name} as {one}, this run as {other}: give the flags "
                "of that run, --batch_size included"
            )
