"""What the gate writes: text, JSON, Markdown and JUnit XML say the same, whatever is in them."""

from __future__ import annotations

import json
from xml.etree import ElementTree

from common.evidence.gate import report
from common.evidence.gate.report import as_junit
from common.evidence.gate.verdict import CaseReport, Finding, Verdict

NASTY = 'a <b> & "c" | \x07 \x1b[31m \ud800 漢字 ]]>\nsecond line'
REPORTS = [
    CaseReport(
        "m/t smoke",
        "CPU Test x 1, torch 2",
        ("run",),
        (
            Finding(
                "accuracy", Verdict.PASS, "91.00 percent", "stored 90.80, 91.00", "at least 89"
            ),
            Finding("speed", Verdict.REGRESS, "50.0 samples/s", "100.0 samples/s", "at least 0.9"),
            Finding("data wait", None, "–", "–", "not judged"),
        ),
        61.4,
    ),
    CaseReport(
        "m/u smoke", "", (), (Finding("run", Verdict.INFRA, NASTY, "", "the run could not start"),)
    ),
    CaseReport(
        "m/v smoke", "", (), (Finding("reference", Verdict.INCONCLUSIVE, "none", "", "make one"),)
    ),
]

TEXT = """\
m/t smoke: REGRESS (CPU Test x 1, torch 2, 61 s)
  PASS          accuracy: 91.00 percent; against stored 90.80, 91.00; at least 89
  REGRESS       speed: 50.0 samples/s; against 100.0 samples/s; at least 0.9
  told          data wait: –; against –; not judged
m/v smoke: INCONCLUSIVE
  INCONCLUSIVE  reference: none; make one
REGRESS of tier smoke: 1 INCONCLUSIVE, 1 REGRESS, 61 s"""


def test_the_text_is_the_golden_one() -> None:
    assert report.as_text([REPORTS[0], REPORTS[2]], "smoke") == TEXT


def test_a_finding_is_one_line_of_text_whatever_it_holds() -> None:
    text = report.as_text(REPORTS[1:2], "smoke")
    assert len(text.splitlines()) == 3 and "\x1b" not in text


def test_json_has_every_finding_and_the_exit_code() -> None:
    content = json.loads(json.dumps(report.as_json(REPORTS, "smoke")))
    assert (content["verdict"], content["exit_code"]) == ("REGRESS", 1)
    assert [case["verdict"] for case in content["cases"]] == ["REGRESS", "INFRA", "INCONCLUSIVE"]
    assert content["cases"][0]["findings"][1] == {
        "aspect": "speed",
        "verdict": "REGRESS",
        "measured": "50.0 samples/s",
        "reference": "100.0 samples/s",
        "rule": "at least 0.9",
    }


def test_markdown_keeps_every_finding_in_its_row() -> None:
    page = report.as_markdown(REPORTS, "smoke")
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert len(rows) == 3 * 2 + 5  # head and rule of three tables, and five findings
    assert all(line.replace("\\|", "").count("|") == 6 for line in rows)
    assert "&lt;b> &amp;" in page and "<b>" not in page


def test_junit_is_well_formed_whatever_a_log_held() -> None:
    root = ElementTree.fromstring(as_junit(REPORTS, "smoke").decode("utf-8"))
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("4", "1", "2")
    message = root.find("testsuite[2]/testcase/error").get("message")
    assert 'a <b> & "c" |' in message and "漢字" in message


def test_junit_has_a_suite_for_each_case_and_never_passes_what_was_not_judged() -> None:
    root = ElementTree.fromstring(as_junit(REPORTS, "smoke").decode("utf-8"))
    kinds = [
        [(case.get("name"), [part.tag for part in case]) for case in suite.iter("testcase")]
        for suite in root
    ]
    assert kinds == [
        [("accuracy", ["system-out"]), ("speed", ["failure"])],
        [("run", ["error"])],
        [("reference", ["error"])],
    ]
    assert [part.get("type") for part in root.iter("error")] == ["INFRA", "INCONCLUSIVE"]
    assert "data wait" in root.find("testsuite[1]/system-out").text
