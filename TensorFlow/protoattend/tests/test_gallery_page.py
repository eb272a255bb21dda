"""The HTML gallery: whole in one file, safe with any text, readable without its script."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import re
from html.parser import HTMLParser
from typing import Dict, List, Optional, Tuple

import numpy as np
import pytest
from PIL import Image
from proto_decisions import decisions
from proto_explained import CLASSES, explained, plain

from common.core.errors import ZooError
from protoattend.gallery.page import GalleryHeader, gallery_page
from protoattend.metrics.report import CandidateSet
from protoattend.metrics.summary import summary

SHA256 = "0123456789abcdef" * 4
HEADER = GalleryHeader(
    "test images",
    CandidateSet("pets", 1024, SHA256),
    "fedcba9876543210" * 4,
    "2026-01-31 23:59 UTC",
)
WITHOUT_END = {"meta", "img"}
NASTY = """<script>alert("1")</script> & 'two'"""


class Page(HTMLParser):
    """A page as its elements (tag, attributes) and its text; every element must be closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: List[Tuple[str, Dict[str, Optional[str]]]] = []
        self.words: List[str] = []
        self._open: List[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in WITHOUT_END:
            self._open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data) -> None:
        self.words.append(data)

    def all(self, tag: str) -> List[Dict[str, Optional[str]]]:
        return [attributes for found, attributes in self.elements if found == tag]

    @property
    def rows(self) -> List[Dict[str, Optional[str]]]:
        return [row for row in self.all("tr") if "data-rank" in row]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(*decisions, classes=CLASSES, header=HEADER) -> Page:
    return Page(gallery_page(decisions, classes, header))


def pixels(image: Dict[str, Optional[str]]) -> np.ndarray:
    """The content of an image that is inside the page."""
    start = "data:image/png;base64,"
    assert image["src"].startswith(start)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(image["src"][len(start) :]))))


def test_nothing_is_loaded_from_elsewhere():
    html = gallery_page([explained("cat", "cat", 1)], CLASSES, HEADER)
    sources = [
        value
        for _, attributes in Page(html).elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data")
    ]
    assert len(sources) == 3
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"https?:|url\(|@import", html)


def test_the_page_forbids_all_scripts_but_its_own():
    html = gallery_page([explained("cat", "cat", 1)], CLASSES, HEADER)
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = Page(html).all("meta")[1]["content"]
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_images_inside_are_the_images_given():
    images = page(explained("cat", "cat", 1)).all("img")
    np.testing.assert_array_equal(pixels(images[0]), plain(200)[..., 0])
    np.testing.assert_array_equal(pixels(images[1]), plain(100)[..., 0])
    np.testing.assert_array_equal(
        pixels(page(explained("cat", "cat", 1, channels=3)).all("img")[0]), plain(200, channels=3)
    )


def test_large_images_are_reduced():
    image = page(explained("cat", "cat", 1, side=300, channels=3)).all("img")[0]
    assert pixels(image).shape == (128, 128, 3)


def test_the_script_finds_what_it_sorts_and_filters():
    rows = page(explained("cat", "cat", 0.25), explained("dog", "cat", 0.5)).rows
    assert [(row["data-given"], row["data-rank"], row["data-predicted"]) for row in rows] == [
        ("1", "0", "dog"),
        ("0", "1", "cat"),
    ]
    assert [float(row["data-confidence"]) for row in rows] == [0.5, 0.25]


def test_without_the_script_wrong_decisions_come_first_and_controls_are_hidden():
    found = page(
        explained("cat", "cat", 1), explained("cat", "dog", 0.5), explained("cat", None, 0.5)
    )
    assert [row["class"] for row in found.rows] == ["wrong", "unknown", "right"]
    (controls,) = [element for element in found.all("div") if element.get("id") == "controls"]
    assert "hidden" in controls
    assert not any("hidden" in row for row in found.rows)


def test_the_filter_has_the_classes_that_were_decided_for():
    found = page(explained("owl", "owl", 1), explained("cat", "owl", 1), explained("owl", None, 1))
    assert [option["value"] for option in found.all("option")][-3:] == ["", "cat", "owl"]
    assert "owl (2)" in found.text


def test_a_decision_is_told_in_words():
    text = page(explained("cat", "dog", 0.75, name="pets/7.png")).text
    for words in (
        "pets/7.png",
        "wrong, label dog",
        "confidence 75 %",
        "train row 1000",
        "train row 1001",
    ):
        assert words in text


def test_the_rest_of_the_weight_is_told():
    assert "others 10 %" in page(explained("cat", "cat", 1, prototypes=[("cat", 0.9)])).text
    assert "others" not in page(explained("cat", "cat", 1, prototypes=[("cat", 1)])).text


def test_the_origin_is_told():
    html = gallery_page([explained("cat", "cat", 1)], CLASSES, HEADER)
    assert SHA256 in html
    text = Page(html).text
    for words in (
        "test images",
        "1,024 of pets",
        "fedcba987654 ",
        "2026-01-31 23:59 UTC",
        "1: 1 right",
    ):
        assert words in text
    assert HEADER.checkpoint_sha256 not in html


def test_the_head_tells_all_decisions_beside_those_shown():
    whole = summary(decisions([0, 1, 2, 3], [0, 1, 1, 3], [0.5] * 4))
    text = page(explained("dog", "owl", 0.5), header=dataclasses.replace(HEADER, whole=whole)).text
    for words in ("4: 3 right, 1 wrong", "accuracy 75 %", "shown here 1: 1 wrong"):
        assert words in text


def test_a_prototype_of_another_class_is_told_by_a_sign_too():
    assert "\u2260 dog" in page(explained("cat", "cat", 1)).text
    assert "\u2260 cat" not in page(explained("cat", "cat", 1)).text


def test_any_text_stays_text():
    header = dataclasses.replace(
        HEADER, inputs=NASTY, date=NASTY, candidates=CandidateSet(NASTY, 1, NASTY)
    )
    found = page(
        explained(NASTY, NASTY + "!", 0.5, name=NASTY, prototypes=[(NASTY, 0.5)]),
        classes=[NASTY],
        header=header,
    )
    assert len(found.all("script")) == 1
    assert found.rows[0]["data-predicted"] == NASTY
    assert found.all("option")[-1]["value"] == NASTY
    assert found.all("img")[1]["alt"] == "prototype " + NASTY
    assert found.text.count("alert(") >= 7


def test_images_have_a_text_and_selections_a_label():
    found = page(explained("cat", "cat", 1, name="a.png"))
    assert [image["alt"] for image in found.all("img")] == [
        "input a.png",
        "prototype cat",
        "prototype dog",
    ]
    assert {label["for"] for label in found.all("label")} == {
        select["id"] for select in found.all("select")
    }


def test_the_same_decisions_give_the_same_page():
    given = [explained("cat", "cat", 1), explained("dog", "cat", 0.5)]
    assert gallery_page(given, CLASSES, HEADER) == gallery_page(given, CLASSES, HEADER)


def test_no_decisions_are_one_clear_line():
    with pytest.raises(ZooError, match="no decisions for the gallery"):
        page()
