"""The series of a run folder or of a kept record, as those of a log."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np

from common.core.errors import ZooError
from common.evidence.logs.reading import EVENTS_FORMAT, read_log
from common.evidence.logs.series import ParsedLog, Series
from common.runs import record as run_record
from common.runs import store as record_store
from common.runs.events import FILE_NAME
from common.runs.record import RunRecord


def series_of_record(path: Path) -> ParsedLog:
    """The series of a run.

    Args:
        path: a run folder, its record.json, or a record of results/. The events beside it are
            read; a record without them gives its curve.

    Raises:
        ZooError: it is none of these.
    """
    path = Path(path)
    events = events_of(path)
    if events is not None:
        log = read_log(events, EVENTS_FORMAT, ())
        return dataclasses.replace(log, source=str(path))
    if os.path.isdir(path):
        raise ZooError(f"{path} is not a run folder: it has no rank_0/{FILE_NAME}")
    record = run_record.read_record(path)
    return ParsedLog(
        source=str(path),
        format="record",
        series=_curve(record),
        lives=(_curve(record),),
        notes=("the run's events are not beside its record: this is the record's curve",),
    )


def events_of(path: Path) -> Optional[Path]:
    """The events of a run folder or record; None where there are none."""
    path = Path(path)
    if os.path.isdir(path):
        places = [path / "rank_0" / FILE_NAME]
    elif path.name == run_record.FILE_NAME:
        places = [path.parent / "rank_0" / FILE_NAME]
    else:
        places = [path.with_suffix(record_store.EVENTS_SUFFIX)]
    return next((place for place in places if os.path.isfile(place)), None)


def is_record(path: Path) -> bool:
    """Whether a path is a run folder or a record, and not a log."""
    return os.path.isdir(path) or path.suffix == ".json"


def _curve(record: RunRecord) -> Dict[str, Series]:
    found: Dict[str, List[Tuple[int, float]]] = {}
    for point in record.metrics.curve:
        for name, value in point.items():
            if name != "step":  # a value that is no number is stored as a text: "nan"
                found.setdefault(name, []).append((int(point["step"]), float(value)))
    return {
        name: Series(
            name,
            np.array([step for step, _ in points], np.int64),
            np.array([value for _, value in points], np.float64),
        )
        for name, points in found.items()
    }
