"""Explained decisions: their words, pictures, curves, and the page that needs nothing beside it."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from proto_examples import CLASSES, decisions, explained, plain

from common.data.labelled_images import LabelledImages
from common.evidence.figures.figure import pixels
from protoattend.gallery.curves import evaluation_figures
from protoattend.gallery.explained import UNKNOWN, wrong_first
from protoattend.gallery.explained import explained as explained_decisions
from protoattend.gallery.prototypes import (
    BORDERS,
    ROWS,
    GalleryHeader,
    gallery_page,
    prototypes_figure,
)
from protoattend.metrics.measures import summary
from protoattend.metrics.report import CandidateSet

SHA256 = "0123456789abcdef" * 4
HEADER = GalleryHeader(
    "test images", CandidateSet("pets", 1024, SHA256), "fedcba9876543210" * 4, "2026-01-31 23:59"
)
NASTY = """<script>alert("1")</script> & 'two'"""
OUTCOMES = [("cat", True, "right"), ("dog", False, "wrong, label dog")]
OUTCOMES += [(None, None, "label not known")]

# Words


def test_decisions_come_with_their_inputs_prototypes_and_names():
    images = LabelledImages(np.stack([plain(7), plain(8)]), np.int32([2, UNKNOWN]))
    names = np.array([f"file {row}" for row in range(5)])
    candidates = LabelledImages(
        np.stack([plain(row) for row in range(5)]), np.int32([0, 1, 2, 0, 1]), names=names
    )
    first, second = explained_decisions(
        decisions([2, 0], [0, 1], [0.75, 0.5]), images, candidates, [*CLASSES, "emu"]
    )
    assert (first.name, first.label, first.predicted, first.confidence) == (
        "image row 0",
        "owl",
        "cat",
        0.75,
    )
    assert second.label is None and second.right is None
    assert [one.source for one in first.prototypes] == list(names)
    assert first.prototypes[2].label == "owl" and first.prototypes[2].image[0, 0] == 2


def test_wrong_decisions_come_first_the_surest_before_others():
    given = [("cat", 0.9), ("dog", 0.3), (None, 0.8), ("cat", 0.2), ("dog", 0.7), (None, 0.1)]
    ordered = wrong_first([explained("cat", *one) for one in given])
    found = [(one.right, one.confidence) for one in ordered]
    assert found == [(False, 0.7), (False, 0.3), (None, 0.1), (None, 0.8), (True, 0.2), (True, 0.9)]


# Pictures


def said(figure):
    return " ".join(" ".join(text.get_text() for text in figure.axes[0].texts).split())


@pytest.mark.parametrize("label, right, outcome", OUTCOMES)
def test_a_decision_is_told_in_words_and_by_the_border_of_the_input(label, right, outcome):
    prototypes = [("dog", 0.25)] + [("cat", 0.05)] * 9
    one = explained("cat", label, 0.5, name="a.png", prototypes=prototypes)
    assert one.right is right
    assert one.rest(1) == 0.75
    figure = prototypes_figure([one], ROWS, 81)
    for words in (
        outcome,
        f"{ROWS + 1} to {ROWS + 1} of 81 decisions",
        "decision: cat",
        "a.png",
        "25.0 % dog train row 1000",
        "not shown: 40.0 %",
    ):
        assert words in said(figure)
    drawn = pixels(figure)
    present = {
        known for known, color in BORDERS.items() if (drawn == color).all(axis=2).sum() > 1000
    }
    assert present == {right}


@pytest.mark.parametrize("name", ["飞机", "汽车\ud83d\ude97", "x" * 300, "a$b$c^{", "\x07", ""])
def test_any_class_and_file_name_can_be_drawn(name):
    decision = explained(name, name + "!", 0.5, name=name, prototypes=[(name, 0.5)])
    large = explained("cat", None, 0, prototypes=[("cat", 0.5)], side=300, channels=3)
    for one in (decision, large):
        assert pixels(prototypes_figure([one])).std() > 0


@pytest.mark.parametrize("others", [{}, {"noise": np.full(3, 0.1)}])
@pytest.mark.parametrize("confidence", [0, 1])
def test_every_figure_of_an_evaluation_can_be_drawn_and_its_axes_are_titled(others, confidence):
    some = decisions([0, 1, 2], [0, 1, 1], [confidence] * 3)
    figures = {name: draw() for name, draw in evaluation_figures(some, "已知", others).items()}
    assert len(figures) == 2 + len(others)
    for figure in figures.values():
        assert figure.axes[0].get_xlabel().endswith("(0 to 1)")
        assert figure.axes[0].get_ylabel().endswith("(%)")
        assert pixels(figure).std() > 0
    if others:
        legend = figures["confidence"].axes[0].get_legend().get_texts()
        auroc = f"noise: AUROC {float(confidence):.3f}"
        assert [text.get_text() for text in legend] == ["已知", auroc]


# The page


class Page(HTMLParser):
    """A page as its elements (tag, attributes) and its text; every element must be closed."""

    def __init__(self, *given, classes=CLASSES, header=HEADER):
        super().__init__()
        self.html = gallery_page(given, classes, header)
        self.elements, self.text, self._open = [], "", []
        self.feed(self.html)
        self.close()
        assert self._open == []
        self.text = " ".join(self.text.split())
        self.rows = [row for row in self.all("tr") if "data-rank" in row]

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in {"meta", "img"}:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data + " "

    def all(self, tag):
        return [attributes for found, attributes in self.elements if found == tag]

    def image(self, number):
        content = self.all("img")[number]["src"][len("data:image/png;base64,") :]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_nothing_is_loaded_from_elsewhere_and_no_script_runs_but_its_own():
    page = Page(explained("cat", "cat", 1))
    loaded = ("src", "href", "srcset", "data")
    sources = [one[name] for _, one in page.elements for name in loaded if name in one]
    assert len(sources) == 3
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"https?:|url\(|@import", page.html)
    (script,) = re.findall(r"<script>(.*?)</script>", page.html, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = page.all("meta")[1]["content"]
    assert "default-src 'none'" in policy and f"script-src 'sha256-{digest}'" in policy


def test_images_inside_are_the_images_given_and_large_ones_are_reduced():
    page = Page(explained("cat", "cat", 1, name="a.png"))
    np.testing.assert_array_equal(page.image(0), plain(200)[..., 0])
    np.testing.assert_array_equal(page.image(1), plain(100)[..., 0])
    texts = [image["alt"] for image in page.all("img")]
    assert texts == ["input a.png", "prototype cat", "prototype dog"]
    page = Page(explained("cat", "cat", 1, side=300, channels=3))
    assert page.image(0).shape == (128, 128, 3)


def test_the_script_finds_what_it_sorts_and_without_it_wrong_decisions_come_first():
    given = [("cat", "cat", 0.25), ("dog", "cat", 0.5), ("cat", None, 0.5)]
    page = Page(*(explained(*one) for one in given))
    names = ("class", "data-given", "data-rank", "data-predicted", "data-confidence")
    assert [tuple(row[name] for name in names) for row in page.rows] == [
        ("wrong", "1", "0", "dog", "0.500000"),
        ("unknown", "2", "1", "cat", "0.500000"),
        ("right", "0", "2", "cat", "0.250000"),
    ]
    (controls,) = [element for element in page.all("div") if element.get("id") == "controls"]
    assert "hidden" in controls and not any("hidden" in row for row in page.rows)
    assert [option["value"] for option in page.all("option")][-3:] == ["", "cat", "dog"]
    assert "cat (2)" in page.text
    selects = {select["id"] for select in page.all("select")}
    assert {label["for"] for label in page.all("label")} == selects


def test_decisions_and_their_origin_are_told_in_words():
    one = explained("cat", "dog", 0.75, name="pets/7.png", prototypes=[("cat", 0.5), ("dog", 0.4)])
    page = Page(one)
    for words in (
        *("pets/7.png", "wrong, label dog", "confidence 75.0 %", "train row 1001", "others 10.0 %"),
        *("\u2260 dog", "test images", "1,024 of pets", "fedcba987654 ", "2026-01-31 23:59"),
        "1: 1 wrong",
    ):
        assert words in page.text
    assert "\u2260 cat" not in page.text and HEADER.checkpoint_sha256 not in page.html
    assert SHA256 in page.html
    whole = summary(decisions([0, 1, 2, 3], [0, 1, 1, 3], [0.5] * 4))
    page = Page(explained("dog", "owl", 0.5), header=dataclasses.replace(HEADER, whole=whole))
    for words in ("4: 3 right, 1 wrong", "accuracy 75.0 %", "shown here 1: 1 wrong"):
        assert words in page.text
    assert "others" not in Page(explained("cat", "cat", 1, prototypes=[("cat", 1)])).text


def test_any_text_stays_text():
    candidates = CandidateSet(NASTY, 1, NASTY)
    header = dataclasses.replace(HEADER, inputs=NASTY, date=NASTY, candidates=candidates)
    one = explained(NASTY, NASTY + "!", 0.5, name=NASTY, prototypes=[(NASTY, 0.5)])
    page = Page(one, classes=[NASTY], header=header)
    assert len(page.all("script")) == 1
    assert page.rows[0]["data-predicted"] == page.all("option")[-1]["value"] == NASTY
    assert page.all("img")[1]["alt"] == "prototype " + NASTY
    assert page.text.count("alert(") >= 7
