"""Evaluates a checkpoint, or explains its decisions: metrics, curves, a gallery, a record."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from common.core.files import sha256_of
from common.data.labelled_images import DatasetSplits
from common.evidence.figures.figure import png_bytes
from common.training.checkpoints import STATE
from common.training.evaluation_run import Files, output_folder, write_file
from common.training.run import Evaluation
from common.training.stored_weights import FoundCheckpoint, find_weights
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.evaluation_run import Evaluator, run_evaluation
from common.training.tensorflow.runtime import tf
from protoattend.data.datasets import read_user_images
from protoattend.data.other_sets import open_other_set
from protoattend.gallery.curves import evaluation_figures
from protoattend.gallery.explained import Explained, unlabelled, wrong_first
from protoattend.gallery.prototypes import GalleryHeader, explanation_files
from protoattend.metrics.decisions import Decisions
from protoattend.metrics.measures import Summary
from protoattend.metrics.report import CandidateSet, as_json, as_metrics, as_text
from protoattend.network.architecture import Architecture, architecture_from
from protoattend.network.checkpoints import load_weights
from protoattend.network.prototype_network import PrototypeNetwork
from protoattend.options import DEFAULT_DATA, Options
from protoattend.passes import SplitEvaluation
from protoattend.session import Session, as_trained, open_session, require_shape
from protoattend.trained import kept_dataset


@dataclasses.dataclass(frozen=True)
class Restored:
    """A checkpoint with the session it is used in, and the folder to write to."""

    found: FoundCheckpoint
    session: Session
    architecture: Architecture
    folder: str

    def build(self, running: Any) -> SplitEvaluation:
        """Builds the network and its passes in the default graph and loads the weights."""
        network = PrototypeNetwork(self.architecture)
        evaluation = SplitEvaluation(self.session, network)
        running.run(tf.local_variables_initializer())
        load_weights(running, network, self.found)
        return evaluation

    def gallery_header(
        self, inputs: str, candidates: CandidateSet, whole: Optional[Summary] = None
    ) -> GalleryHeader:
        """What a gallery of this checkpoint's decisions says of its origin."""
        made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        # A checkpoint is named by its state, which names all its files, else by its index.
        file = Path(self.found.prefix)
        if not file.is_file():  # packed
            state = file.parent / STATE
            file = state if state.exists() else Path(self.found.prefix + ".index")
        return GalleryHeader(inputs, candidates, sha256_of(file), made, whole)


def restore(
    options: Options, folder_name: str, dataset: Optional[DatasetSplits] = None
) -> Restored:
    """Finds --checkpoint, then opens data and device.

    Dataset, image size, candidates and network are the checkpoint's own, where it tells them.

    Args:
        folder_name: below the run's folder, where no other is given.
        dataset: the data, where the flags don't say it.

    Raises:
        ZooError: no such checkpoint, data or device; images that the network can't take.
    """
    checkpoint = str(options.checkpoint)
    found = find_weights(checkpoint)
    folder = output_folder(options.train_url, checkpoint, folder_name)
    options = dataclasses.replace(as_trained(options, found.state), train_url=folder)
    session = open_session(options, dataset)
    told = found.state.get("network")
    architecture = architecture_from(told) if told else session.architecture()
    require_shape(session, architecture)
    return Restored(found, session, architecture, folder)


# --- evaluation ------------------------------------------------------------------------------


def run(options: Options) -> int:
    """Evaluates --checkpoint and writes what came out; returns the exit code."""
    restored = restore(options, "evaluation")
    session, found = restored.session, restored.found
    return run_evaluation(
        session,
        restored.folder,
        session.subject(restored.architecture),
        session.options.random_seed,
        found.step,
        lambda running: _evaluator(running, restored),
    )


