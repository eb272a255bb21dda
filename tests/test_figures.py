"""Picture files: what is drawn, with what words, and that no text, size or series fails."""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError
from PIL import Image

from common.core.errors import ZooError
from common.evidence.figures import figure as figures
from common.evidence.figures.colors import PALETTE, palette_color, web_color
from common.evidence.figures.figure import (
    pixel_figure,
    pixels,
    png_bytes,
    read_png,
    save_gif,
    save_png,
)
from common.evidence.figures.line_chart import Curve, line_chart
from common.evidence.figures.sheet import Column, Tile, blank, fitted, sheet, text_size, wrapped
from common.evidence.html_page.render import render

ODD_TEXTS = ["飞机", "a_{b", "$", "$x$ and \\frac{", "_hidden", "\udcff", "\x00\x1b[31m", "🙂", ""]


def test_a_chart_holds_its_values_under_their_names_on_titled_axes() -> None:
    figure = line_chart([Curve("a", [0, 10], [1.0, 0.5])], "Loss", up="loss (nats)")
    (axes,) = figure.axes
    (line,) = axes.get_lines()
    np.testing.assert_array_equal(line.get_xydata(), [[0, 1], [10, 0.5]])
    assert line.get_color() == web_color(palette_color(0))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "loss (nats)")
    assert figure._suptitle.get_text() == "Loss"


def test_a_gap_stays_a_gap_a_value_alone_is_a_point_and_the_legend_lies_off_the_data() -> None:
    values = [1.0, np.nan, 3.0, np.inf, 5.0, 6.0]
    band = Curve("b", [0, 1], [2, 2], [1, 1], [3, 4])
    figure = line_chart([Curve("a", range(6), values), band], "t", up="loss")
    pixels(figure)
    (axes,) = figure.axes
    line, points, _ = axes.get_lines()
    np.testing.assert_array_equal(line.get_ydata(), [1, np.nan, 3, np.nan, 5, 6])
    np.testing.assert_array_equal(points.get_xydata(), [[0, 1], [2, 3]])
    (drawn,) = axes.collections
    assert drawn.get_paths()[0].get_extents().get_points().tolist() == [[0, 1], [1, 4]]
    legend = axes.get_legend().get_window_extent()
    assert legend.y0 >= axes.get_window_extent().y1 - 1


