"""The pictures of this network: masks over images, and the curves of a training."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, Callable, ContextManager, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch.nn import functional

from common.core.errors import ZooError
from common.core.files import make_folder
from common.core.text import shortened
from common.evidence.figures.colors import PALETTE, web_color
from common.evidence.figures.figure import new_figure, png_bytes, save_png
from common.evidence.figures.line_chart import finish
from common.evidence.figures.sheet import Column, Tile, sheet
from common.runs.events import FILE_NAME, effective_events
from common.training.pictures import FOLDER
from common.training.torch import step as torch_step
from residual_attention_net.data.samples import Samples, class_name, spread_samples
from residual_attention_net.network.model import ResidualAttentionNetwork
from residual_attention_net.session import Session
from residual_attention_net.trained_network import batches_of, predict

MASKS, CURVES = "attention_masks", "curves"
IMAGES_SHOWN, CLASSES_TOLD, CAPTION_LENGTH = 4, 3, 26
SIDE = 160  # pixels of a tile
MASK_COLOURS = "RdYlBu_r"
DARKEST = 0.3
SMOOTHED_SHARE, LEAST_WINDOW = 40, 5
WIDTH, PANEL = 900, 110  # pixels; the height for one share
Event = Mapping[str, Any]


# --- attention masks, as arrays --------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class ModuleMasks:
    """What one attention module did to N images.

    Attributes:
        name: the module's name.
        channel_count: channels of the mask.
        mean: float32, (N, size, size): the mean over the channels, from 0 to 1.
        enlarged: float32, (N, H, W): the same, interpolated to the images' size.
        strongest: float32, (N, K, size, size): single channels, those whose values spread most
            over an image: a mask that is the same everywhere points at nothing.
        strongest_channels: int64, (N, K): which.
    """

    name: str
    channel_count: int
    mean: np.ndarray
    enlarged: np.ndarray
    strongest: np.ndarray
    strongest_channels: np.ndarray

    @property
    def ends(self) -> Tuple[float, float]:
        """The ends of its colour scale: those of its channel means, never a single point."""
        low, high = float(self.mean.min()), float(self.mean.max())
        return (low, high) if high - low > 1e-6 else (low - 1e-3, high + 1e-3)

    @property
    def title(self) -> str:
        """What stands above its masks: its size, and the ends of its colours."""
        (low, high), size = told_apart(self.ends), self.mean.shape[-1]
        size_text = f"{size} x {size}, {self.channel_count} channels"
        return f"{self.name}\n{size_text}\n{low} to {high}"


@dataclasses.dataclass(frozen=True, eq=False)
class AttentionView:
    """N images with what the network made of them.

    Attributes:
        title: what network and which weights.
        images: uint8, (N, H, W, C).
        captions: N texts of a few lines: where from, true class, the most probable classes.
        modules: the masks, from the input to the output.
    """

    title: str
    images: np.ndarray
    captions: Tuple[str, ...]
    modules: Tuple[ModuleMasks, ...]


def attention_view(
    network: ResidualAttentionNetwork,
    samples: Samples,
    classes: Sequence[str],
    title: str,
    forward_context: Callable[[], ContextManager[None]],
    strongest: int = 0,
    batch_size: Optional[int] = None,
) -> AttentionView:
    """Everything the picture of attention masks shows of a few samples.

    Of volumes, the middle slice of the first spatial axis.

    Args:
        classes: the name of every class.
        title: what network and weights, in words.
        forward_context: autocast, as in training.
        strongest: how many single channels of each mask to show.
        batch_size: of the network's inputs; default: as many as there are.
    """
    size, images = batch_size or len(samples), samples.images
    parts = []
    with forward_context():
        for batch in batches_of(network, images, size):
            masks = network.masks(batch.inputs).items()
            parts.append({name: mask[: batch.valid].float().cpu() for name, mask in masks})
    probabilities = predict(network, images, size, forward_context)
    volumes = network.spatial_dims == 3
    return AttentionView(
        title + (", middle slice of each volume" if volumes else ""),
        images[:, images.shape[1] // 2] if volumes else images,
        tuple(
            caption(name, truth, row, classes)
            for name, truth, row in zip(samples.names, samples.truths, probabilities)
        ),
        tuple(
            _module_masks(
                name, torch.cat([part[name] for part in parts]), images.shape[1:-1], strongest
            )
            for name in parts[0]
        ),
    )


def _module_masks(
    name: str, mask: torch.Tensor, size: Sequence[int], strongest: int
) -> ModuleMasks:
    def flat(values: torch.Tensor) -> torch.Tensor:
        return values if len(size) == 2 else values.select(-3, values.shape[-3] // 2)

    mean = mask.mean(dim=1, keepdim=True)
    mode = "bilinear" if len(size) == 2 else "trilinear"
    enlarged = functional.interpolate(mean, size=tuple(size), mode=mode, align_corners=False)
    spread = mask.flatten(2).std(dim=2, unbiased=False)
    chosen = spread.topk(min(strongest, mask.shape[1]), dim=1).indices
    kept = [channels[numbers].numpy() for channels, numbers in zip(flat(mask), chosen)]
    return ModuleMasks(
        name,
        mask.shape[1],
        flat(mean[:, 0]).numpy(),
        flat(enlarged[:, 0]).numpy(),
        np.stack(kept),
        chosen.numpy(),
    )


def caption(
    name: str, truth: Optional[int], probabilities: np.ndarray, classes: Sequence[str]
) -> str:
    """What stands beside an image: its name, its true class, and what the network says."""

    def told(number: int) -> str:
        return shortened(class_name(classes, number), CAPTION_LENGTH)

    best = np.argsort(-probabilities, kind="stable")[:CLASSES_TOLD]
    lines, outcome = [shortened(Path(name).name, CAPTION_LENGTH)], ""
    if truth is not None:
        lines.append(f"true class: {told(truth)}")
        outcome = " (right)" if truth == best[0] else " (wrong)"
    lines.append(f"prediction{outcome}:")
    lines += [f"{told(index)} {100 * probabilities[index]:.1f} %" for index in best]
    return "\n".join(lines)


# --- attention masks, drawn ------------------------------------------------------------------


def masks_of(session: Session, split: str, weights: str) -> bytes:
    """The picture of the masks over a few images of a split, as a PNG.

    Args:
        weights: which they are, in words.
    """
    images, data = getattr(session.splits, split), session.splits.name
    view = attention_view(
        session.network,
        spread_samples(images, f"{data} {split}", IMAGES_SHOWN),
        images.classes,
        f"{session.options.network} on {data}, {weights}",
        lambda: torch_step.forward_context(session.device, session.precision),
        batch_size=session.options.test_batch_size,
    )
    return png_bytes(attention_figure(view))


def attention_figure(view: AttentionView) -> Figure:
    """For every image: the image, then each module's mask over it and by itself.

    A module's masks share one scale of colours, whose ends its title tells, so that images compare.
    """
    rows: List[List[Optional[Tile]]] = []
    titles: List[str] = []
    kept = view.modules[0].strongest.shape[1]
    for number, image in enumerate(view.images):
        over = [overlaid(image, one.enlarged[number], *one.ends) for one in view.modules]
        alone = [coloured(one.mean[number], *one.ends) for one in view.modules]
        rows += [[Tile(shown(image)), *map(Tile, over)], [None, *map(Tile, alone)]]
        titles += [view.captions[number], "mean of\nall channels"]
        for place in range(kept):
            rows.append([None] + [_channel_tile(one, number, place) for one in view.modules])
            titles.append("one channel,\n0 to 1")
    columns = [Column("image")] + [Column(module.title) for module in view.modules]
    title = f"{view.title}; masks from blue (low) to red (high)"
    return sheet(rows, columns, titles, title, block=2 + kept, side=SIDE)


def _channel_tile(module: ModuleMasks, number: int, place: int) -> Tile:
    """One of the single channels of an image's mask, with its range below."""
    mask = module.strongest[number, place]
    channel = module.strongest_channels[number, place]
    words = f"channel {channel}: {mask.min():.2f} to {mask.max():.2f}"
    return Tile(coloured(mask, 0, 1), words)


