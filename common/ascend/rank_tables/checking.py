"""The rules of a rank table of format 1.0, each a finding with the place and the remedy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

from common.ascend.rank_tables.old_formats import old_format
from common.ascend.rank_tables.rules import CHIPS, FILE_RULES, Problem, Rule, device_rules
from common.ascend.rank_tables.table import RankTable, of_json
from common.core.errors import ZooError, first_line
from common.core.findings import FAIL, OK

MAKE_ONE = "make one of format 1.0: zoo ranktable make"
__all__ = ["CHIPS", "TableFinding", "check_text", "first_failure", "read_table"]


@dataclass(frozen=True)
class TableFinding:
    """What one rule says of a file.

    Attributes:
        status: ok, warn or fail.
        rule: the rule's name.
        file: which file; place: where in it, such as server_list[0].device[3].rank_id.
        found: what is there; remedy: what to do, "" where all is well.
    """

    status: str
    rule: str
    file: str
    place: str
    found: str
    remedy: str = ""


def check_text(text: Optional[str], file: str, chip: str) -> List[TableFinding]:
    """Every rule's findings for a file's text; later rules are left out where earlier ones forbid.

    Args:
        text: the file's text, None where it is missing or can't be read.
        file: its name.
        chip: one of CHIPS; the 910A limits which devices of a server may work together.
    """
    content, problem = _parsed(text)
    if problem is not None:
        return [_of_problem("json", file, problem)]
    findings = [TableFinding(OK, "json", file, "", "a JSON object, no key twice")]
    problem = _format_problem(content)
    if problem is not None:
        return findings + [_of_problem("format", file, problem)]
    findings.append(TableFinding(OK, "format", file, "", "it has a server_list"))
    findings += _findings(FILE_RULES, content, file, chip)
    if any(finding.rule == "server_list" and finding.status == FAIL for finding in findings):
        return findings
    return findings + _findings(device_rules(chip), content, file, chip)


def _findings(
    rules: Sequence[Rule], content: Dict[str, Any], file: str, chip: str
) -> List[TableFinding]:
    found: List[TableFinding] = []
    for rule in rules:
        problems = rule.problems(content, chip)
        found += [_of_problem(rule.name, file, problem) for problem in problems]
        if not problems:
            found.append(TableFinding(OK, rule.name, file, "", rule.meaning))
    return found


def _of_problem(rule: str, file: str, problem: Problem) -> TableFinding:
    return TableFinding(problem.status, rule, file, problem.place, problem.found, problem.remedy)


def first_failure(findings: Sequence[TableFinding]) -> Optional[TableFinding]:
    """The first finding that makes a table unusable, None without one."""
    return next((finding for finding in findings if finding.status == FAIL), None)


def read_table(text: Optional[str], file: str, chip: str) -> RankTable:
    """The table in a file's text.

    Raises:
        ZooError: a rule is broken; the message is the first such finding.
    """
    failure = first_failure(check_text(text, file, chip))
    if failure is not None:
        place = f", {failure.place}" if failure.place else ""
        raise ZooError(f"rank table {file}{place}: {failure.found}; {failure.remedy}")
    return of_json(json.loads(text or ""))


# --- before any rule ---


class _TwiceError(ValueError):
    """A key is there twice; JSON's readers silently take the last."""


def _once(pairs: Sequence[Tuple[str, Any]]) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _TwiceError(name)
        found[name] = value
    return found


def _parsed(text: Optional[str]) -> Tuple[Dict[str, Any], Optional[Problem]]:
    if not text:
        return {}, Problem("", "the file is missing, unreadable or empty", MAKE_ONE)
    try:
        content = json.loads(text, object_pairs_hook=_once)
    except _TwiceError as error:
        return {}, Problem("", f"the key {error} is there twice", "keep one of the two")
    except RecursionError:
        return {}, Problem("", "the file is nested too deeply for a rank table", MAKE_ONE)
    except ValueError as error:
        return {}, Problem(
            _line_of(error),
            "the file is no JSON ({})".format(getattr(error, "msg", first_line(error))),
            MAKE_ONE,
        )
    if not isinstance(content, dict):
        return {}, Problem("", "the file is no JSON object, so no rank table", MAKE_ONE)
    return content, None


def _line_of(error: BaseException) -> str:
    line = getattr(error, "lineno", None)
    return "" if line is None else f"line {line}"


def _format_problem(content: Dict[str, Any]) -> Optional[Problem]:
    if "server_list" in content:
        return None
    name, place = old_format(content)
    if name:
        return Problem(place, f"this is {name}, an older format, not 1.0", MAKE_ONE)
    return Problem("", "there is no server_list: this is not format 1.0", MAKE_ONE)
