"""What a finished training shows of itself: an animation of its pictures, a curve of its score."""

from __future__ import annotations

import re
from pathlib import Path
from typing import List, Tuple

import numpy as np

from common.evidence.figures.figure import pixel_figure, pixels, read_png, save_gif, save_png
from common.evidence.figures.line_chart import Curve, line_chart
from common.evidence.figures.sheet import GAP, MARGIN, blank, text_size, write
from common.runs.events import FILE_NAME, effective_events
from common.training.pictures import FOLDER, drawn_or_told


def show_training(folder: Path, picture: str, score: str) -> List[Path]:
    """Writes pictures/training.gif and pictures/curve.png of a run folder, as far as there is data.

    Args:
        picture: the name of the step pictures, such as "slots".
        score: the metric of the curve, such as "fg_ari".

    Returns:
        What was written.
    """
    written, pictures = [], Path(folder) / FOLDER
    steps = step_pictures(pictures, picture)
    if len(steps) > 1:
        written.append(pictures / "training.gif")
        save_gif(written[-1], [_labelled(image, step) for step, image in steps])
    progress = [
        (event["step"], float(event["metrics"][score]))
        for event in effective_events(Path(folder) / "rank_0" / FILE_NAME)
        if event["event"] == "evaluation"
        and event["role"] == "progress"
        and score in event["metrics"]
    ]
    if len(progress) > 1:
        pictures.mkdir(exist_ok=True)
        written.append(pictures / "curve.png")
        title = f"{score} on the validation split"
        curve = Curve(score, *map(list, zip(*progress)))
        save_png(written[-1], line_chart([curve], title, score, "training step", False))
    return written


def tell_pictures(folder: Path, picture: str, score: str) -> None:
    """Writes what the finished training shows of itself, and says where it is."""
    written = drawn_or_told("training.gif", lambda: show_training(folder, picture, score), print)
    for path in written or ():
        print(f"picture: {path}", flush=True)


def step_pictures(folder: Path, name: str) -> List[Tuple[int, np.ndarray]]:
    """The pictures that step_picture_name named, by step.

    Those of another size than the last one, from a run with other settings, are left out.
    """
    pattern = re.compile(re.escape(name) + r"_(\d{8,})\.png")
    matches = [(pattern.fullmatch(path.name), path) for path in folder.glob("*.png")]
    paths = sorted((int(match.group(1)), path) for match, path in matches if match)
    read = [(step, read_png(path)) for step, path in paths]
    return [(step, image) for step, image in read if image.shape == read[-1][1].shape]


def _labelled(picture: np.ndarray, step: int) -> np.ndarray:
    """Writes the step below a picture."""
    text = f"step {step:,}"
    # The line alone is drawn: a whole picture takes seconds.
    figure, axes = pixel_figure(blank(GAP + text_size(text)[1] + MARGIN, picture.shape[1]))
    write(axes, MARGIN, GAP, text)
    return np.concatenate([picture, pixels(figure)])
