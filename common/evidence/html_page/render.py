"""Pages that are whole in one file and forbid everything that is not in it.

    render(FOLDER, "report.html", "title", styles=["report.css"], scripts=["report.js"], runs=runs)

A template begins with `{% extends "base.html" %}` and fills `{% block body %}`. All values are
escaped. A page begins with base.css: colours for light and dark, letters, header, facts. Texts for
the terminal come from templates too, by `environment_of`.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional, Sequence

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

BASE = Path(__file__).parent / "templates"
IMAGE_KINDS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF8": "image/gif",
    b"\xff\xd8\xff": "image/jpeg",
    b"RIFF": "image/webp",
}


def render(
    folder: Path,
    template: str,
    title: str,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    libraries: Sequence[str] = (),
    **data: Any,
) -> str:
    """Fills a template of a folder; the page's policy allows its own pictures, styles and the given
    scripts, and no connection. `image_source` makes an image file's content the src of an img.

    Args:
        title: plain text.
        styles, scripts: files of the folder, put in as they are; scripts run after the body.
        libraries: texts of scripts that run before them.
    """
    sources = list(libraries) + [(folder / name).read_text(encoding="utf-8") for name in scripts]
    style_files = [BASE / "base.css"] + [folder / name for name in styles]
    environment = environment_of(folder)
    environment.filters["image_source"] = image_source
    digests = [
        base64.b64encode(hashlib.sha256(source.encode("utf-8")).digest()).decode("ascii")
        for source in sources
    ]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return environment.get_template(template).render(
        title=title,
        style=Markup("\n".join(path.read_text(encoding="utf-8") for path in style_files)),
        scripts=[Markup(source) for source in sources],
        policy=Markup(
            "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
            f"script-src {allowed}"
        ),
        **data,
    )


@lru_cache(maxsize=None)
def environment_of(folder: Path) -> Environment:
    """The templates of a folder: .html and .xml escape every value, text files none."""
    return Environment(
        loader=FileSystemLoader([str(folder), str(BASE)]),
        autoescape=select_autoescape(("html", "xml")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def kind_of_image(content: bytes) -> Optional[str]:
    """The media type by a file's first bytes, whatever its name says; None for other files."""
    return next((kind for start, kind in IMAGE_KINDS.items() if content.startswith(start)), None)


def image_source(content: bytes) -> str:
    """The content of an image file as the src of an img element."""
    kind = kind_of_image(content) or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
