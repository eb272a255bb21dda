"""What all pages share: whole in one file, closed to everything foreign, foreign text escaped."""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from common.evidence.html_page.render import image_source, kind_of_image, render

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
