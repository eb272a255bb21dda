"""Explains decisions on a user's images, or on test images, by their prototypes."""

from __future__ import annotations

from pathlib import Path
from typing import List, Tuple

import numpy as np

from common.data.labelled_images import LabelledImages
from common.training.evaluation_run import write_file
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.runtime import tf
from protoattend.data.datasets import read_user_images
from protoattend.gallery.explained import UNKNOWN, Explained, wrong_first
from protoattend.gallery.page import GalleryHeader
from protoattend.gallery.prototypes import explanation_files
from protoattend.options import DEFAULT_DATA, Options
from protoattend.restoring import Restored, restore
from protoattend.trained import kept_dataset


def run(options: Options) -> int:
    """Explains and writes pictures and a gallery; returns the exit code."""
    asked = options.dataset or options.data_url != DEFAULT_DATA or Path(DEFAULT_DATA).is_dir()
    kept = None if asked else kept_dataset(str(options.checkpoint))
    restored = restore(options, "explanation", kept)
    try:
        decisions, header = explain(restored)
        for decision in decisions:
            print(line_of(decision))
        files = explanation_files(decisions, restored.session.dataset.class_names, header)
        written = [name for name, make in files.items() if write_file(restored.folder / name, make)]
        print(f"written to {restored.folder}: {', '.join(written)}", flush=True)
    finally:
        tf_runtime.close_device(restored.session.device)
    return 0


def explain(restored: Restored) -> Tuple[List[Explained], GalleryHeader]:
    """Decides on the images asked for: wrong decisions first, and where all comes from."""
    session = restored.session
    inputs, images = chosen_images(restored)
    with tf.Graph().as_default(), tf_runtime.open_session(
        session.device, session.precision
    ) as running:
        evaluation = restored.build(running)
        evaluation.prepare(running)
        decisions = evaluation.explain(evaluation.decide(running, images), images)
    return wrong_first(decisions), restored.gallery_header(inputs, evaluation.candidate_set)


def chosen_images(restored: Restored) -> Tuple[str, LabelledImages]:
    """The user's images, or the first test images, and what they are in words."""
    options, dataset = restored.session.options, restored.session.dataset
    if options.images:
        names, images = read_user_images(list(options.images), restored.architecture.image_shape)
        labels = np.full(len(images), UNKNOWN, np.int32)
        return f"{len(names):,} files", LabelledImages(images, labels, names=np.array(names))
    count = min(options.gallery_count, len(dataset.test))
    words = f"the first {count:,} of {len(dataset.test):,} test images of {dataset.name}"
    return words, dataset.test.take(np.arange(count))


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
