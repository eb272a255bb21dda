"""Images inside a page."""

from __future__ import annotations

import base64
from html import escape
from typing import Optional

IMAGE_KINDS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF8": "image/gif",
    b"\xff\xd8\xff": "image/jpeg",
}


def kind_of_image(content: bytes) -> Optional[str]:
    """The media type by a file's first bytes, whatever its name says; None for other files."""
    return next((kind for start, kind in IMAGE_KINDS.items() if content.startswith(start)), None)


def image_element(content: bytes, kind: str, text: str, width: int = 0, height: int = 0) -> str:
    """An img element that holds its file.

    Args:
        text: what the picture shows, for who cannot see it.
        width, height: in pixels; 0 leaves them to the browser.
    """
    size = f' width="{width}" height="{height}"' if width and height else ""
    return '<img src="data:{};base64,{}" alt="{}"{}>'.format(
        kind, base64.b64encode(content).decode("ascii"), escape(text), size
    )
