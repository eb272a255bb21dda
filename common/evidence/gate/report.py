"""The gate's result as text, JSON, Markdown and JUnit XML."""

from __future__ import annotations

import collections
import re
from typing import Any, Dict, Sequence
from xml.etree import ElementTree

from common.cards.tiers import WHAT_TIERS_ARE
from common.evidence.gate.verdict import CaseReport, Finding, Verdict, overall
from common.runs.tables import markdown

SCHEMA_VERSION = 1
_WIDTH = max(len(verdict.name) for verdict in Verdict)
# REGRESS is a failure; what could not be judged is an error: no reader may take it for a pass.
_ELEMENTS = {Verdict.REGRESS: "failure", Verdict.INCONCLUSIVE: "error", Verdict.INFRA: "error"}
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_text(reports: Sequence[CaseReport], tier: str) -> str:
    """The report for people: a block for each case, a line for each finding, one for all."""
    lines = []
    for report in reports:
        lines.append(_headline(report))
        lines += [f"  {part.word:<{_WIDTH}}  {part.line}" for part in report.findings]
    return "\n".join([*lines, summary(reports, tier)])


def _headline(report: CaseReport) -> str:
    seconds = "" if report.seconds is None else f"{report.seconds:.0f} s"
    told = ", ".join(part for part in (report.setting, seconds) if part)
    return f"{report.name}: {report.verdict.name}" + (f" ({told})" if told else "")


def summary(reports: Sequence[CaseReport], tier: str) -> str:
    """The last line: the verdict on all, and how many cases came to which."""
    counts = collections.Counter(report.verdict.name for report in reports)
    told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    seconds = sum(report.seconds or 0.0 for report in reports)
    took = f", {seconds:.0f} s" if seconds else ""
    return f"{overall(reports).name} of tier {tier}: {told or 'nothing was judged'}{took}"


def as_json(reports: Sequence[CaseReport], tier: str) -> Dict[str, Any]:
    """The report as JSON can hold it."""
    verdict = overall(reports)
    return {
        "schema_version": SCHEMA_VERSION,
        "tier": tier,
        "verdict": verdict.name,
        "exit_code": verdict.value,
        "cases": [
            {
                "case": report.name,
                "verdict": report.verdict.name,
                "setting": report.setting,
                "seconds": None if report.seconds is None else round(report.seconds, 1),
                "runs": list(report.runs),
                "findings": [dict(vars(part), verdict=part.word) for part in report.findings],
            }
            for report in reports
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
            [part.aspect, part.word, part.measured, part.reference, part.rule]
            for part in report.findings
        ]
        # A cell is text, never a tag.
        cells = [[text.replace("&", "&amp;").replace("<", "&lt;") for text in row] for row in rows]
        titles = ("What", "Verdict", "Measured", "Against", "Rule")
        parts += [f"## {_headline(report)}\n", markdown(titles, cells)]
    return "\n".join(parts)


def as_junit(reports: Sequence[CaseReport], tier: str) -> bytes:
    """JUnit XML in UTF-8: a suite for each case, a test case for each finding that was judged."""
    root = ElementTree.Element("testsuites", name=f"zoo regress, tier {tier}")
    for report in reports:
        suite = ElementTree.SubElement(root, "testsuite", name=_xml(report.name))
        suite.set("time", f"{report.seconds or 0.0:.3f}")
        for finding in report.findings:
            _add_finding(suite, report, finding)
    for element in [*root, root]:
        for name, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
            element.set(name, str(sum(1 for _ in element.iter(tag))))
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _add_finding(suite: ElementTree.Element, report: CaseReport, finding: Finding) -> None:
    line = _xml(finding.line)
    place = suite
    if finding.verdict is not None:
        place = ElementTree.SubElement(suite, "testcase", name=_xml(finding.aspect), time="0")
        place.set("classname", _xml(report.name))
    kind = _ELEMENTS.get(finding.verdict) if finding.verdict is not None else None
    told = ElementTree.SubElement(place, kind or "system-out")
    told.text = line
    if kind:
        told.set("type", finding.word)
        told.set("message", line)


def _xml(text: str) -> str:
    """Without the characters that XML 1.0 has no way to write."""
    return _NO_XML.sub("\ufffd", text)
