"""What a finished training shows of itself: an animation of its pictures, a curve of its score."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from common.evidence.figures.figure import pixel_figure, pixels, read_png, save_gif, save_png
from common.evidence.figures.line_chart import Curve, line_chart
from common.evidence.figures.sheet import GAP, MARGIN, blank, text_size, write
from common.runs.events import FILE_NAME, effective_events
from common.training.pictures import FOLDER


def show_training(folder: Path, picture: str, score: str) -> List[Path]:
    """Writes pictures/training.gif and pictures/curve.png of a run folder, as far as there is data.

    Args:
        picture: the name of the step pictures, such as "slots".
        score: the metric of the curve, such as "fg_ari".

    Returns:
        What was written.
    """
    written, pictures = [], Path(folder) / FOLDER
    steps = pictures_of_training(pictures, picture)
    if len(steps) > 1:
        written.append(pictures / "training.gif")
        save_gif(written[-1], frames(steps))
    curve = score_curve(effective_events(Path(folder) / "rank_0" / FILE_NAME), score)
    if len(curve.across) > 1:
        pictures.mkdir(exist_ok=True)
        written.append(pictures / "curve.png")
        title = f"{score} on the validation split"
        save_png(written[-1], line_chart([curve], title, score, "training step", False))
    return written


def pictures_of_training(folder: Path, name: str) -> List[Tuple[int, Path]]:
    """Finds the pictures that step_picture_name named, as (step, path) by step."""
    pattern = re.compile(re.escape(name) + r"_(\d{8,})\.png")
    found = [(pattern.fullmatch(path.name), path) for path in Path(folder).glob("*.png")]
    return sorted((int(match.group(1)), path) for match, path in found if match)


def frames(pictures: Sequence[Tuple[int, Path]]) -> List[np.ndarray]:
    """Pictures of growing steps as frames, each with its step below.

    Those of another size than the last one, from a run with other settings, are left out.
    """
    read = [(step, read_png(path)) for step, path in pictures]
    size = read[-1][1].shape
    return [labelled(picture, step) for step, picture in read if picture.shape == size]


def labelled(picture: np.ndarray, step: int) -> np.ndarray:
    """Writes the step below a picture."""
    text = f"step {step:,}"
    # The line alone is drawn: a whole picture takes seconds.
    figure, axes = pixel_figure(blank(GAP + text_size(text)[1] + MARGIN, picture.shape[1]))
    write(axes, MARGIN, GAP, text)
    return np.concatenate([picture, pixels(figure)])


def score_curve(events: Sequence[Dict[str, Any]], score: str) -> Curve:
    """The metric of every validation on the way, by step."""
    points = [
        (event["step"], float(event["metrics"][score]))
        for event in events
        if event["event"] == "evaluation"
        and event["role"] == "progress"
        and score in event["metrics"]
    ]
    return Curve(score, [step for step, _ in points], [value for _, value in points])