def _evaluator(running: Any, restored: Restored) -> Evaluator:
    evaluation, session = restored.build(running), restored.session
    found: Dict[str, Any] = {}  # kept for the files that show it

    def evaluate(running: Any) -> Evaluation:
        began = time.perf_counter()
        evaluation.prepare(running)
        encoded = time.perf_counter()
        decisions = evaluation.passes.decide(running, evaluation.tests)
        seconds = {"candidates": encoded - began, "test": time.perf_counter() - encoded}
        others = _other_decisions(running, session, evaluation)
        report = evaluation.report(decisions, others)
        print(
            "{candidates:.1f} s for the candidates, {test:.1f} s for the test images".format(
                **seconds
            ),
            flush=True,
        )
        found.update(decisions=decisions, others=others, report=report, seconds=seconds)
        return Evaluation("test", len(decisions), as_metrics(report))

    def files(running: Any, result: Evaluation) -> Files:
        dataset, decisions = session.dataset, found["decisions"]
        rows = _surest_mistakes(decisions, session.options.gallery_count)
        shown = evaluation.explain(decisions.take(rows), evaluation.tests.take(rows))
        header = restored.gallery_header(
            f"test images of {dataset.name}; of {len(decisions):,} decisions {len(shown):,} are "
            "shown: the surest mistakes, at most half, and the least sure right ones",
            evaluation.candidate_set,
            found["report"].summary,
        )
        others = {name: other.confidence for name, other in found["others"].items()}
        metrics = dict(as_json(found["report"]), seconds=found["seconds"])
        drawn = evaluation_figures(decisions, dataset.name, others)
        return {
            "metrics.json": json.dumps(metrics, indent=1) + "\n",
            "metrics.txt": as_text(found["report"]),
            **{f"{name}.png": lambda draw=draw: png_bytes(draw()) for name, draw in drawn.items()},
            **explanation_files(wrong_first(shown), dataset.class_names, header),
        }

    return Evaluator(evaluation.network, evaluation.passes.probe, evaluate, files)


def _other_decisions(
    running: Any, session: Session, evaluation: SplitEvaluation
) -> Dict[str, Decisions]:
    """The decisions on images from elsewhere, by the set's name."""
    options, found = session.options, {}
    folder = options.other_data or options.data_url
    for name in options.out_of_distribution:
        images = open_other_set(
            name, session.dataset, folder, options.other_count, options.random_seed
        )
        found[name] = evaluation.passes.decide(running, unlabelled(images))
    return found


def _surest_mistakes(decisions: Decisions, count: int) -> np.ndarray:
    """Rows that a gallery shows: the surest mistakes, at most half, and the least sure others."""
    order, right = np.argsort(-decisions.confidence, kind="stable"), decisions.right
    chosen = [row for row in order if not right[row]][: (count + 1) // 2]
    chosen += [row for row in order[::-1] if right[row]][: count - len(chosen)]
    return np.array(sorted(chosen), np.int64)


# --- explanation -----------------------------------------------------------------------------


def run_explanation(options: Options) -> int:
    """Explains --images, or test images; writes pictures and a gallery; returns the exit code."""
    asked = options.dataset or options.data_url != DEFAULT_DATA or Path(DEFAULT_DATA).is_dir()
    kept = None if asked else kept_dataset(str(options.checkpoint))
    restored = restore(options, "explanation", kept)
    with restored.session as session:
        decisions, header = explain(restored)
        for decision in decisions:
            print(line_of(decision))
        files = explanation_files(decisions, session.dataset.class_names, header)
        folder = Path(restored.folder)
        written = [name for name, make in files.items() if write_file(folder / name, make)]
        print(f"written to {folder}: {', '.join(written)}", flush=True)
    return 0


def explain(restored: Restored) -> Tuple[List[Explained], GalleryHeader]:
    """Decides on the images asked for: wrong decisions first, and where all comes from."""
    session = restored.session
    options, tests = session.options, session.dataset.test
    if options.images:
        names, pixels = read_user_images(options.images, restored.architecture.image_shape)
        inputs, images = f"{len(names):,} files", unlabelled(pixels, names)
    else:
        count = min(options.gallery_count, len(tests))
        inputs = f"the first {count:,} of {len(tests):,} test images of {session.dataset.name}"
        images = tests.take(np.arange(count))
    with tf.Graph().as_default(), tf_runtime.open_session(
        session.device, session.precision
    ) as running:
        evaluation = restored.build(running)
        evaluation.prepare(running)
        decisions = evaluation.explain(evaluation.passes.decide(running, images), images)
    return wrong_first(decisions), restored.gallery_header(inputs, evaluation.candidate_set)


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
