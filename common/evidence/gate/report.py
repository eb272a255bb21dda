"""The gate's result as text, JSON and Markdown."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

from common.cards.tiers import WHAT_TIERS_ARE
from common.evidence.gate.verdict import CaseReport, overall
from common.runs.tables import markdown

SCHEMA_VERSION = 1
_WIDTH = 12  # of the longest verdict


def as_text(reports: Sequence[CaseReport], tier: str) -> str:
    """The report for people: a block for each case, a line for each finding, one for all."""
    lines: List[str] = []
    for report in reports:
        lines.append(_headline(report))
        lines += [
            "  {:<{}}  {}".format(finding.word, _WIDTH, finding.line) for finding in report.findings
        ]
    return "\n".join(lines + [summary(reports, tier)])


def _headline(report: CaseReport) -> str:
    told = ", ".join(part for part in (report.setting, _duration(report)) if part)
    return "{}: {}{}".format(report.name, report.verdict.name, f" ({told})" if told else "")


def _duration(report: CaseReport) -> str:
    return "" if report.seconds is None else f"{report.seconds:.0f} s"


def summary(reports: Sequence[CaseReport], tier: str) -> str:
    """The last line: the verdict on all, and how many cases came to which."""
    counts: Dict[str, int] = {}
    for report in reports:
        counts[report.verdict.name] = counts.get(report.verdict.name, 0) + 1
    seconds = sum(report.seconds or 0.0 for report in reports)
    return "{} of tier {}: {}{}".format(
        overall(reports).name,
        tier,
        ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
        or "nothing was judged",
        f", {seconds:.0f} s" if seconds else "",
    )


def as_json(reports: Sequence[CaseReport], tier: str) -> Dict[str, Any]:
    """The report as JSON can hold it."""
    verdict = overall(reports)
    return {
        "schema_version": SCHEMA_VERSION,
        "tier": tier,
        "verdict": verdict.name,
        "exit_code": verdict.value,
        "cases": [_case(report) for report in reports],
    }


def _case(report: CaseReport) -> Dict[str, Any]:
    return {
        "case": report.name,
        "verdict": report.verdict.name,
        "setting": report.setting,
        "seconds": None if report.seconds is None else round(report.seconds, 1),
        "runs": list(report.runs),
        "findings": [
            {
                "aspect": finding.aspect,
                "verdict": finding.word,
                "measured": finding.measured,
                "reference": finding.reference,
                "rule": finding.rule,
            }
            for finding in report.findings
        ],
    }


def as_markdown(reports: Sequence[CaseReport], tier: str) -> str:
    """The report for a pull request or a CI summary."""
    parts = [
        f"# Regression gate, tier {tier}: {overall(reports).name}\n",
        f"{WHAT_TIERS_ARE[tier].capitalize()}. {summary(reports, tier)}\n",
    ]
    for report in reports:
        rows = [
            [finding.aspect, finding.word, finding.measured, finding.reference, finding.rule]
            for finding in report.findings
        ]
        parts.append(f"## {_headline(report)}\n")
        parts.append(
            markdown(
                ("What", "Verdict", "Measured", "Against", "Rule"),
                [[_cell(text) for text in row] for row in rows],
            )
        )
    return "\n".join(parts)


def _cell(text: str) -> str:
    """Text that stays text in a table: no tags."""
    return text.replace("&", "&amp;").replace("<", "&lt;")