def told_apart(values: Sequence[float]) -> List[str]:
    """Ascending numbers, rounded to so many digits that those of the range are seen."""
    span = values[-1] - values[0]
    digits = 2 if span <= 0 else min(6, max(2, 1 + math.ceil(-math.log10(span))))
    return [f"{value:.{digits}f}" for value in values]


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
    """Loss per step, raw and smoothed, accuracy where it was measured, and the learning rate.

    Args:
        events: those of a run, from common.runs.events.effective_events.

    Raises:
        ZooError: not one training step among them.
    """
    steps = [event for event in events if event["event"] == "step"]
    if not steps:
        raise ZooError("the run has no training step, so there are no curves to draw")
    evaluations = [
        event
        for event in events
        if event["event"] == "evaluation" and "accuracy" in event.get("metrics", {})
    ]
    heights = [3, 2, 1.2] if evaluations else [3, 1.2]
    figure = new_figure(WIDTH, int(PANEL * (1 + sum(heights))))
    panels = figure.subplots(len(heights), 1, sharex=True, gridspec_kw={"height_ratios": heights})
    _draw_loss(panels[0], steps)
    if evaluations:
        _draw_accuracy(panels[1], evaluations)
    places, rates = series(steps, "learning_rate")
    panels[-1].plot(places, rates, color=web_color(PALETTE[4]), linewidth=1.5)
    panels[-1].set_ylim(bottom=0)
    panels[-1].set_ylabel("learning rate")
    last = steps[-1]
    panels[-1].set_xlabel(f"optimizer step ({last['step']:,} in {last.get('epoch', '?')} epochs)")
    for panel in panels:
        finish(figure, panel, run_in_words(events))
    figure.align_ylabels(panels)
    return figure


