"""Evaluates a checkpoint on the whole test set: metrics, curves, a gallery, a record."""

from __future__ import annotations

import dataclasses
import json
import time
from functools import partial
from typing import Any, Dict, List

import numpy as np

from common.data.labelled_images import LabelledImages
from common.training.pictures import drawn_or_told
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.description import Evaluation
from common.training.tensorflow.evaluation_run import (
    EvaluationRun,
    Evaluator,
    Files,
    run_evaluation,
)
from protoattend.data.other_sets import open_other_set
from protoattend.gallery.explained import UNKNOWN, Explained, wrong_first
from protoattend.metrics.decisions import Decisions
from protoattend.metrics.report import as_json, as_lines, as_metrics
from protoattend.options import Options
from protoattend.restoring import Restored, restore
from protoattend.split_evaluation import SplitEvaluation


def run(options: Options) -> int:
    """Evaluates --checkpoint and writes what came out; returns the exit code."""
    restored = restore(options, "evaluation")
    session = restored.session
    try:
        run_evaluation(
            EvaluationRun(
                restored.folder,
                session.device,
                session.precision,
                restored.subject(),
                session.options.evaluation_batch_size,
                session.options.random_seed,
                restored.found.step,
            ),
            lambda running: _evaluator(running, restored),
        )
    finally:
        tf_runtime.close_device(session.device)
    return 0


@dataclasses.dataclass
class _Found:
    """What an evaluation found, kept for the files that show it."""

    decisions: Any = None
    seconds: Dict[str, float] = dataclasses.field(default_factory=dict)
    others: Dict[str, Decisions] = dataclasses.field(default_factory=dict)
    report: Any = None


def _evaluator(running: Any, restored: Restored) -> Evaluator:
    evaluation, found = restored.build(running), _Found()

    def evaluate(running: Any) -> Evaluation:
        begin = time.perf_counter()
        evaluation.prepare(running)
        encoded = time.perf_counter()
        found.decisions = evaluation.decide_test(running)
        found.seconds = {"candidates": encoded - begin, "test": time.perf_counter() - encoded}
        found.others = _other_decisions(running, restored, evaluation)
        found.report = evaluation.report(found.decisions, found.others)
        print("\n".join(_lines(found)), flush=True)
        return Evaluation("test", len(found.decisions), as_metrics(found.report))

    def files(running: Any, result: Evaluation) -> Files:
        written: Dict[str, Any] = {
            "metrics.json": json.dumps(dict(as_json(found.report), seconds=found.seconds), indent=1)
            + "\n",
            "metrics.txt": "\n".join(_lines(found)) + "\n",
        }
        pictures = partial(_pictures, restored, evaluation, found)
        written.update(drawn_or_told("pictures", pictures, print) or {})
        return written

    return Evaluator(evaluation.network, evaluation.passes.probe, evaluate, files)


def _pictures(restored: Restored, evaluation: SplitEvaluation, found: _Found) -> Files:
    """What makes each picture and the gallery, by file name."""
    from common.evidence.figures.figure import png_bytes
    from protoattend.gallery.curves import evaluation_figures
    from protoattend.gallery.files import explanation_files

    dataset = restored.session.dataset
    shown = _surest_mistakes_first(evaluation, found.decisions, restored)
    header = restored.gallery_header(
        f"test images of {dataset.name}; of {len(found.decisions):,} decisions {len(shown):,} are "
        "shown: the surest mistakes, at most half, and the least sure right ones",
        evaluation.candidate_set,
        found.report.summary,
    )
    others = {name: other.confidence for name, other in found.others.items()}
    figures = evaluation_figures(found.decisions, dataset.name, others)
    return {
        **{f"{name}.png": lambda draw=draw: png_bytes(draw()) for name, draw in figures.items()},
        **explanation_files(shown, dataset.class_names, header),
    }


def _lines(found: _Found) -> List[str]:
    return as_lines(found.report) + [
        "took                     {candidates:.1f} s for the candidates, {test:.1f} s for the test "
        "images".format(**found.seconds)
    ]


def _other_decisions(
    running: Any, restored: Restored, evaluation: SplitEvaluation
) -> Dict[str, Decisions]:
    """The decisions on images from elsewhere, by the set's name."""
    options, dataset = restored.session.options, restored.session.dataset
    found = {}
    for name in options.out_of_distribution:
        images = open_other_set(
            name,
            dataset,
            options.other_data or options.data_url,
            options.other_count,
            options.random_seed,
        )
        labels = np.full(len(images), UNKNOWN, np.int32)
        found[name] = evaluation.decide(running, LabelledImages(images, labels))
    return found


def _surest_mistakes_first(
    evaluation: SplitEvaluation, decisions: Decisions, restored: Restored
) -> List[Explained]:
    """The decisions that a gallery shows: half of them mistakes, where there are as many."""
    shown = restored.session.options.gallery_count
    order = np.argsort(-decisions.confidence, kind="stable")
    wrong = [row for row in order if not decisions.right[row]][: (shown + 1) // 2]
    right = [row for row in order[::-1] if decisions.right[row]][: shown - len(wrong)]
    rows = np.array(sorted(wrong + right), np.int64)
    return wrong_first(evaluation.explain(decisions.take(rows), evaluation.tests.take(rows)))
