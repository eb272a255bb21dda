"""A report as one HTML page: configuration, verdicts, tables, curves, pictures, provenance, log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from plotly.offline import get_plotlyjs

from common.evidence.comparison import table, wording
from common.evidence.comparison.compared import Comparison
from common.evidence.comparison.runs import network_of
from common.evidence.comparison.verdicts import INCONCLUSIVE, NOK, POK
from common.evidence.html_page.render import render
from common.evidence.report import configuration
from common.evidence.report.content import ReportedRun
from common.evidence.report.curves import COLORS, charts
from common.evidence.report.pictures import chosen_pictures

TEMPLATES = Path(__file__).parent / "templates"
VERDICT_CLASSES = {NOK: "bad", POK: "bad", INCONCLUSIVE: "open"}
LARGEST_PAGE = 5900000  # bytes
TEXTS, TEXTS_OF_A_RUN = 60000, 45000  # bytes, about, of all that is not a chart or a picture


def report_page(runs: Sequence[ReportedRun], comparisons: Sequence[Comparison], date: str) -> str:
    """Writes the page. Everything is inside; all foreign text is escaped.

    Args:
        runs: at least one; their labels are their names on the page.
        comparisons: of the others with the first; none for a single run.
        date: when the report was made, in words for people.
    """
    records = {run.label: run.record for run in runs if run.record is not None}
    drawn = charts([run.label for run in runs], [run.run for run in runs])
    libraries = [get_plotlyjs()] if drawn else []
    used = sum(map(len, libraries)) + len(json.dumps([chart.figure for chart in drawn]))
    room = LARGEST_PAGE - used - TEXTS - TEXTS_OF_A_RUN * len(runs)
    title = page_title(runs)
    return render(
        TEMPLATES,
        "report.html",
        f"Report: {title}",
        styles=["report.css"],
        scripts=["report.js"],
        libraries=libraries,
        heading=title,
        subtitle=_against([run.label for run in runs]) if len(runs) > 1 else "",
        date=date,
        runs=runs,
        colors={run.label: number % COLORS for number, run in enumerate(runs)},
        settings={label: configuration.settings(one) for label, one in records.items()},
        differences=configuration.differences(records) if len(records) > 1 else [],
        comparisons=[_comparison(one) for one in comparisons],
        figures=_figures(runs),
        charts=drawn,
        pictures=chosen_pictures(runs, max(room * 3 // 4, 0)),  # base64 is a third longer
        provenance={label: configuration.provenance(one) for label, one in records.items()},
    )


def page_title(runs: Sequence[ReportedRun]) -> str:
    """What was trained on what, as far as it is known; else what the runs are called."""
    known = configuration.title([run.record for run in runs if run.record is not None])
    networks = sorted({network_of(run.run) for run in runs if run.run.model})
    return known or ", ".join(networks) or _against([run.label for run in runs])


def _against(labels: Sequence[str]) -> str:
    first, others = labels[0], labels[1:]
    return f"{', '.join(others)} against {first}" if others else first


def _comparison(comparison: Comparison) -> Dict[str, Any]:
    """A comparison as the template shows it: title, verdicts, a table, sentences."""
    verdicts = {"PrecisionStatus": comparison.precision, "PerfStatus": comparison.perf}
    return {
        "title": table.title(comparison),
        "verdicts": [
            {
                "name": name,
                "verdict": verdict,
                "kind": VERDICT_CLASSES.get(verdict.status, "good"),
            }
            for name, verdict in verdicts.items()
        ],
        "columns": table.columns(comparison),
        "rows": table.rows(comparison),
        "remarks": table.remarks(comparison),
    }


def _figures(runs: Sequence[ReportedRun]) -> List[List[str]]:
    """Final and best figures of the runs' records, a column each; the titles first, or nothing."""
    columns = {}
    for run in runs:
        of_run = f"{run.label}: " if len(runs) > 1 else ""
        columns[of_run + "final"] = run.run.final
        columns[of_run + "best on validation"] = run.run.best
    columns = {title: found for title, found in columns.items() if found}
    names = list(dict.fromkeys(name for found in columns.values() for name in found))
    rows = [[name] + [_value(found.get(name)) for found in columns.values()] for name in names]
    return [["", *columns], *rows] if rows else []


def _value(value: Optional[float]) -> str:
    if value is None:
        return wording.DASH
    return f"{value:,.0f}" if value % 1 == 0 else wording.number(value)
