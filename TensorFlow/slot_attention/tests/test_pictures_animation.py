"""The animated GIF over training."""

from __future__ import annotations

import numpy as np
import pytest

from common.core.errors import ZooError
from common.evidence.figures.canvas import PALETTE, save_png
from slot_attention.pictures.animation import (
    LAST_MILLISECONDS,
    MILLISECONDS,
    labelled,
    picture_name,
    pictures_of_training,
    save_animation,
)

Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")


def save_steps(folder, steps, size=(40, 90)):
    for step in steps:
        save_png(
            folder / picture_name("slots", step),
            np.full(size + (3,), 50 + step // 100 % 100, np.uint8),
        )


def test_pictures_are_found_by_step_and_by_name(tmp_path):
    save_steps(tmp_path, [2000, 100, 123456789])
    save_png(tmp_path / "slots_test_00000100.png", np.zeros((4, 4, 3), np.uint8))
    assert [step for step, _ in pictures_of_training(tmp_path, "slots")] == [100, 2000, 123456789]


def test_animation_has_a_frame_per_picture_and_never_ends(tmp_path):
    save_steps(tmp_path, [0, 1000, 2000])
    target = tmp_path / "training.gif"
    assert save_animation(target, pictures_of_training(tmp_path, "slots")) == 3
    with Image.open(str(target)) as movie:
        assert (movie.n_frames, movie.info["loop"]) == (3, 0)
        shades, durations = [], []
        for frame in range(3):
            movie.seek(frame)
            shades.append(movie.convert("RGB").getpixel((5, 5))[0])
            durations.append(movie.info["duration"])
    assert durations == [MILLISECONDS, MILLISECONDS, LAST_MILLISECONDS]
    assert shades[2] == pytest.approx(70, abs=3)  # Pillow looks colours up in steps of 4


def test_paper_stays_white(tmp_path):
    for step in (0, 1):
        noise = np.random.RandomState(step).randint(200, 256, (64, 90, 3)).astype(np.uint8)
        save_png(tmp_path / picture_name("slots", step), noise)
    save_animation(tmp_path / "a.gif", pictures_of_training(tmp_path, "slots"))
    with Image.open(str(tmp_path / "a.gif")) as movie:
        assert movie.convert("RGB").getpixel((89, movie.size[1] - 1)) == (255, 255, 255)


def test_pictures_of_another_size_are_left_out(tmp_path):
    save_steps(tmp_path, [0], size=(20, 90))
    save_steps(tmp_path, [1000, 2000])
    assert save_animation(tmp_path / "a.gif", pictures_of_training(tmp_path, "slots")) == 2


def test_bar_is_as_long_as_the_share_of_the_last_step():
    def length(step):
        bar = labelled(np.full((30, 224, 3), 255, np.uint8), step, 1000)[30]
        return int((bar == PALETTE[0]).all(axis=1).sum())

    assert [length(step) for step in (0, 500, 1000)] == [0, 100, 200]


def test_no_pictures_is_one_clear_line(tmp_path):
    with pytest.raises(ZooError, match="no pictures of training steps"):
        save_animation(tmp_path / "a.gif", [])
    assert not (tmp_path / "a.gif").exists()
