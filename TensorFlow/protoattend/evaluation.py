"""Evaluates a checkpoint on the whole test set: metrics, curves, a gallery, a record."""

from __future__ import annotations

import json
import time
from typing import Any, Dict, List

import numpy as np

from common.data.labelled_images import LabelledImages
from common.training.evaluation_run import EvaluationRun, Files
from common.training.pictures import drawn_or_told
from common.training.run import Evaluation
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.evaluation_run import Evaluator, run_evaluation
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
                session.place,
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


def _evaluator(running: Any, restored: Restored) -> Evaluator:
    evaluation = restored.build(running)
    found: Dict[str, Any] = {}  # kept for the files that show it

    def evaluate(running: Any) -> Evaluation:
        began = time.perf_counter()
        evaluation.prepare(running)
        encoded = time.perf_counter()
        decisions = evaluation.decide(running, evaluation.tests)
        seconds = {"candidates": encoded - began, "test": time.perf_counter() - encoded}
        others = _other_decisions(running, restored, evaluation)
        report = evaluation.report(decisions, others)
        lines = as_lines(report)
        lines.append(
            "took                     {candidates:.1f} s for the candidates, {test:.1f} s for the "
            "test images".format(**seconds)
        )
        print("\n".join(lines), flush=True)
        found.update(decisions=decisions, others=others, report=report)
        found.update(json=dict(as_json(report), seconds=seconds), text="\n".join(lines) + "\n")
        return Evaluation("test", len(decisions), as_metrics(report))

    def pictures() -> Files:
        """What makes each picture and the gallery, by file name."""
        from common.evidence.figures.figure import png_bytes
        from protoattend.gallery.curves import evaluation_figures
        from protoattend.gallery.prototypes import explanation_files

        dataset, decisions = restored.session.dataset, found["decisions"]
        shown = _surest_mistakes_first(evaluation, decisions, restored)
        header = restored.gallery_header(
            f"test images of {dataset.name}; of {len(decisions):,} decisions {len(shown):,} are "
            "shown: the surest mistakes, at most half, and the least sure right ones",
            evaluation.candidate_set,
            found["report"].summary,
        )
        others = {name: other.confidence for name, other in found["others"].items()}
        drawn = evaluation_figures(decisions, dataset.name, others)
        return {
            **{f"{name}.png": lambda draw=draw: png_bytes(draw()) for name, draw in drawn.items()},
            **explanation_files(shown, dataset.class_names, header),
        }

    def files(running: Any, result: Evaluation) -> Files:
        return {
            "metrics.json": json.dumps(found["json"], indent=1) + "\n",
            "metrics.txt": found["text"],
            **(drawn_or_told("pictures", pictures, print) or {}),
        }

    return Evaluator(evaluation.network, evaluation.passes.probe, evaluate, files)


def _other_decisions(
    running: Any, restored: Restored, evaluation: SplitEvaluation
) -> Dict[str, Decisions]:
    """The decisions on images from elsewhere, by the set's name."""
    options, dataset = restored.session.options, restored.session.dataset
    folder, found = options.other_data or options.data_url, {}
    for name in options.out_of_distribution:
        images = open_other_set(name, dataset, folder, options.other_count, options.random_seed)
        labels = np.full(len(images), UNKNOWN, np.int32)
        found[name] = evaluation.decide(running, LabelledImages(images, labels))
    return found


def _surest_mistakes_first(
    evaluation: SplitEvaluation, decisions: Decisions, restored: Restored
) -> List[Explained]:
    """The decisions that a gallery shows: half of them mistakes, where there are as many."""
    shown = restored.session.options.gallery_count
    order = np.argsort(-decisions.confidence, kind="stable")
    right = decisions.right
    chosen = [row for row in order if not right[row]][: (shown + 1) // 2]
    chosen += [row for row in order[::-1] if right[row]][: shown - len(chosen)]
    rows = np.array(sorted(chosen), np.int64)
    return wrong_first(evaluation.explain(decisions.take(rows), evaluation.tests.take(rows)))
