"""Draws what slots see, in new scenes or in own images: slot_attention_torch.predict --help."""

from __future__ import annotations

import contextlib
from typing import Any, Iterator, Optional, Sequence

from common.core.command_line import run_program
from slot_attention.options import SceneOptions
from slot_attention.predict import ScenesToDraw, predict
from slot_attention_torch.options import PACKAGE, parse_options


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Writes a picture for each image, or one of all scenes; returns the exit code."""
    return predict(PACKAGE, parse_options, _opened, argv)


@contextlib.contextmanager
def _opened(options: SceneOptions, found: Any, source: Any) -> Iterator[ScenesToDraw]:
    from slot_attention.tasks import FIGURES
    from slot_attention_torch.batches import ScenePass
    from slot_attention_torch.session import open_session

    with open_session(options, found, source) as session:
        figures = FIGURES[options.task]
        scenes = ScenePass(figures, session, "test")
        yield ScenesToDraw(session, figures, scenes.first, scenes.run)


if __name__ == "__main__":
    run_program(main)
