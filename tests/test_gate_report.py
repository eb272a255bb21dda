"""What the gate writes: text, JSON, Markdown and JUnit XML say the same, whatever is in them."""

from __future__ import annotations

import json
from xml.etree import ElementTree

from common.evidence.gate.findings import (
    CaseReport,
    Finding,
    Verdict,
    as_json,
    as_junit,
    as_markdown,
    as_text,
)

NASTY = 'a <b> & "c" | \x07 \x1b[31m \ud800 漢字 ]]>\nsecond line'
FOUND = (
    Finding("accuracy", Verdict.PASS, "91.00 percent", "stored 90.80, 91.00", "at least 89"),
    Finding("speed", Verdict.REGRESS, "50.0 samples/s", "100.0 samples/s", "at least 0.9"),
    Finding("data wait", None, "–", "–", "not judged"),
)
NO_START = Finding("run", Verdict.INFRA, NASTY, "", "the run could not start")
NO_REFERENCE = Finding("reference", Verdict.INCONCLUSIVE, "none", "", "make one")
REPORTS = [
    CaseReport("m/t smoke", "CPU Test x 1, torch 2", ("run",), FOUND, 61.4),
    CaseReport("m/u smoke", "", (), (NO_START,)),
    CaseReport("m/v smoke", "", (), (NO_REFERENCE,)),
]

TEXT = """\
m/t smoke: REGRESS (CPU Test x 1, torch 2, 61 s)
  PASS          accuracy: 91.00 percent; against stored 90.80, 91.00; at least 89
  REGRESS       speed: 50.0 samples/s; against 100.0 samples/s; at least 0.9
  told          data wait: –; against –; not judged
m/v smoke: INCONCLUSIVE
  INCONCLUSIVE  reference: none; make one
REGRESS of tier smoke: 1 INCONCLUSIVE, 1 REGRESS, 61 s"""


def test_the_text_is_the_golden_one_and_a_finding_one_line_whatever_it_holds() -> None:
    assert as_text([REPORTS[0], REPORTS[2]], "smoke") == TEXT
    text = as_text(REPORTS[1:2], "smoke")
    assert len(text.splitlines()) == 3 and "\x1b" not in text


def test_json_and_markdown_have_every_finding() -> None:
    content = json.loads(json.dumps(as_json(REPORTS, "smoke")))
    assert (content["verdict"], content["exit_code"]) == ("REGRESS", 1)
    assert [case["verdict"] for case in content["cases"]] == ["REGRESS", "INFRA", "INCONCLUSIVE"]
    speed = content["cases"][0]["findings"][1]
    assert (speed["aspect"], speed["verdict"], speed["rule"]) == (
        "speed",
        "REGRESS",
        "at least 0.9",
    )
    page = as_markdown(REPORTS, "smoke")
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert len(rows) == 3 * 2 + 5  # head and rule of three tables, and five findings
    assert all(line.replace("\\|", "").count("|") == 6 for line in rows)
    assert "&lt;b> &amp;" in page and "<b>" not in page


def test_junit_is_well_formed_and_never_passes_what_was_not_judged() -> None:
    root = ElementTree.fromstring(as_junit(REPORTS, "smoke").decode("utf-8"))
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("4", "1", "2")
    message = root.find("testsuite[2]/testcase/error").get("message")
    assert 'a <b> & "c" |' in message and "漢字" in message
    cases = [(case.get("name"), [part.tag for part in case]) for case in root.iter("testcase")]
    judged = [("accuracy", ["system-out"]), ("speed", ["failure"])]
    assert cases == [*judged, ("run", ["error"]), ("reference", ["error"])]
    assert "data wait" in root.find("testsuite[1]/system-out").text
