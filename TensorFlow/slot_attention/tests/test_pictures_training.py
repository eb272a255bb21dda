"""The animated GIF over training, and the curve of its score."""

from __future__ import annotations

import numpy as np
from PIL import Image

from common.evidence.figures.colors import PALETTE
from common.evidence.figures.figure import save_png
from common.runs.events import RunLog
from common.training.pictures import step_picture_name
from slot_attention.pictures.training import (
    frames,
    labelled,
    pictures_of_training,
    score_curve,
    show_training,
)


def save_steps(folder, colors, size=(40, 90)):
    """A picture of one colour for each step."""
    folder.mkdir(exist_ok=True)
    for step, color in colors.items():
        save_png(folder / step_picture_name("slots", step), np.full(size + (3,), color, np.uint8))


def test_pictures_are_found_by_step_and_by_name(tmp_path):
    save_steps(tmp_path, dict.fromkeys([2000, 100, 123456789], 9))
    save_png(tmp_path / "slots_test_00000100.png", np.zeros((4, 4, 3), np.uint8))
    assert [step for step, _ in pictures_of_training(tmp_path, "slots")] == [100, 2000, 123456789]


def test_an_animation_has_a_frame_per_picture_in_its_own_colours(tmp_path):
    colors = {1: (10, 20, 30), 2: (200, 30, 40), 3: (30, 180, 60)}
    save_steps(tmp_path / "pictures", colors)
    RunLog(tmp_path / "rank_0").close()
    (path,) = show_training(tmp_path, "slots", "fg_ari")
    assert path.name == "training.gif"
    with Image.open(str(path)) as movie:
        for frame, color in enumerate(colors.values()):
            movie.seek(frame)
            assert movie.convert("RGB").getpixel((5, 5)) == color
        assert movie.n_frames == 3


def test_pictures_of_another_size_are_left_out(tmp_path):
    save_steps(tmp_path, {0: 1}, size=(20, 90))
    save_steps(tmp_path, {1000: 1, 2000: 1})
    assert len(frames(pictures_of_training(tmp_path, "slots"))) == 2


def test_bar_is_as_long_as_the_share_of_the_last_step():
    def length(step):
        bar = labelled(np.full((30, 224, 3), 255, np.uint8), step, 1000)[30]
        return int((bar == PALETTE[0]).all(axis=1).sum())

    assert [length(step) for step in (0, 500, 1000)] == [0, 100, 200]


def test_the_curve_is_that_of_validations_on_the_way(tmp_path):
    events = [
        {"event": "evaluation", "role": role, "step": step, "metrics": {"fg_ari": step / 10}}
        for step, role in ((1, "progress"), (2, "progress"), (2, "final"))
    ] + [{"event": "step", "step": 1}]
    curve = score_curve(events, "fg_ari")
    assert (curve.across, curve.values) == ([1, 2], [0.1, 0.2])
    with RunLog(tmp_path / "rank_0") as log:
        for event in events[:3]:
            log.event(**{("kind" if key == "event" else key): event[key] for key in event})
    assert [path.name for path in show_training(tmp_path, "slots", "fg_ari")] == ["curve.png"]
