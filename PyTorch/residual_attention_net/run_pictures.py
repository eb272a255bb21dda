"""The pictures that training and evaluation write of themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from common.core.files import make_folder
from common.data.labelled_images import LabelledImages
from common.runs.events import FILE_NAME, effective_events
from common.training.pictures import FOLDER
from common.training.torch import step as torch_step
from residual_attention_net.data.samples import spread_samples
from residual_attention_net.session import Session

IMAGES_SHOWN = 4
MASKS, CURVES = "attention_masks", "curves"


def masks_of(
    session: Session, images: LabelledImages, split: str, weights: str
) -> Dict[str, bytes]:
    """The picture of the masks over a few images of a split, as a PNG by its name."""
    from common.evidence.figures.figure import png_bytes
    from residual_attention_net.attention import attention_view
    from residual_attention_net.pictures import attention_figure

    view = attention_view(
        session.network,
        spread_samples(images, f"{session.splits.name} {split}", IMAGES_SHOWN),
        images.classes,
        f"{session.options.network} on {session.splits.name}, {weights}",
        lambda: torch_step.forward_context(session.device, session.precision),
        batch_size=session.options.test_batch_size,
    )
    return {MASKS: png_bytes(attention_figure(view))}


def write_curves(output_path: Path) -> Path:
    """Writes pictures/curves.png of a run folder; returns the file.

    Raises:
        ZooError: not one training step among its events.
    """
    from common.evidence.figures.figure import save_png
    from residual_attention_net.pictures import training_curves

    figure = training_curves(effective_events(output_path / "rank_0" / FILE_NAME))
    path = make_folder(output_path / FOLDER, "--output_path") / f"{CURVES}.png"
    save_png(path, figure)
    return path
