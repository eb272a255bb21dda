"""`zoo report`: one page, whole and safe, that shows runs and comparisons."""

from __future__ import annotations

import gzip
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, List, Tuple

import numpy as np
import pytest
from PIL import Image

from common.commands import program as cli
from common.evidence.comparison.runs import Run
from common.evidence.report.content import charts, tail_of
from tests.noisy_series import first_order_noise, series, write_log
from tests.test_record_store import write_run

LARGEST = 6000000  # bytes of a page


class Page:
    """A page's tags without the content of scripts and styles, its text, the data of its charts."""

    def __init__(self, page: str) -> None:
        self.html = page
        self.tags = re.sub(r"(?s)(<(script|style)[^>]*>).*?</\2>", r"\1", page)
        self.text = " ".join(html.unescape(re.sub("<[^>]*>", " ", self.tags)).split())
        plot = '<div class="plot"[^>]* aria-label="([^:"]*):[^>]* data-figure="([^"]*)"'
        found = re.findall(plot, self.tags)
        self.figures = {title: json.loads(html.unescape(data)) for title, data in found}


@pytest.fixture()
def folder(tmp_path: Path) -> Path:
    """gpu.log and npu.log, and a finished run with pictures in run/."""
    noise = 1 + 0.1 * first_order_noise(0.2, 120, 2, seed=50)
    falling = 0.05 * np.exp(-np.arange(120) / 30.0) + 0.001
    jitter = 0.02 * first_order_noise(0.0, 120, 1, seed=51)[0]
    write_log(tmp_path / "gpu.log", falling * noise[0], 75.0, jitter=jitter)
    write_log(tmp_path / "npu.log", falling * noise[1], 25.0, jitter=jitter)
    write_run(tmp_path / "run")
    (tmp_path / "run" / "pictures").mkdir()
    for step in (100, 200):
        write_picture(tmp_path / "run" / "pictures" / f"slots_{step:08d}.png")
    return tmp_path


def write_picture(path: Path, size: Tuple[int, int] = (8, 8)) -> None:
    noise = np.random.RandomState(0).randint(0, 256, size + (3,)).astype(np.uint8)
    Image.fromarray(noise).save(str(path))


def report(folder: Path, *words: Any) -> Page:
    target = folder / "report.html"
    assert cli.main(["report"] + [str(word) for word in words] + ["-o", str(target)]) == 0
    assert target.stat().st_size < LARGEST
    return Page(target.read_text())


@pytest.fixture()
def both(folder: Path) -> Page:
    """The page of the NPU's log against the GPU's."""
    return report(folder, f"gpu={folder / 'gpu.log'}", f"npu={folder / 'npu.log'}")


def test_a_comparison_has_verdicts_and_shared_charts_and_loads_nothing(both: Page) -> None:
    assert not re.search("<[^>]* (src|href|srcset|data)=", both.tags)
    assert "Security-Policy\" content=\"default-src 'none'" in both.tags
    for words in (
        "PrecisionStatus INCONCLUSIVE",
        "PerfStatus PERFECT",
        "PERFECT from 1.2x",
        "throughput, total / total",
        "npu against gpu",
    ):
        assert words in both.text
    figure = both.figures["loss"]
    lines = [trace for trace in figure["data"] if trace.get("hoverinfo") != "skip"]
    assert [(line["name"], line["meta"]) for line in lines] == [("gpu", 0), ("npu", 1)]
    assert figure["layout"]["xaxis"]["title"]["text"] == "step"
    assert figure["layout"]["yaxis"]["title"]["text"] == "loss (log scale)"
    speed = both.figures["throughput"]["layout"]["yaxis"]["title"]["text"]
    assert speed == "steps per second"


def test_a_run_says_what_was_trained_on_what_how_and_with_what_result(folder: Path) -> None:
    page = report(folder, folder / "run")
    for words in (
        "residual_attention_net classification on digits",
        "Configuration",
        "1 x CPU Test CPU",
        "what final best on validation accuracy 91.5",
        "digits: all",
        "config sha256",
        "last",
    ):
        assert words in page.text
    assert list(page.figures)[:4] == ["loss", "train loss", "learning rate", "throughput"]
    title = page.figures["validation accuracy"]["layout"]["yaxis"]["title"]["text"]
    assert title == "accuracy (%)"


def test_the_newest_picture_of_each_kind_is_large_and_the_older_ones_are_folded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = folder / "run" / "pictures"
    write_picture(pictures / "curve.png", (1200, 2400))  # 8 MB: reduced
    (pictures / "script.png").write_bytes(b"<html>")
    page = report(folder, folder / "run")
    told = re.findall('<img[^>]* alt="([^"]*)"', page.tags)
    assert told == ["run: curve.png", "run: slots_00000200.png", "run: slots_00000100.png"]
    assert re.search(r"1 older</summary>.*slots_00000100", page.html, re.DOTALL)
    monkeypatch.setattr("common.evidence.report.page.LARGEST_PAGE", 0)
    assert "Not on this page" in report(folder, folder / "run").text


def test_of_several_runs_the_differences_of_their_configurations_come_first(folder: Path) -> None:
    write_run(folder / "other")
    events = folder / "other" / "rank_0" / "metrics.jsonl"
    start, rest = events.read_text().split("\n", 1)
    events.write_text(json.dumps(dict(json.loads(start), seed=7, config={"seed": 7})) + "\n" + rest)
    page = report(folder, folder / "run", folder / "other")
    begun = page.text.split("Differences of configuration ")[1]
    assert begun.startswith("setting seed 0 seed 7 seed 0 7 recipe reference – ")
    assert "seed 7 against seed 0" in page.text


