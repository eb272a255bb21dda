"""Which records of one file are training, validation and test scenes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional

import numpy as np

from common.core.errors import ZooError
from common.core.files import save_atomically
from slot_attention.data.layouts import Layout
from slot_attention.data.multi_objects import survey
from slot_attention.data.progress import ProgressLines

HELD_OUT = 320


@dataclass(frozen=True)
class RecordPlan:
    """How the records of one file are divided, as the published evaluations do it.

    Attributes:
        train_records: training scenes are the first so many records (those that pass the filter).
        held_out: the next so many that pass are the test scenes, the next so many validation.
        max_objects: the filter: scenes with at most so many objects; None for all.
    """

    train_records: int
    held_out: int = HELD_OUT
    max_objects: Optional[int] = None

    @property
    def text(self) -> str:
        """The division in words."""
        last = self.train_records - 1
        parts = [f"train: records 0 to {last}"] if self.train_records else []
        parts.append(f"test: the first {self.held_out} from record {self.train_records} on")
        parts.append(f"validation: the {self.held_out} after those")
        return "; ".join(parts)


def filter_text(layout: Optional[Layout], max_objects: Optional[int]) -> str:
    """Returns a filter in words: what exactly is counted."""
    if max_objects is None:
        return "all scenes"
    if layout is None:
        counted = "objects in the scene description"
    elif layout.has_visibility:
        counted = "entities after the background whose `visibility` is above 0"
    else:
        counted = (
            f"masks after the {layout.background_entities} of the background that have a pixel"
        )
    return f"scenes whose number of objects (background not counted: {counted}) <= {max_objects}"


def divide(
    path: Path, layout: Layout, plan: RecordPlan, counts_file: Path
) -> Dict[str, np.ndarray]:
    """Returns the record numbers of each split, int64, ascending.

    Without a filter nothing is read. With one, the file is read once as far as it takes, and the
    objects' counts are kept in counts_file.

    Raises:
        ZooError: the file is too short or damaged.
    """
    if plan.max_objects is None:
        passing = np.arange(plan.train_records + 2 * plan.held_out)
    else:
        counts = object_counts(path, layout, plan, counts_file)
        passing = np.flatnonzero(counts <= plan.max_objects)
    train = passing[passing < plan.train_records]
    later = passing[passing >= plan.train_records]
    if len(later) < 2 * plan.held_out:
        raise ZooError(
            f"{path} has too few records: {plan.train_records} for training and twice "
            f"{plan.held_out} held out after them that pass "
            "the filter are wanted; set train_records lower"
        )
    splits = {"train": train} if plan.train_records else {}
    splits["validation"] = later[plan.held_out : 2 * plan.held_out]
    splits["test"] = later[: plan.held_out]
    return splits


def object_counts(path: Path, layout: Layout, plan: RecordPlan, kept: Path) -> np.ndarray:
    """Returns int64 counts of objects of a file's records, from the file kept if there is one."""
    if kept.exists():
        return np.asarray(np.load(str(kept), allow_pickle=False))
    counts = _survey_enough(path, layout, plan)
    save_atomically(kept, lambda stream: np.save(stream, counts, allow_pickle=False))
    return counts


def _survey_enough(path: Path, layout: Layout, plan: RecordPlan) -> np.ndarray:
    """The objects' counts up to the last record that the plan needs."""
    wanted = plan.train_records + 2 * plan.held_out
    lines = ProgressLines(f"counting objects in {os.path.basename(str(path))}", wanted)
    counts = []
    held_out = 0
    for number, count in enumerate(survey(path, layout)):
        counts.append(count)
        passes = plan.max_objects is None or count <= plan.max_objects
        held_out += number >= plan.train_records and passes
        lines.at(number)
        if number + 1 >= wanted and held_out == 2 * plan.held_out:
            break
    return np.array(counts, np.int64)
