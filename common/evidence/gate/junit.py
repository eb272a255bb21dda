"""The gate's result as JUnit XML: a suite for each case, a test case for each finding."""

from __future__ import annotations

import re
from typing import Sequence
from xml.etree import ElementTree

from common.evidence.gate.verdict import CaseReport, Finding, Verdict

# REGRESS is a failure; what could not be judged is an error: no reader may take it for a pass.
_ELEMENTS = {Verdict.REGRESS: "failure", Verdict.INCONCLUSIVE: "error", Verdict.INFRA: "error"}
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(reports: Sequence[CaseReport], tier: str) -> bytes:
    """The XML with its declaration, in UTF-8."""
    root = ElementTree.Element("testsuites", name=_text("zoo regress, tier " + tier))
    suites = [_add_suite(root, report) for report in reports]
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _add_suite(root: ElementTree.Element, report: CaseReport) -> ElementTree.Element:
    judged = [finding for finding in report.findings if finding.verdict is not None]
    kinds = [
        _ELEMENTS.get(finding.verdict, "") for finding in judged if finding.verdict is not None
    ]
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        name=_text(report.name),
        tests=str(len(judged)),
        failures=str(kinds.count("failure")),
        errors=str(kinds.count("error")),
        time=f"{report.seconds or 0.0:.3f}",
    )
    for finding in judged:
        _add_case(suite, report, finding)
    told = [finding.line for finding in report.findings if finding.verdict is None]
    if told:
        ElementTree.SubElement(suite, "system-out").text = _text("\n".join(told))
    return suite


def _add_case(suite: ElementTree.Element, report: CaseReport, finding: Finding) -> None:
    case = ElementTree.SubElement(
        suite, "testcase", name=_text(finding.aspect), classname=_text(report.name), time="0"
    )
    kind = _ELEMENTS.get(finding.verdict) if finding.verdict is not None else None
    if kind is None:
        ElementTree.SubElement(case, "system-out").text = _text(finding.line)
        return
    part = ElementTree.SubElement(case, kind, type=finding.word, message=_text(finding.line))
    part.text = _text(finding.line)


def _text(text: str) -> str:
    """Without the characters that XML 1.0 has no way to write."""
    return _FORBIDDEN.sub("\ufffd", text)
