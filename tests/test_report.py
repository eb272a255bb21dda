"""`zoo report`: one page, whole and safe, that shows runs and comparisons."""

from __future__ import annotations

import gzip
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np
import pytest

from common.commands import program as cli
from common.evidence.comparison.runs import Run
from common.evidence.report.chart import BOTTOM, LEFT, RIGHT, TOP, chart
from common.evidence.report.content import MOST_PICTURES, pictures_of, tail_of
from common.evidence.report.derived import DrawnCurve, charts_of
from tests.browser import Browser, find_chromium
from tests.noisy_series import first_order_noise, series, write_log
from tests.test_record_store import write_run

WITHOUT_END = {"meta", "img", "wbr"}
PIXEL = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)


class Page(HTMLParser):
    """A page as its elements and its text; every element must be closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
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

    def handle_startendtag(self, tag, attributes) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data) -> None:
        self.words.append(data)

    def all(self, tag: str) -> List[Dict[str, Optional[str]]]:
        return [attributes for found, attributes in self.elements if found == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture()
def folder(tmp_path: Path) -> Path:
    """gpu.log and npu.log, and a finished run with a picture in run/."""
    noise = 1 + 0.1 * first_order_noise(0.2, 120, 2, seed=50)
    falling = 0.05 * np.exp(-np.arange(120) / 30.0) + 0.001
    jitter = 0.02 * first_order_noise(0.0, 120, 1, seed=51)[0]
    write_log(tmp_path / "gpu.log", falling * noise[0], 75.0, jitter=jitter)
    write_log(tmp_path / "npu.log", falling * noise[1], 25.0, jitter=jitter)
    write_run(tmp_path / "run")
    (tmp_path / "run" / "pictures").mkdir()
    (tmp_path / "run" / "pictures" / "slots.gif").write_bytes(PIXEL)
    return tmp_path


def report(folder: Path, *words: Any) -> Page:
    assert (
        cli.main(["report"] + [str(word) for word in words] + ["-o", str(folder / "report.html")])
        == 0
    )
    return Page((folder / "report.html").read_text())


@pytest.fixture()
def both(folder: Path) -> Page:
    """The page of the NPU's log against the GPU's."""
    return report(folder, "gpu={}".format(folder / "gpu.log"), "npu={}".format(folder / "npu.log"))


def curves_of(page: Page) -> Dict[str, List[Dict[str, Any]]]:
    """The curves that the script gets, by chart title."""
    titles = re.findall("<figcaption>([^<]*)</figcaption><svg", page.html)
    figures = [figure for figure in page.all("figure") if figure.get("class") == "chart"]
    return {
        title: json.loads(figure["data-curves"] or "") for title, figure in zip(titles, figures)
    }


def test_nothing_is_loaded_from_elsewhere(both: Page) -> None:
    loaded = [
        value
        for _, attributes in both.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data")
    ]
    assert loaded == []
    assert not re.search(r"url\(|@import|src=\"http", both.html)


def test_a_comparison_has_verdicts_rules_and_table(both: Page) -> None:
    for words in (
        "PrecisionStatus INCONCLUSIVE",
        "PerfStatus PERFECT",
        "PERFECT from 1.2x",
        "throughput, total / total",
        "npu against gpu",
    ):
        assert words in both.text


def test_curves_of_both_runs_share_a_chart(both: Page) -> None:
    assert [curve["name"] for curve in curves_of(both)["loss"]] == ["gpu", "npu"]
    assert "throughput, steps a second" in curves_of(both)


def test_a_run_shows_figures_provenance_pictures_and_log(folder: Path) -> None:
    page = report(folder, folder / "run")
    for words in (
        "final accuracy",
        "91.5",
        "Test CPU",
        "digits: all",
        "config sha256",
        "run: slots.gif",
        "last",
    ):
        assert words in page.text
    (picture,) = page.all("img")
    assert (picture["src"] or "").startswith("data:image/gif;base64,R0lGOD")
    assert set(curves_of(page)) >= {
        "loss",
        "learning rate",
        "throughput, samples a second",
        "share of a step spent waiting for data",
    }


def test_any_text_stays_text(folder: Path) -> None:
    nasty = "<script>alert(1)</script>"
    log = folder / "run" / "train_0.log"
    log.write_text(nasty + "\n")
    page = report(folder, "{}={}".format("a<b>&'", folder / "run"))
    assert len(page.all("script")) == 1
    assert nasty in page.text
    assert "a<b>&'" in page.text


def test_two_runs_of_one_name_need_labels(folder: Path, capsys) -> None:
    code = cli.main(
        ["report", str(folder / "gpu.log"), str(folder / "gpu.log"), "-o", str(folder / "r.html")]
    )
    assert code == 64
    assert "two runs are called 'gpu.log'" in capsys.readouterr().err


def test_a_label_that_names_another_device_is_refused(folder: Path, capsys) -> None:
    code = cli.main(["report", "npu={}".format(folder / "run"), "-o", str(folder / "r.html")])
    assert code == 64
    assert "its record says that it ran on cpu" in capsys.readouterr().err
    assert not (folder / "r.html").exists()


def test_a_log_tail_is_plain_text(tmp_path: Path) -> None:
    log = tmp_path / "a.log.gz"
    lines = [f"line {number}" for number in range(100)]
    text = "\n".join(lines + ["\x1b[31mred\x1b[0m\x07", "10 %\r100 %"]) + "\n"
    log.write_bytes(gzip.compress(text.encode() + b"\xff\n"))
    assert tail_of(log, 4) == ["line 99", "red", "100 %", "\ufffd"]


def test_the_tail_of_a_damaged_packed_log_is_what_can_be_read(tmp_path):
    log = tmp_path / "log.gz"
    whole = gzip.compress(b"".join(b"line %d\n" % number for number in range(5000)))
    log.write_bytes(whole[: len(whole) // 2])
    assert tail_of(log, 3)[0].startswith("line ")


def test_only_pictures_are_shown_and_not_more_than_a_page_carries(folder: Path) -> None:
    place = folder / "run" / "pictures"
    for number in range(MOST_PICTURES + 2):
        (place / f"p{number:02d}.gif").write_bytes(PIXEL)
    (place / "script.png").write_bytes(b"<html>")
    found = pictures_of(folder / "run")
    assert len(found) == MOST_PICTURES
    assert all(picture.kind == "image/gif" for picture in found)


def test_charts_begin_with_loss_learning_rate_and_speed() -> None:
    run = Run(
        "x",
        {
            name: series([1, 2, 3], name=name)
            for name in (
                "validation_accuracy",
                "step_seconds",
                "data_seconds",
                "learning_rate",
                "loss",
            )
        },
        global_batch=8,
    )
    found = charts_of(["x"], [run])
    assert list(found) == [
        "loss",
        "learning_rate",
        "throughput",
        "data wait",
        "validation_accuracy",
    ]
    np.testing.assert_allclose(found["throughput"][0].series.values, [8, 4, 8 / 3])


def test_a_chart_puts_its_points_inside_the_axes() -> None:
    html = chart("loss", [DrawnCurve("a", series([4, 1, 2, np.nan, 3]))], {"a": 0})
    (curve,) = json.loads(Page(html).all("figure")[0]["data-curves"] or "")
    assert curve["step"] == [100, 200, 300, 500]
    assert curve["value"] == ["4", "1", "2", "3"]
    assert all(LEFT <= x <= RIGHT for x in curve["x"])
    assert all(TOP <= y <= BOTTOM for y in curve["y"])
    assert curve["y"][0] < curve["y"][3] < curve["y"][2] < curve["y"][1]


def test_a_curve_without_a_number_has_no_chart() -> None:
    assert chart("loss", [DrawnCurve("a", series([np.nan, np.inf]))], {"a": 0}) == ""


def test_a_loss_over_decades_has_a_logarithmic_axis() -> None:
    values = [1.0, 0.1, 0.01]
    html = chart("loss", [DrawnCurve("a", series(values))], {"a": 0}, may_be_logarithmic=True)
    (curve,) = json.loads(Page(html).all("figure")[0]["data-curves"] or "")
    assert curve["y"][1] == pytest.approx((curve["y"][0] + curve["y"][2]) / 2, abs=0.1)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip("no chromium on this machine")
    found = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield found
    found.close()


@pytest.mark.slow
def test_in_a_browser_the_page_loads_without_errors_and_without_the_network(
    both: Page, folder: Path, browser: Browser
) -> None:
    browser.open(folder / "report.html")
    assert browser.errors() == []
    assert all(address.startswith(("file:", "data:", "about:")) for address in browser.requested())


@pytest.mark.slow
def test_in_a_browser_a_foreign_script_is_refused(
    both: Page, folder: Path, browser: Browser
) -> None:
    page = folder / "foreign.html"
    page.write_text(both.html.replace("</body>", "<script>window.foreign = 1</script></body>"))
    browser.open(page)
    assert browser.run("window.foreign === undefined")
    browser.events.clear()  # the refusal is an error in the browser's log


@pytest.mark.slow
def test_in_a_browser_a_click_on_a_head_sorts_the_table(
    both: Page, folder: Path, browser: Browser
) -> None:
    browser.open(folder / "report.html")
    column = (
        "Array.from(document.querySelectorAll('tbody td:nth-child(2)'))"
        ".map(cell => parseFloat(cell.textContent))"
    )
    browser.run("document.querySelectorAll('th button')[1].click()")
    rising = browser.run(column)
    browser.run("document.querySelectorAll('th button')[1].click()")
    assert rising == sorted(rising)
    assert browser.run(column) == sorted(rising, reverse=True)
    assert (
        browser.run("document.querySelectorAll('th')[1].getAttribute('aria-sort')") == "descending"
    )


@pytest.mark.slow
def test_in_a_browser_a_curve_tells_its_values_under_the_mouse_and_by_keys(
    both: Page, folder: Path, browser: Browser
) -> None:
    browser.size(1280, 900)
    browser.open(folder / "report.html")
    box = browser.run(
        "(() => { const svg = document.querySelector('svg');"
        "svg.scrollIntoView(); const b = svg.getBoundingClientRect();"
        "return [b.left, b.top, b.width, b.height] })()"
    )
    browser.move_mouse(box[0] + box[2] / 2, box[1] + box[3] / 2)
    told = browser.run("document.querySelector('output').textContent")
    assert re.match(r"step [\d,]+ · gpu 0\.\d+ · npu 0\.\d+$", told)
    browser.run("document.querySelector('svg').focus()")
    browser.press("ArrowRight")
    later = browser.run("document.querySelector('output').textContent")

    def step(text: str) -> int:
        return int(text.split()[1].replace(",", ""))

    assert step(later) > step(told)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, False), (390, True)])
def test_in_a_browser_nothing_is_wider_than_the_window(
    both: Page, folder: Path, browser: Browser, width: int, dark: bool
) -> None:
    browser.size(width, 900, dark)
    browser.open(folder / "report.html")
    assert browser.run("document.documentElement.scrollWidth") <= width
    image = pytest.importorskip("PIL.Image", reason="looks at the picture's pixels")
    corner = image.open(io.BytesIO(browser.screenshot())).convert("L").getpixel((2, 2))
    assert (corner < 60) == dark
