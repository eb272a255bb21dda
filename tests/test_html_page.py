"""What all pages share: whole in one file, and closed to everything foreign."""

from __future__ import annotations

import base64
import hashlib

import pytest

from common.evidence.html_page.document import breakable, document, facts, policy
from common.evidence.html_page.images import image_element, kind_of_image


def test_only_the_given_script_may_run_and_nothing_may_be_loaded() -> None:
    digest = base64.b64encode(hashlib.sha256(b"let a = 1").digest()).decode()
    assert policy("let a = 1") == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )


def test_the_script_is_the_one_that_the_policy_allows() -> None:
    html = document("t", "b { }", "let a = 1", ["<p>x</p>"])
    assert policy("let a = 1") in html
    assert "<script>let a = 1</script>" in html


def test_a_title_stays_text() -> None:
    assert "<title>&lt;b&gt;&amp;</title>" in document("<b>&", "", "", [])


def test_facts_are_a_list_of_names_and_values() -> None:
    assert facts([("a", "1")]) == ['<dl class="facts">', "<div><dt>a</dt><dd>1</dd></div>", "</dl>"]


def test_a_checksum_may_go_on_in_a_next_line() -> None:
    assert breakable("0" * 20) == "0" * 16 + "<wbr>" + "0" * 4


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\x89PNG\r\n\x1a\nrest", "image/png"),
        (b"GIF89a", "image/gif"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"<svg onload=alert(1)>", None),
        (b"", None),
    ],
)
def test_a_picture_is_known_by_its_content(start: bytes, kind) -> None:
    assert kind_of_image(start) == kind


def test_an_image_is_inside_its_element() -> None:
    assert image_element(b"GIF89a", "image/gif", '"x" & y', 2, 3) == (
        '<img src="data:image/gif;base64,R0lGODlh" alt="&quot;x&quot; &amp; y" '
        'width="2" height="3">'
    )