@pytest.mark.parametrize(
    "values", [np.full(3000, 1e-4), np.zeros(3000), [], [np.nan, np.nan], [1e300, -1e300], [7.0]]
)
def test_every_series_can_be_drawn(values) -> None:
    chart = line_chart([Curve("a", np.arange(len(values)), values)], "t", up="x")
    assert pixels(chart).shape == (480, 960, 3)


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_every_text_can_be_drawn_without_a_warning(text: str) -> None:
    tile = Tile(blank(8, 8), caption=text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chart = line_chart([Curve(text, [0, 1], [0, 1])], text, up=text, across=text)
        assert pixels(chart).any()
        assert len(chart.axes[0].get_legend().get_texts()) == 1
        assert pixels(sheet([[tile]], [Column(text)], [text], title=text)).any()


def test_letters_that_dejavu_lacks_come_from_an_installed_font_or_are_question_marks(
    monkeypatch,
) -> None:
    shown, font = figures.drawable("飞机")
    assert (shown == "??") is font.endswith("DejaVuSans.ttf")
    monkeypatch.setattr(figures, "_installed", lambda: [])
    figures.drawable.cache_clear()
    assert figures.drawable("飞机 1")[0] == "?? 1"
    figures.drawable.cache_clear()


def test_a_sheet_has_tiles_enlarged_by_whole_factors_or_reduced_and_their_words() -> None:
    image = np.random.RandomState(0).randint(0, 256, (32, 32, 3)).astype(np.uint8)
    rows = [[Tile(image, caption="cat 98 %"), None]]
    columns = [Column("input"), Column("slot 1", PALETTE[0])]
    figure = sheet(rows, columns, ["image 1"], title="Slots")
    words = sorted(text.get_text() for text in figure.axes[0].texts)
    assert words == ["Slots", "cat 98 %", "image 1", "input", "slot 1"]
    np.testing.assert_array_equal(fitted(image), image.repeat(4, axis=0).repeat(4, axis=1))
    assert fitted(np.zeros((256, 512, 1), np.uint8)).shape == (64, 128, 3)
    wide = text_size("true masks")[0]
    assert wrapped("true masks", wide - 1) == "true\nmasks"
    assert all(text_size(line)[0] <= 60 for line in wrapped("a" * 99, 60).split("\n"))


def test_png_comes_back_as_it_was(tmp_path) -> None:
    picture = np.random.RandomState(0).randint(0, 256, (5, 7, 3)).astype(np.uint8)
    save_png(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(read_png(tmp_path / "a.png"), picture)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert png_bytes(picture[..., 0]).startswith(b"\x89PNG")
    np.testing.assert_array_equal(pixels(pixel_figure(picture)[0]), picture)
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(ZooError, match="a.png can't be read as a picture"):
        read_png(tmp_path / "a.png")


def test_frames_of_an_animation_keep_their_colours(tmp_path) -> None:
    frames = [np.full((20, 30, 3), color, np.uint8) for color in PALETTE]
    noise = np.random.RandomState(0).randint(0, 256, (40, 30, 3)).astype(np.uint8)
    frames = [np.concatenate([frame, blank(20, 30)]) for frame in frames] + [noise]
    save_gif(tmp_path / "a.gif", frames)
    with Image.open(str(tmp_path / "a.gif")) as animation:
        assert animation.n_frames == len(frames)
        for number, frame in enumerate(frames[:-1]):
            animation.seek(number)
            np.testing.assert_array_equal(np.array(animation.convert("RGB")), frame)
            assert animation.info["duration"] == 400
        animation.seek(len(frames) - 1)
        far = np.abs(np.array(animation.convert("RGB")).astype(int) - noise)
        assert far.mean() < 16 and animation.info["duration"] == 2500


# --- What all pages share ---


TEMPLATE = '{% extends "base.html" %}{% block body %}<p>{{ word }}</p>{% endblock %}'


def test_a_page_escapes_foreign_words_and_runs_its_own_scripts_alone(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(TEMPLATE)
    (tmp_path / "page.js").write_text("let a = 1 < 2 && 'b'")
    (tmp_path / "page.css").write_text("a > b { color: red }")
    files = {"styles": ["page.css"], "scripts": ["page.js"], "libraries": ["var L"]}
    page = render(tmp_path, "page.html", "<b>&", **files, word="<script>'")
    (policy,) = re.findall('Security-Policy" content="([^"]*)"', page)
    scripts = re.findall("<script>(.*?)</script>", page)
    assert scripts == ["var L", "let a = 1 < 2 && 'b'"]
    digests = [hashlib.sha256(script.encode()).digest() for script in scripts]
    allowed = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
    assert policy.startswith("default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; ")
    assert policy.endswith("script-src " + " ".join(allowed))
    assert "<title>&lt;b&gt;&amp;</title>" in page and "<p>&lt;script&gt;&#39;</p>" in page
    assert "a > b { color: red }" in page and "prefers-color-scheme: dark" in page
    with pytest.raises(UndefinedError):
        render(tmp_path, "page.html", "t")


def test_every_template_is_in_a_wheel() -> None:
    root = Path(__file__).parents[1]
    (line,) = re.findall(r'^"\*" = \[(.*)\]', (root / "pyproject.toml").read_text(), re.MULTILINE)
    patterns = re.findall('"([^"]*)"', line)
    templates = [
        path
        for folder in ("common", "PyTorch", "TensorFlow")
        for path in (root / folder).rglob("*.*")
        if path.parent.name == "templates" or path.suffix in (".html", ".css", ".js")
        if "output" not in path.parts
    ]
    assert len(templates) > 8
    for path in templates:
        package = next(parent for parent in path.parents if (parent / "__init__.py").exists())
        name = str(path.relative_to(package))
        assert any(fnmatch.fnmatch(name, p) and name.count("/") == p.count("/") for p in patterns)