def _draw_loss(axes: Axes, steps: Sequence[Event]) -> None:
    places, losses = series(steps, "loss")
    finite, color = np.isfinite(losses), web_color(PALETTE[0])
    axes.plot(places[finite], losses[finite], color=color, alpha=0.3, label="each step")
    window = max(LEAST_WINDOW, int(finite.sum()) // SMOOTHED_SHARE)
    if finite.sum() > window:
        mean = smoothed(losses[finite], window)
        axes.plot(places[finite], mean, color=color, linewidth=1.8, label=f"mean of {window} steps")
    for number, place in enumerate(places[~finite][:10]):
        name = "" if number else f"not finite, first at step {int(place):,}"
        axes.axvline(place, color=web_color(PALETTE[2]), linestyle=":", label=name)
    axes.set_ylabel("training loss")


def _draw_accuracy(axes: Axes, evaluations: Sequence[Event]) -> None:
    told = [(event, float(event["metrics"]["accuracy"])) for event in evaluations]
    progress = [(event["step"], value) for event, value in told if event["role"] == "progress"]
    if progress:
        places, values = zip(*progress)
        name = f"validation: best {np.nanmax(values):.2f} %"
        axes.plot(places, values, color=web_color(PALETTE[1]), marker="o", ms=4, label=name)
    for event, value in told:
        if event["role"] != "progress":
            best = event["role"] == "best"
            weights = "weights best on validation" if best else "final weights"
            name = f"{event['split']}, {weights}: {value:.2f} %"
            style = ":" if best else "--"
            axes.axhline(value, color=web_color(PALETTE[2]), linestyle=style, label=name)
    axes.set_ylabel("accuracy (%)")


def series(events: Sequence[Event], name: str) -> Tuple[np.ndarray, np.ndarray]:
    """The steps and the values of a field, both float64; what is not there is NaN."""
    values = [math.nan if event.get(name) is None else float(event[name]) for event in events]
    return np.array([event["step"] for event in events], np.float64), np.array(values)


def smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """The centred mean over `window` values, no more than there are; over fewer at both ends."""
    ones = np.ones(window)
    return np.convolve(values, ones, "same") / np.convolve(np.ones(len(values)), ones, "same")


def run_in_words(events: Sequence[Event]) -> str:
    """What was trained on what, and how, as its last start says."""
    start: Event = next((one for one in reversed(events) if one["event"] == "start"), {})
    network, data = (start.get(field, {}).get("name") for field in ("network", "dataset"))
    words = [network or start.get("model", "training"), f"on {data}" if data else ""]
    words += [start.get("precision", {}).get("mode"), start.get("device", {}).get("kind")]
    return " ".join(str(word) for word in words if word)
