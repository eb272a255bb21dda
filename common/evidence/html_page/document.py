"""A page that is whole in one file and forbids everything that is not in it."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import List, Sequence


def document(title: str, style: str, script: str, body: Sequence[str]) -> str:
    """The whole page; its policy allows no script but the one given and no connection at all.

    Args:
        title: plain text, escaped here.
        style, script: of this project, put in as they are; the script runs after the body.
        body: lines of HTML in which everything foreign is escaped.
    """
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            *_head(title, style, script),
            "<body>",
            *body,
            f"<script>{script}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _head(title: str, style: str, script: str) -> List[str]:
    return [
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy(script)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>{style}</style>",
        "</head>",
    ]


def policy(script: str) -> str:
    """The Content-Security-Policy: pictures and styles of the page itself, this script alone."""
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )


def facts(pairs: Sequence[Sequence[str]]) -> List[str]:
    """A list of names and values, both HTML already."""
    return [
        '<dl class="facts">',
        *("<div><dt>{}</dt><dd>{}</dd></div>".format(*pair) for pair in pairs),
        "</dl>",
    ]


def breakable(digest: str) -> str:
    """A long checksum as HTML that may go on in a next line."""
    return "<wbr>".join(escape(digest[start : start + 16]) for start in range(0, len(digest), 16))
