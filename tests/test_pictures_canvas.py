"""Pillow, letters and PNG files, as all networks' pictures use them."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from common.core.errors import ZooError
from common.evidence.figures import canvas

pytest.importorskip("PIL.Image", reason="pictures need Pillow")


def test_without_pillow_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ZooError, match="pip install pillow") as caught:
        canvas.require_pillow()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("height, scale", [(32, 4), (35, 3), (64, 2), (128, 1), (320, 1)])
def test_images_are_enlarged_to_at_most_128_pixels(height, scale):
    assert canvas.whole_scale(height) == scale


def test_png_comes_back_as_it_was(tmp_path):
    picture = np.random.RandomState(0).randint(0, 256, (5, 7, 3)).astype(np.uint8)
    canvas.save_png(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(canvas.read_png(tmp_path / "a.png"), picture)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_png_bytes_are_a_png():
    assert canvas.png_bytes(canvas.blank(2, 2)).startswith(b"\x89PNG")


def test_a_file_that_is_no_picture_is_named(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(ZooError, match="a.png can't be read as a picture"):
        canvas.read_png(tmp_path / "a.png")


def test_titles_break_between_words():
    font = canvas.letters()
    wide = canvas.text_size("true masks", font)[0]
    assert canvas.wrapped("true masks", wide, font) == "true masks"
    assert canvas.wrapped("true masks", wide - 1, font) == "true\nmasks"
