"""Reads what is compared: a log of any known format, a run folder, or a kept record."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Mapping

from common.cards.model_folders import all_cards, checkout_root
from common.core.errors import UsageError, ZooError
from common.evidence.comparison.runs import Run, check_device, run_of_record
from common.evidence.logs.reading import read_log
from common.evidence.logs.records import is_record, series_of_record
from common.evidence.logs.series import Series
from common.runs import record as run_record


def read_run(path: Path, label: str) -> Run:
    """The run in a file or folder, under the label that the user gave it.

    Raises:
        UsageError: there is no such file, or its record names another device than the label.
        ZooError: it can't be read as a log, run folder or record.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(
            f"{label} {path}: there is no such file or folder; give a log, a run folder or a "
            "record of results/"
        )
    run = _of_record(path) if is_record(path) else _of_log(path)
    check_device(label, run)
    return run


def _of_record(path: Path) -> Run:
    record = run_record.from_run_folder(path) if path.is_dir() else run_record.read_record(path)
    parsed = series_of_record(path)
    return run_of_record(record, _usable(parsed.series), str(path), parsed.notes)


def _of_log(path: Path) -> Run:
    parsed = read_log(path)
    series = _usable(parsed.series)
    if not series:
        raise ZooError(f"{path} holds no values to compare; see zoo parse {path}")
    return Run(str(path), series, model=_network_of(parsed.format), notes=tuple(parsed.notes))


def _network_of(format_name: str) -> str:
    """The network whose card declares a log format; "" for our own formats."""
    return next(
        (
            card.name
            for card in all_cards(checkout_root())
            if format_name in [form.name for form in card.logs]
        ),
        "",
    )


def _usable(series: Mapping[str, Series]) -> Dict[str, Series]:
    return {name: one for name, one in series.items() if len(one)}
