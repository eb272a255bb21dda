"""What all pages share: whole in one file, closed to everything foreign, foreign text escaped."""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from common.evidence.html_page.render import breakable, image_source, kind_of_image, render

TEMPLATE = '{% extends "base.html" %}{% block body %}<p>{{ word }}</p>{% endblock %}'


@pytest.fixture()
def folder(tmp_path: Path) -> Path:
    (tmp_path / "page.html").write_text(TEMPLATE)
    (tmp_path / "page.js").write_text("let a = 1 < 2 && 'b'")
    (tmp_path / "page.css").write_text("a > b { color: red }")
    return tmp_path


def test_only_the_given_scripts_may_run_and_nothing_may_be_loaded(folder: Path) -> None:
    page = render(folder, "page.html", "t", scripts=["page.js"], libraries=["var L"], word="")
    (policy,) = re.findall('Security-Policy" content="([^"]*)"', page)
    scripts = re.findall("<script>(.*?)</script>", page)
    assert scripts == ["var L", "let a = 1 < 2 && 'b'"]
    allowed = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    ]
    assert policy == (
        "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
        "script-src " + " ".join(allowed)
    )


def test_foreign_words_stay_text_and_own_styles_are_whole(folder: Path) -> None:
    page = render(folder, "page.html", "<b>&", styles=["page.css"], word="<script>'")
    assert "<title>&lt;b&gt;&amp;</title>" in page
    assert "<p>&lt;script&gt;&#39;</p>" in page
    assert "a > b { color: red }" in page and "prefers-color-scheme: dark" in page
    assert "<script>" not in page


def test_a_word_that_is_not_given_is_an_error(folder: Path) -> None:
    with pytest.raises(UndefinedError):
        render(folder, "page.html", "t")


def test_a_checksum_may_go_on_in_a_next_line() -> None:
    assert breakable("0" * 20) == "0" * 16 + "<wbr>" + "0" * 4


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\x89PNG\r\n\x1a\nrest", "image/png"),
        (b"GIF89a", "image/gif"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBP", "image/webp"),
        (b"<svg onload=alert(1)>", None),
        (b"", None),
    ],
)
def test_a_picture_is_known_by_its_content(start: bytes, kind) -> None:
    assert kind_of_image(start) == kind
    if kind is not None:
        assert image_source(start).startswith(f"data:{kind};base64,")


def test_every_template_is_in_a_wheel() -> None:
    root = Path(__file__).parents[1]
    (line,) = re.findall(r'^"\*" = \[(.*)\]', (root / "pyproject.toml").read_text(), re.MULTILINE)
    patterns = re.findall('"([^"]*)"', line)
    templates = [
        path
        for folder in ("common", "PyTorch", "TensorFlow")
        for path in (root / folder).rglob("*.*")
        if path.suffix in (".html", ".css", ".js") and "output" not in path.parts
    ]
    assert len(templates) > 4
    for path in templates:
        package = next(parent for parent in path.parents if (parent / "__init__.py").exists())
        name = str(path.relative_to(package))
        assert any(fnmatch.fnmatch(name, p) and name.count("/") == p.count("/") for p in patterns)
