"""A report as one HTML page: verdicts, tables, curves, pictures, provenance, log tails."""

from __future__ import annotations

from html import escape
from typing import Dict, List, Mapping, Sequence

from common.evidence.comparison import table, wording
from common.evidence.comparison.compared import Comparison
from common.evidence.comparison.verdicts import INCONCLUSIVE, NOK, POK, Verdict
from common.evidence.html_page.document import document, facts
from common.evidence.html_page.images import image_element
from common.evidence.report.chart import COLORS, chart
from common.evidence.report.content import ReportedRun
from common.evidence.report.derived import charts_of
from common.evidence.report.page_script import SCRIPT
from common.evidence.report.page_style import STYLE
from common.evidence.report.provenance import provenance

VERDICT_CLASSES = {NOK: "bad", POK: "bad", INCONCLUSIVE: "open"}


def report_page(runs: Sequence[ReportedRun], comparisons: Sequence[Comparison], date: str) -> str:
    """Writes the page. Everything is inside; all foreign text is escaped.

    Args:
        runs: at least one; their labels are their names on the page.
        comparisons: of the others with the first; none for a single run.
        date: when the report was made, in words for people.
    """
    labels = [run.label for run in runs]
    colors = {label: number % COLORS for number, label in enumerate(labels)}
    title = " against ".join(reversed(labels)) if len(runs) == 2 else ", ".join(labels)
    return document(
        "Report: " + title,
        STYLE,
        SCRIPT,
        [
            "<header>",
            f"<h1>{escape(title)}</h1>",
            *facts(
                [("made", escape(date))]
                + [(escape(run.label), escape(run.run.source)) for run in runs]
            ),
            "</header>",
            "<main>",
            *[line for comparison in comparisons for line in _comparison(comparison)],
            *_figures(runs),
            *_curves(runs, colors),
            *_pictures(runs),
            *_provenance(runs),
            *_logs(runs),
            "</main>",
        ],
    )


def _comparison(comparison: Comparison) -> List[str]:
    return [
        "<section>",
        f"<h2>{escape(table.title(comparison))}</h2>",
        '<div class="verdicts">',
        _verdict("PrecisionStatus", comparison.precision),
        _verdict("PerfStatus", comparison.perf),
        "</div>",
        *sorted_table(table.columns(comparison), table.rows(comparison)),
        '<ul class="sentences">',
        *(f"<li>{escape(sentence)}</li>" for sentence in table.remarks(comparison)),
        "</ul>",
        "</section>",
    ]


def _verdict(name: str, verdict: Verdict) -> str:
    return ('<div class="verdict {}">{} <b>{}</b><p>{}</p><p class="rule">{}</p></div>').format(
        VERDICT_CLASSES.get(verdict.status, "good"),
        name,
        verdict.status,
        escape(verdict.because),
        escape(verdict.rule),
    )


def sorted_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> List[str]:
    """A table of plain texts that the page's script sorts by a click on a column's head."""
    return [
        '<div class="wide"><table class="sorts">',
        "<thead><tr>{}</tr></thead>".format(
            "".join('<th scope="col">{}</th>'.format(escape(name or "what")) for name in columns)
        ),
        "<tbody>",
        *(
            "<tr>{}</tr>".format("".join(f"<td>{escape(cell)}</td>" for cell in row))
            for row in rows
        ),
        "</tbody></table></div>",
    ]


def _figures(runs: Sequence[ReportedRun]) -> List[str]:
    """Final and best figures of the runs' records, a column a run."""
    columns: List[Mapping[str, float]] = []
    for run in runs:
        found: Dict[str, float] = {"final " + name: value for name, value in run.run.final.items()}
        found.update({"best on validation: " + name: value for name, value in run.run.best.items()})
        columns.append(found)
    names = list(dict.fromkeys(name for column in columns for name in column))
    if not names:
        return []
    rows = [
        [name]
        + [wording.number(column[name]) if name in column else wording.DASH for column in columns]
        for name in names
    ]
    return [
        "<section>",
        "<h2>Figures</h2>",
        *sorted_table([""] + [run.label for run in runs], rows),
        "</section>",
    ]


def _curves(runs: Sequence[ReportedRun], colors: Dict[str, int]) -> List[str]:
    charts = charts_of([run.label for run in runs], [run.run for run in runs])
    drawn = [
        chart(_chart_title(name, runs), curves, colors, name.endswith(("loss", "error")))
        for name, curves in charts.items()
    ]
    drawn = [figure for figure in drawn if figure]
    if not drawn:
        return []
    return ["<section>", "<h2>Curves</h2>", '<div class="charts">', *drawn, "</div>", "</section>"]


def _chart_title(name: str, runs: Sequence[ReportedRun]) -> str:
    if name == "throughput":
        known = all(run.run.global_batch or "fps" in run.run.series for run in runs)
        return "throughput, {} a second".format("samples" if known else "steps")
    if name == "data wait":
        return "share of a step spent waiting for data"
    return name.replace("_", " ")


def _pictures(runs: Sequence[ReportedRun]) -> List[str]:
    found = [
        "<figure>{}<figcaption>{}</figcaption></figure>".format(
            image_element(picture.content, picture.kind, f"{run.label}: {picture.name}"),
            escape(f"{run.label}: {picture.name}"),
        )
        for run in runs
        for picture in run.pictures
    ]
    if not found:
        return []
    return [
        "<section>",
        "<h2>Pictures</h2>",
        '<div class="pictures">',
        *found,
        "</div>",
        "</section>",
    ]


def _provenance(runs: Sequence[ReportedRun]) -> List[str]:
    found: List[str] = ["<section>", "<h2>Provenance</h2>"]
    for run in runs:
        found.append(f"<h3>{escape(run.label)}</h3>")
        if run.record is None:
            found.append("<p>A bare log: nothing is known but what it says.</p>")
        else:
            found += facts(
                [(escape(name), escape(value)) for name, value in provenance(run.record)]
            )
        found += [f"<p>{escape(note)}</p>" for note in run.run.notes]
    return found + ["</section>"]


def _logs(runs: Sequence[ReportedRun]) -> List[str]:
    found: List[str] = []
    for run in runs:
        if run.log_tail:
            found += [
                f"<h3>{escape(run.label)}, last {len(run.log_tail)} lines</h3>",
                "<pre>{}</pre>".format(escape("\n".join(run.log_tail))),
            ]
    return ["<section>", "<h2>Log</h2>"] + found + ["</section>"] if found else []
