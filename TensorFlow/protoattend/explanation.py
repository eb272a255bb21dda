"""Explains decisions on a user's images, or on test images, by their prototypes."""

from __future__ import annotations

from typing import Any, List, Sequence, Tuple

import numpy as np

from common.core.files import write_atomically
from common.evidence.figures.canvas import require_pillow
from common.training.tensorflow import runtime as tf_runtime
from common.training.tensorflow.runtime import tf
from protoattend.data.labelled_images import LabelledImages
from protoattend.data.user_images import read_user_images
from protoattend.explaining import UNKNOWN
from protoattend.explanation_files import explanation_files
from protoattend.gallery.explained import Explained, wrong_first
from protoattend.options import Options
from protoattend.restoring import Restored, restore


def run(options: Options) -> int:
    """Explains and writes a picture and a gallery; returns the exit code."""
    require_pillow()
    restored = restore(options, "explanation")
    device = restored.session.device
    try:
        names, images = chosen_images(restored)
        with tf.Graph().as_default(), tf_runtime.open_session(
            device, restored.session.precision
        ) as running:
            evaluation = restored.build(running)
            evaluation.prepare(running)
            decisions = wrong_first(
                evaluation.explain(evaluation.decide(running, images), images, names)
            )
        for line in lines_of(decisions):
            print(line)
        for name, content in explanation_files(restored, evaluation, decisions).items():
            write_atomically(restored.folder / name, content)
        print(
            f"pictures: {restored.folder}/prototypes.png, {restored.folder}/gallery.html",
            flush=True,
        )
    finally:
        tf_runtime.close_device(device)
    return 0


def chosen_images(restored: Restored) -> Tuple[Sequence[str], LabelledImages]:
    """The user's images with the names of their files, or the first test images."""
    options, dataset = restored.session.options, restored.session.dataset
    if options.images:
        names, images = read_user_images(options.images, restored.architecture.image_shape)
        return names, LabelledImages(images, np.full(len(images), UNKNOWN, np.int32))
    rows = np.arange(min(options.gallery_count, len(dataset.test)))
    return [f"test image {row}" for row in rows], dataset.test.take(rows)


def lines_of(decisions: Sequence[Explained]) -> List[Any]:
    """Each decision as a line of text."""
    return [
        "{}: {} with confidence {:.3f}{}; prototypes: {}".format(
            one.name,
            one.predicted,
            one.confidence,
            ""
            if one.label is None
            else " ({})".format("right" if one.right else "it is " + one.label),
            ", ".join(
                f"{prototype.label} {prototype.weight:.3f} (row {prototype.row})"
                for prototype in one.prototypes
            ),
        )
        for one in decisions
    ]
