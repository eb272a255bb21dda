"""What a finished training shows of itself: an animation of its pictures, a curve of its score."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Sequence

from common.evidence.figures.canvas import save_png
from common.evidence.figures.curves import Curve, curve_picture
from common.runs.events import FILE_NAME, effective_events
from slot_attention.pictures.animation import pictures_of_training, save_animation


def show_training(folder: Path, picture: str, score: str) -> List[Path]:
    """Writes pictures/training.gif and pictures/curve.png of a run folder, as far as there is data.

    Args:
        picture: the name of the step pictures, such as "slots".
        score: the metric of the curve, such as "fg_ari".

    Returns:
        What was written.
    """
    written, pictures = [], Path(folder) / "pictures"
    steps = pictures_of_training(pictures, picture)
    if len(steps) > 1:
        written.append(pictures / "training.gif")
        save_animation(written[-1], steps)
    curve = score_curve(effective_events(Path(folder) / "rank_0" / FILE_NAME), score)
    if len(curve.across) > 1:
        pictures.mkdir(exist_ok=True)
        written.append(pictures / "curve.png")
        save_png(written[-1], curve_picture([curve], f"{score} on validation"))
    return written


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
