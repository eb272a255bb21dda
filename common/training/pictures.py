"""Pictures beside a run: what can't be drawn is told and left out, and never ends the run."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Mapping, Optional, TypeVar

from common.core.errors import first_line
from common.core.files import make_folder, write_atomically
from common.runs.events import RunLog

FOLDER = "pictures"
Say = Callable[[str], None]
Drawn = TypeVar("Drawn")


def drawn_or_told(name: str, draw: Callable[[], Drawn], say: Say) -> Optional[Drawn]:
    """What `draw` returns; None where it fails for whatever reason, which is told in one line."""
    try:
        return draw()
    except Exception as error:
        say(f"note: {name} is left out, it can't be drawn: {first_line(error)}")
        return None


def step_picture_name(name: str, step: int) -> str:
    """The file name of a picture of one training step; sorted by name they are sorted by step."""
    return f"{name}_{step:08d}.png"


class StepPictures:
    """The pictures that a training makes on its way, in its folder and in TensorBoard.

    After the first failure, which is told, no more are tried.
    """

    def __init__(self, output_path: Path, log: RunLog, say: Say) -> None:
        self._folder, self._log, self._say = Path(output_path) / FOLDER, log, say
        self._failed = False

    def write(self, step: int, draw: Callable[[], Mapping[str, bytes]]) -> None:
        """Writes what `draw` returns: PNGs by name."""
        if self._failed:
            return

        def drawn() -> bool:
            pictures = draw()
            for name, png in pictures.items():
                folder = make_folder(self._folder, "--output_path")
                write_atomically(folder / step_picture_name(name, step), png)
            self._log.pictures(step, pictures)
            return True

        self._failed = not drawn_or_told(f"{FOLDER}/ of step {step} and later", drawn, self._say)
