"""Explanations as files: a PNG of a few, an HTML gallery of all."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Dict, Sequence

from common.core.files import sha256_of
from common.evidence.figures.canvas import png_bytes
from common.training.tensorflow.checkpoint import STATE
from protoattend.gallery.explained import Explained
from protoattend.gallery.page import GalleryHeader, gallery_page
from protoattend.gallery.prototypes_picture import prototypes_picture
from protoattend.restoring import Restored
from protoattend.split_evaluation import SplitEvaluation


def explanation_files(
    restored: Restored, evaluation: SplitEvaluation, decisions: Sequence[Explained]
) -> Dict[str, Any]:
    """prototypes.png and gallery.html of some decisions, by name."""
    dataset = restored.session.dataset
    header = GalleryHeader(
        inputs=_inputs(restored),
        candidates=evaluation.candidate_set,
        checkpoint_sha256=checkpoint_sha256(restored.found.prefix),
        date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    )
    return {
        "prototypes.png": png_bytes(prototypes_picture(decisions)),
        "gallery.html": gallery_page(decisions, dataset.class_names, header),
    }


def _inputs(restored: Restored) -> str:
    count = len(restored.session.options.images)
    if count:
        return "files of the user's"
    return f"{restored.session.dataset.name} test images"


def checkpoint_sha256(prefix: str) -> str:
    """Names a checkpoint: by its state, which names all its files, else by its index."""
    state = Path(prefix).parent / STATE
    return sha256_of(state if state.exists() else Path(prefix + ".index"))