def test_any_text_stays_text(folder: Path) -> None:
    nasty = "</script><script>alert(1)</script>"
    (folder / "run" / "train_0.log").write_text(nasty + "\n")
    page = report(folder, f"{nasty}{{{{ 7 * 7 }}}}={folder / 'run'}")
    assert page.tags.count("<script") == 2  # plotly's and the page's own
    assert page.text.count(nasty) > 2 and "{{ 7 * 7 }}" in page.text


@pytest.mark.parametrize(
    ("runs", "output", "error"),
    [
        (["npu=run"], "r.html", "its record says that it ran on cpu"),
        (["none"], "r.html", "no such file or folder"),
        (["run"], "", "is a folder"),
        (["run"], "none/r.html", "there is no folder"),
        (["gpu.log", "gpu.log"], "r.html", "two runs are called"),
        (["damaged.json"], "r.html", "damaged.json"),
    ],
)
def test_a_wrong_command_line_writes_nothing(
    folder: Path, monkeypatch, capsys, runs: List[str], output: str, error: str
) -> None:
    monkeypatch.chdir(folder)
    (folder / "damaged.json").write_text("{")
    code = 1 if runs == ["damaged.json"] else 64
    assert cli.main(["report", *runs, "-o", str(folder / output)]) == code
    assert error in capsys.readouterr().err
    assert not (folder / "r.html").exists()


def test_a_log_tail_is_plain_text_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    log = tmp_path / "a.log.gz"
    lines = [f"line {number}" for number in range(5000)]
    text = "\n".join(lines + ["\x1b[31mred\x1b[0m\x07", "10 %\r100 %"]) + "\n"
    whole = gzip.compress(text.encode() + b"\xff\n")
    log.write_bytes(whole)
    assert tail_of(log, 4) == ["line 4999", "red", "100 %", "\ufffd"]
    log.write_bytes(whole[: len(whole) // 2])
    assert tail_of(log, 3)[0].startswith("line ")


@pytest.mark.parametrize(
    ("values", "kind", "shown"),
    [
        ([1.0, 0.1, 0.01], "log", [1.0, 0.1, 0.01]),
        ([4, 1, 2, np.nan, 3], "linear", [4, 1, 2, None, 3]),
        ([1, 0], "linear", [1, 0]),
        ([np.nan, np.inf], "", []),
        (np.full(3000, 0.001), "linear", [0.001]),
    ],
)
def test_a_chart_holds_the_values_on_a_fitting_axis(values, kind: str, shown: list) -> None:
    found = charts(["a"], [Run("x", {"loss": series(values)})])
    assert [chart.figure["layout"]["yaxis"]["type"] for chart in found] == [kind][: len(shown)]
    for chart in found:
        (line,) = chart.figure["data"]
        assert line["y"][: len(shown)] == shown and set(line["y"]) == set(shown)
        assert line["x"][0] >= 100


# What a reader does: tells a chart's last value by a key, sorts a column, on a screen so wide, by
# day and by night.
READER = """<script>addEventListener("load", () => {
  const plot = document.querySelector(".plot"), head = document.querySelectorAll("th button")[1];
  const column = () => [...document.querySelectorAll("tbody td:nth-child(2)")]
    .map(cell => parseFloat(cell.textContent));
  plot.scrollIntoView();
  const timer = setInterval(() => {
    if (!plot.classList.contains("drawn")) { return; }
    plot.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
    const hover = document.querySelector(".hoverlayer").textContent;
    if (!hover) { return; }
    clearInterval(timer);
    head.click(); const rising = column(); head.click();
    const told = { hover, rising, falling: column(),
      lines: document.querySelectorAll(".scatterlayer .trace").length,
      ground: getComputedStyle(document.body).backgroundColor,
      wide: document.documentElement.scrollWidth - innerWidth };
    document.body.innerHTML = `<pre>${JSON.stringify(told)}</pre>`;
  }, 100);
});</script></body>"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "scheme", "ground"), [(1280, 1, "rgb(255, 255, 255)"), (500, 0, "rgb(15, 18, 22)")]
)
def test_in_a_browser_the_page_tells_values_sorts_tables_and_is_no_wider_than_the_window(
    both: Page, folder: Path, width: int, scheme: int, ground: str
) -> None:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium on this machine")
    page = re.sub("<meta http-equiv[^>]*>", "", both.html).replace("</body>", READER)
    (folder / "read.html").write_text(page)
    words = [program, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    words += [f"--window-size={width},900", f"--blink-settings=preferredColorScheme={scheme}"]
    words += ["--virtual-time-budget=20000", f"--user-data-dir={folder / 'chromium'}"]
    words.append((folder / "read.html").as_uri())
    shown = subprocess.check_output(words, stderr=subprocess.DEVNULL, text=True)
    found = json.loads(*re.findall("<pre>({.*})</pre>", shown))
    last = both.figures["loss"]["data"][-1]["x"][-1]
    assert found["lines"] > 1 and f"{last:,}npu : 0." in found["hover"]
    assert found["rising"] == sorted(found["rising"]) == found["falling"][::-1]
    assert found["wide"] <= 0 and found["ground"] == ground
