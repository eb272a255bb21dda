"""`zoo doctor`: what this machine can run, each line ok, warn or fail with the remedy."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import List, Mapping, Optional, Sequence

from common.ascend.doctor import examine_ascend, with_ascend
from common.cards.model_folders import checkout_root
from common.core.errors import FAIL, WARN, Finding, UsageError
from common.core.text import aligned
from common.data.catalogue import ABSENT, default_data_path, presence, read_catalogue
from common.machine import doctor
from common.machine.doctor import Surroundings


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    folder = default_data_path()
    parser.add_argument("--data_path", type=Path, default=folder, help="where datasets lie")
    parser.add_argument("--output_path", default=".", help="where runs would be written")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Prints the findings; returns 1 where one of them blocks training, else 0."""
    output = Path(arguments.output_path)
    if not output.is_dir():
        raise UsageError(f"--output_path {output} is no folder; give one that exists")
    findings = examine(look(arguments.data_path, output.resolve()))
    as_json = json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2)
    print(as_json if arguments.json else as_text(findings))
    return int(any(finding.status == FAIL for finding in findings))


def look(
    data_folder: Path,
    disk_folder: Path,
    root: Path = Path("/"),
    environment: Optional[Mapping[str, str]] = None,
) -> Surroundings:
    """Gathers the facts of this machine; see machine.doctor.look for the arguments."""
    datasets = [
        dataset.title
        for dataset in read_catalogue(checkout_root())
        if presence(dataset, data_folder) != ABSENT
    ]
    return with_ascend(doctor.look(data_folder, disk_folder, root, environment, datasets), root)


def examine(facts: Surroundings) -> List[Finding]:
    """All checks, those of an Ascend server among them."""
    return doctor.examine(facts, examine_ascend(facts))


def as_text(findings: Sequence[Finding]) -> str:
    """One aligned line per finding, its remedy below it, a count at the end."""
    rows = []
    for finding in findings:
        rows.append([finding.status, finding.what, finding.found])
        rows += [["", "", "-> " + finding.remedy]] if finding.remedy else []
    counts = [sum(finding.status == status for finding in findings) for status in (FAIL, WARN)]
    return f"{aligned(rows)}\n{len(findings)} checks, {counts[0]} fail, {counts[1]} warn"
