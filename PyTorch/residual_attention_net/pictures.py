"""The pictures of this network: masks over images, and the curves of a training."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any, Callable, ContextManager, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from scipy.ndimage import uniform_filter1d
from torch.nn import functional

from common.core.errors import ZooError
from common.core.files import make_folder
from common.core.text import shortened
from common.data.labelled_images import LabelledImages
from common.evidence.figures.colors import PALETTE, web_color
from common.evidence.figures.figure import new_figure, png_bytes, save_png
from common.evidence.figures.line_chart import finish
from common.evidence.figures.sheet import Column, Tile, sheet
from common.runs.events import FILE_NAME, effective_events
from common.training.pictures import FOLDER
from residual_attention_net.data.samples import UNKNOWN, class_name, spread_samples
from residual_attention_net.network.model import ResidualAttentionNetwork
from residual_attention_net.session import Session
from residual_attention_net.trained_network import batches_of, predict

MASKS, CURVES = "attention_masks", "curves"
IMAGES_SHOWN, CLASSES_TOLD, CAPTION_LENGTH = 4, 3, 26
SIDE = 160  # pixels of a tile
MASK_COLOURS = "RdYlBu_r"
DARKEST = 0.3
SMOOTHED_SHARE, LEAST_WINDOW = 40, 5
CURVES_SIZE = (900, 792)  # pixels
Event = Mapping[str, Any]


# --- attention masks ------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class ModuleMasks:
    """What one attention module did to N images.

    Attributes:
        channel_count: channels of the mask.
        mean: float32, (N, size, size): the mean over the channels, from 0 to 1.
        enlarged: float32, (N, H, W): the same, interpolated to the images' size.
    """

    name: str
    channel_count: int
    mean: np.ndarray
    enlarged: np.ndarray

    @property
    def ends(self) -> Tuple[float, float]:
        """The ends of its colour scale: those of its channel means, never a single point."""
        low, high = float(self.mean.min()), float(self.mean.max())
        return (low, high) if high - low > 1e-6 else (low - 1e-3, high + 1e-3)

    @property
    def title(self) -> str:
        """What stands above its masks: its size, and the ends of its colours."""
        (low, high), size = self.ends, self.mean.shape[-1]
        size_text = f"{size} x {size}, {self.channel_count} channels"
        return f"{self.name}\n{size_text}\n{low:.4g} to {high:.4g}"


def masks_of_modules(
    network: ResidualAttentionNetwork,
    images: np.ndarray,
    forward_context: Callable[[], ContextManager[None]] = contextlib.nullcontext,
    batch_size: Optional[int] = None,
) -> List[ModuleMasks]:
    """The masks of images, from the input to the output; of volumes, in their middle slice.

    Args:
        images: uint8, (N, H, W, C) or (N, D, H, W, C).
        forward_context: autocast, as in training.
        batch_size: of the network's inputs; default: as many as there are.
    """
    parts: Dict[str, List[torch.Tensor]] = {}
    with forward_context():
        for batch in batches_of(network, images, batch_size or len(images)):
            for name, mask in network.masks(batch.inputs).items():
                parts.setdefault(name, []).append(mask[: batch.valid].float().cpu())
    size = images.shape[1:-1]

    def flat(values: torch.Tensor) -> np.ndarray:
        return (values if len(size) == 2 else values.select(-3, values.shape[-3] // 2)).numpy()

    found = []
    for name, masks in parts.items():
        mask = torch.cat(masks)
        mean = mask.mean(dim=1, keepdim=True)
        mode = "bilinear" if len(size) == 2 else "trilinear"
        enlarged = functional.interpolate(mean, size=size, mode=mode, align_corners=False)
        found.append(ModuleMasks(name, mask.shape[1], flat(mean[:, 0]), flat(enlarged[:, 0])))
    return found


def masks_of(session: Session, split: str, weights: str) -> bytes:
    """The picture of the masks over a few images of a split, as a PNG.

    Args:
        weights: which they are, in words.
    """
    images, data = getattr(session.splits, split), session.splits.name
    figure = attention_figure(
        session.network,
        spread_samples(images, f"{data} {split}", IMAGES_SHOWN),
        images.classes,
        f"{session.options.network} on {data}, {weights}",
        session.forward_context,
        batch_size=session.options.test_batch_size,
    )
    return png_bytes(figure)


def attention_figure(
    network: ResidualAttentionNetwork,
    samples: LabelledImages,
    classes: Sequence[str],
    title: str,
    forward_context: Callable[[], ContextManager[None]] = contextlib.nullcontext,
    batch_size: Optional[int] = None,
) -> Figure:
    """For every image: the image, then each module's mask over it and by itself.

    A module's masks share one scale of colours, whose ends its title tells, so that images compare.

    Args:
        classes: the name of every class.
        title: what network and weights, in words.
        forward_context, batch_size: see masks_of_modules.
    """
    images, size = samples.images, batch_size or len(samples)
    modules = masks_of_modules(network, images, forward_context, size)
    probabilities = predict(network, images, size, forward_context)
    if network.spatial_dims == 3:
        title, images = f"{title}, middle slice of each volume", images[:, images.shape[1] // 2]
    rows: List[List[Optional[Tile]]] = []
    titles: List[str] = []
    for number, image in enumerate(images):
        over = [overlaid(image, one.enlarged[number], *one.ends) for one in modules]
        alone = [coloured(one.mean[number], *one.ends) for one in modules]
        rows += [[Tile(shown(image)), *map(Tile, over)], [None, *map(Tile, alone)]]
        told = (str(samples.names[number]), samples.labels[number], probabilities[number], classes)
        titles += [caption(*told), "mean of\nall channels"]
    columns = [Column("image")] + [Column(module.title) for module in modules]
    title = f"{title}; masks from blue (low) to red (high)"
    return sheet(rows, columns, titles, title, block=2, side=SIDE)


def caption(name: str, truth: int, probabilities: np.ndarray, classes: Sequence[str]) -> str:
    """What stands beside an image: its name, its true class, and what the network says."""

    def told(number: int) -> str:
        return shortened(class_name(classes, number), CAPTION_LENGTH)

    best = np.argsort(-probabilities, kind="stable")[:CLASSES_TOLD]
    lines, outcome = [shortened(Path(name).name, CAPTION_LENGTH)], ""
    if truth != UNKNOWN:
        lines.append(f"true class: {told(truth)}")
        outcome = " (right)" if truth == best[0] else " (wrong)"
    lines.append(f"prediction{outcome}:")
    lines += [f"{told(index)} {100 * probabilities[index]:.1f} %" for index in best]
    return "\n".join(lines)


def coloured(mask: np.ndarray, low: float, high: float) -> np.ndarray:
    """A mask (H, W) as uint8 (H, W, 3): blue where it is low or lower, red where it is high."""
    scale = ScalarMappable(Normalize(low, high, clip=True), MASK_COLOURS)
    return np.asarray(scale.to_rgba(mask, bytes=True))[..., :3]


def overlaid(image: np.ndarray, mask: np.ndarray, low: float, high: float) -> np.ndarray:
    """The mask (H, W) in colours, as bright as the image uint8 (H, W, C) is: uint8 (H, W, 3)."""
    grey = shown(image).mean(axis=-1, keepdims=True) / 255.0
    return (coloured(mask, low, high) * (DARKEST + (1 - DARKEST) * grey)).astype(np.uint8)


def shown(image: np.ndarray) -> np.ndarray:
    """An image of 1 to 4 channels as uint8, (H, W, 3)."""
    return image[..., :3] if image.shape[-1] >= 3 else np.repeat(image[..., :1], 3, axis=-1)


# --- curves ----------------------------------------------------------------------------------


def write_curves(output_path: Path) -> Path:
    """Writes pictures/curves.png of a run folder; returns the file.

    Raises:
        ZooError: not one training step among its events.
    """
    figure = training_curves(effective_events(output_path / "rank_0" / FILE_NAME))
    path = make_folder(output_path / FOLDER, "--output_path") / f"{CURVES}.png"
    save_png(path, figure)
    return path


def training_curves(events: Sequence[Event]) -> Figure:
    """Loss per step and smoothed, accuracy where it was measured, and the learning rate.

    Args:
        events: those of a run, from common.runs.events.effective_events.

    Raises:
        ZooError: not one training step among them.
    """
    steps = [event for event in events if event["event"] == "step"]
    if not steps:
        raise ZooError("the run has no training step, so there are no curves to draw")
    figure = new_figure(*CURVES_SIZE)
    panels = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": [3, 2, 1.2]})
    loss, accuracy, rate = panels
    blue, orange, red, violet = (web_color(PALETTE[number]) for number in (0, 1, 2, 4))
    places = [event["step"] for event in steps]
    losses = np.array([float(event["loss"]) for event in steps])
    window = max(LEAST_WINDOW, len(losses) // SMOOTHED_SHARE)
    loss.plot(places, losses, color=blue, alpha=0.3, label="each step")
    mean = uniform_filter1d(losses, window, mode="nearest")
    loss.plot(places, mean, color=blue, linewidth=1.8, label=f"mean of {window} steps")
    told = [
        (event, float(event["metrics"]["accuracy"]))
        for event in events
        if event["event"] == "evaluation" and "accuracy" in event.get("metrics", {})
    ]
    progress = [(event["step"], value) for event, value in told if event["role"] == "progress"]
    if progress:
        name = f"validation: best {max(value for _, value in progress):.2f} %"
        accuracy.plot(*zip(*progress), color=orange, marker="o", ms=4, label=name)
    for event, value in told:
        if event["role"] != "progress":
            best = event["role"] == "best"
            weights = "weights best on validation" if best else "final weights"
            name, style = f"{event['split']}, {weights}: {value:.2f} %", ":" if best else "--"
            accuracy.axhline(value, color=red, linestyle=style, label=name)
    rate.plot(places, [event["learning_rate"] for event in steps], color=violet, linewidth=1.5)
    rate.set_ylim(bottom=0)
    rate.set_xlabel(f"optimizer step ({places[-1]:,} in {steps[-1].get('epoch', '?')} epochs)")
    for panel, title in zip(panels, ("training loss", "accuracy (%)", "learning rate")):
        panel.set_ylabel(title)
        finish(figure, panel, run_in_words(events))
    figure.align_ylabels(panels)
    return figure


def run_in_words(events: Sequence[Event]) -> str:
    """What was trained on what, and how, as its last start says."""
    start: Event = next((one for one in reversed(events) if one["event"] == "start"), {})
    network, data = (start.get(field, {}).get("name") for field in ("network", "dataset"))
    words = [network or start.get("model", "training"), f"on {data}" if data else ""]
    words += [start.get("precision", {}).get("mode"), start.get("device", {}).get("kind")]
    return " ".join(str(word) for word in words if word)
