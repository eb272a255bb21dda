"""What an evaluation or an explanation of a checkpoint finds and writes, in either framework."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Callable, Dict, NamedTuple, Optional

import numpy as np

from common.core.files import sha256_of
from common.data.labelled_images import DatasetSplits
from common.evidence.figures.figure import png_bytes
from common.training.checkpoints import STATE
from common.training.evaluation_run import Files, write_file
from common.training.run import Evaluation
from common.training.stored_weights import FoundCheckpoint
from protoattend.data.datasets import read_user_images
from protoattend.data.other_sets import open_other_set
from protoattend.gallery.curves import evaluation_figures
from protoattend.gallery.explained import Explained, unlabelled, wrong_first
from protoattend.gallery.prototypes import GalleryHeader, explanation_files
from protoattend.metrics.decisions import Decisions
from protoattend.metrics.measures import Summary
from protoattend.metrics.report import CandidateSet, Report, as_json, as_metrics, as_text
from protoattend.runs import Asked
from protoattend.splits import Decide, Splits


class _Found(NamedTuple):
    """Kept between the figures of an evaluation and the files that show them."""

    decisions: Decisions
    others: Dict[str, Decisions]
    report: Report
    seconds: Dict[str, float]


class TestReport:
    """An evaluation of a checkpoint on the test images, and on those of other sets."""

    def __init__(self, splits: Splits, checkpoint: FoundCheckpoint) -> None:
        self._splits, self._checkpoint = splits, checkpoint
        self._found: Optional[_Found] = None

    def evaluate(self, fill: Callable[[], Any], decide: Decide) -> Evaluation:
        """Decides on everything; `fill` encodes the candidates."""
        splits, began = self._splits, time.perf_counter()
        fill()
        encoded = time.perf_counter()
        decisions = decide(splits.tests)
        seconds = {"candidates": encoded - began, "test": time.perf_counter() - encoded}
        others = _other_decisions(splits.options, splits.dataset, decide)
        report = splits.report(decisions, others)
        print(
            "{candidates:.1f} s for the candidates, {test:.1f} s for the test images".format(
                **seconds
            ),
            flush=True,
        )
        self._found = _Found(decisions, others, report, seconds)
        return Evaluation("test", len(decisions), as_metrics(report))

    def files(self) -> Files:
        """Metrics, curves, gallery and pictures of what was found."""
        assert self._found is not None
        decisions, others, report, seconds = self._found
        splits, dataset = self._splits, self._splits.dataset
        rows = _surest_mistakes(decisions, splits.options.gallery_count)
        shown = splits.explain(decisions.take(rows), splits.tests.take(rows))
        header = gallery_header(
            self._checkpoint,
            f"test images of {dataset.name}; of {len(decisions):,} decisions {len(shown):,} are "
            "shown: the surest mistakes, at most half, and the least sure right ones",
            splits.candidate_set,
            report.summary,
        )
        confidences = {name: other.confidence for name, other in others.items()}
        metrics = dict(as_json(report), seconds=seconds)
        drawn = evaluation_figures(decisions, dataset.name, confidences)
        return {
            "metrics.json": json.dumps(metrics, indent=1) + "\n",
            "metrics.txt": as_text(report),
            **{f"{name}.png": lambda draw=draw: png_bytes(draw()) for name, draw in drawn.items()},
            **explanation_files(wrong_first(shown), dataset.class_names, header),
        }


def gallery_header(
    checkpoint: FoundCheckpoint,
    inputs: str,
    candidates: CandidateSet,
    whole: Optional[Summary] = None,
) -> GalleryHeader:
    """What a gallery of a checkpoint's decisions says of its origin."""
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    # A checkpoint is named by its state, which names all its files, else by its index.
    file = Path(checkpoint.prefix)
    if (file.parent / STATE).exists():
        file = file.parent / STATE
    elif not file.is_file():
        file = Path(checkpoint.prefix + ".index")
    return GalleryHeader(inputs, candidates, sha256_of(file), made, whole)


def _other_decisions(options: Any, dataset: DatasetSplits, decide: Decide) -> Dict[str, Decisions]:
    """The decisions on images from elsewhere, by the set's name."""
    folder, count = options.other_data or options.data_url, options.other_count
    return {
        name: decide(unlabelled(open_other_set(name, dataset, folder, count, options.random_seed)))
        for name in options.out_of_distribution
    }


def _surest_mistakes(decisions: Decisions, count: int) -> np.ndarray:
    """Rows that a gallery shows: the surest mistakes, at most half, and the least sure others."""
    order, right = np.argsort(-decisions.confidence, kind="stable"), decisions.right
    chosen = [row for row in order if not right[row]][: (count + 1) // 2]
    chosen += [row for row in order[::-1] if right[row]][: count - len(chosen)]
    return np.array(sorted(chosen), np.int64)


# --- explanation -----------------------------------------------------------------------------


def explain(splits: Splits, asked: Asked, decide: Decide) -> None:
    """Decides on --images, or test images: prints decisions, writes pictures and a gallery."""
    options, tests = splits.options, splits.dataset.test
    if options.images:
        names, pixels = read_user_images(options.images, asked.architecture.image_shape)
        inputs, images = f"{len(names):,} files", unlabelled(pixels, names)
    else:
        count = min(options.gallery_count, len(tests))
        inputs = f"the first {count:,} of {len(tests):,} test images of {splits.dataset.name}"
        images = tests.take(np.arange(count))
    decisions = wrong_first(splits.explain(decide(images), images))
    header = gallery_header(asked.found, inputs, splits.candidate_set)
    for decision in decisions:
        print(line_of(decision))
    files, folder = explanation_files(decisions, splits.dataset.class_names, header), asked.folder
    written = [name for name, make in files.items() if write_file(Path(folder) / name, make)]
    print(f"written to {folder}: {', '.join(written)}", flush=True)


def line_of(one: Explained) -> str:
    """A decision as a line of text."""
    told = "" if one.label is None else " (right)" if one.right else f" (it is {one.label})"
    prototypes = ", ".join(
        f"{prototype.label} {prototype.weight:.3f} ({prototype.source})"
        for prototype in one.prototypes
    )
    return (
        f"{one.name}: {one.predicted} with confidence {one.confidence:.3f}{told}; "
        f"prototypes: {prototypes}"
    )
